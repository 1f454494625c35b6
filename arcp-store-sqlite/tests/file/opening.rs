//! Files that are no store, not ours, or somebody else's.

use std::fs;
use std::path::Path;

use arcp_store_sqlite::OpenError;
use rusqlite::Connection;

use crate::rows::open;

#[test]
fn bad_input_57_a_file_is_open_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Held)));
    first.close();
    open(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn bad_input_57_a_file_is_open_once_by_whichever_name() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (dir.path().join("a.db"), dir.path().join("link.db"));
    fs::create_dir(dir.path().join("folder")).unwrap();
    symlink(dir.path(), dir.path().join("folder/up")).unwrap();
    // Before the file is there, too.
    symlink(&path, &link).unwrap();
    let names = [path, link, dir.path().join("folder/up/a.db"), dir.path().join("folder/../a.db")];
    for first in &names {
        let store = open(first).unwrap();
        for second in &names {
            assert!(matches!(open(second), Err(OpenError::Held)), "{second:?} beside {first:?}");
        }
        store.close();
    }
    assert!(!dir.path().join("link.db.lock").exists());
}

#[test]
fn p19_bad_input_62_a_file_of_a_newer_schema_is_refused_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    open(&path).unwrap().close();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Newer { found: 99, known: 11 })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn bad_input_57_what_is_no_database_and_what_is_another_applications_is_refused_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "a text that is long enough to be taken for the header of something ".repeat(20))
        .unwrap();
    let before = fs::read(&text).unwrap();
    assert!(matches!(open(&text), Err(OpenError::NotADatabase)));
    assert_eq!(fs::read(&text).unwrap(), before);
    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE notes(text)").unwrap();
    let before = fs::read(&other).unwrap();
    assert!(matches!(open(&other), Err(OpenError::Foreign)));
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn a_folder_that_is_not_there_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open(&dir.path().join("nowhere/a.db")), Err(OpenError::Io(_))));
    assert!(open(dir.path()).is_err(), "a folder is no file");
}

#[cfg(unix)]
#[test]
fn bad_input_57_what_cannot_be_written_is_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    open(&path).unwrap().close();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&path, 0o400);
    // To the superuser everything can be written.
    if fs::OpenOptions::new().write(true).open(&path).is_err() {
        assert!(matches!(open(&path), Err(OpenError::ReadOnly)));
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        allow(&folder, 0o500);
        assert!(matches!(open(&folder.join("b.db")), Err(OpenError::ReadOnly)));
        allow(&folder, 0o700);
    }
    assert_eq!(fs::metadata(dir.path().join("a.db.lock")).unwrap().permissions().mode() & 0o077, 0);
}
