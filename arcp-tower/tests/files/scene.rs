//! A directory to attack.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arcp_tower::core::{Code, Error};
use arcp_tower::operation::Granted;
use arcp_tower::operation::files::Files;
use serde_json::Value;

/// `root` is served and has `granted`, which the lease covers, and `secret`, which it does not;
/// `outside` is beside the root.
pub(crate) struct Scene {
    pub(crate) files: Files,
    pub(crate) granted: Granted,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    base: PathBuf,
    _directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        for part in ["root/granted/inner", "root/secret", "outside"] {
            fs::create_dir_all(base.join(part)).unwrap();
        }
        for (path, content) in [
            ("root/granted/a.txt", "granted"),
            ("root/granted/inner/file", "granted"),
            ("root/secret/file", "secret"),
            ("outside/file", "outside"),
        ] {
            fs::write(base.join(path), content).unwrap();
        }
        let files = Files::below(base.join("root")).unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (log, tree) = (asked.clone(), format!("{}/root/granted", base.display()));
        let granted = Granted::new(move |path: &str| {
            log.lock().unwrap().push(path.to_owned());
            path.strip_prefix(&tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        Self { files, granted, asked, base, _directory: directory }
    }

    /// The absolute path of something in the scene.
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.base.display())
    }

    /// Makes a symlink in the granted tree.
    pub(crate) fn link(&self, target: &str, name: &str) -> String {
        let path = self.at(&format!("root/granted/{name}"));
        symlink(target, &path).unwrap();
        path
    }

    pub(crate) async fn read(&self, path: &str) -> Result<String, Error> {
        let content = self.files.read(path, &self.granted).await?;
        Ok(String::from_utf8(content.to_vec()).unwrap())
    }

    pub(crate) async fn write(&self, path: &str, content: &'static str) -> Result<(), Error> {
        self.files.write(path, content, &self.granted).await
    }

    pub(crate) async fn names(&self, path: &str) -> Result<Vec<String>, Error> {
        let entries = self.files.list(path, &self.granted).await?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// What is really there.
    pub(crate) fn content(&self, rest: &str) -> String {
        fs::read_to_string(self.at(rest)).unwrap()
    }
}

/// Any lease.
pub(crate) fn all() -> Granted {
    Granted::new(|_: &str| true)
}

pub(crate) fn reason(error: &Error) -> String {
    let details: Value = serde_json::from_str(error.details().unwrap().as_str()).unwrap();
    details["reason"].as_str().unwrap().to_owned()
}

/// That something was refused, with this code and reason.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, code: Code, why: &str) {
    let error = answer.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (code, why), "{error}");
}
