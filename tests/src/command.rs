//! The `arcp` command, as a shell sees it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use arcp_core::transport::{WebSocket, WsLimits};
use tokio::net::TcpStream;

use crate::{Peer, Socket, Wire};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The newest change of a source below `dir`.
fn newest(dir: &Path) -> SystemTime {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let time = |path: PathBuf| {
        if path.is_dir() { newest(&path) } else { path.metadata().unwrap().modified().unwrap() }
    };
    entries.map(time).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The binary, beside this test's; built if it is not there, or older than what it is made of.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap().to_owned();
        let binary = profile.join(format!("arcp{}", std::env::consts::EXE_SUFFIX));
        let crates = [
            "arcp-core",
            "arcp-tower",
            "arcp-client",
            "arcp-process",
            "arcp-axum",
            "arcp-actix",
            "arcp-store-sqlite",
            "arcp-cli",
        ];
        let changed = crates.map(|name| newest(&workspace().join(name).join("src"))).into_iter().max();
        let built = binary.metadata().and_then(|meta| meta.modified()).ok();
        if built < changed {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build
                // Of the whole workspace: with the features of the tests, so that nothing is built twice.
                .args(["build", "--locked", "--workspace", "--bin", "arcp", "--target-dir"])
                .arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.current_dir(workspace()).status().unwrap().success());
            // Cargo leaves a file alone that is as it was.
            let file = std::fs::File::options().append(true).open(&binary).unwrap();
            file.set_modified(SystemTime::now()).unwrap();
        }
        binary
    })
}

/// The command with `args`, and nothing of it in the environment.
pub fn arcp(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args);
    let around = [
        "ARCP_URL",
        "ARCP_TOKEN",
        "ARCP_TOKEN_FILE",
        "ARCP_STORE",
        "ARCP_TLS_CA",
        "LITELLM_MASTER_KEY",
        "RUST_LOG",
    ];
    for name in around {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Output {
    arcp(args).stdin(Stdio::null()).output().unwrap()
}

/// What it wrote.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// `arcp serve`, ended when it is dropped.
#[derive(Debug)]
pub struct Serving {
    /// The process.
    pub child: Child,
    /// Where it is.
    pub url: String,
    /// The token that it made up.
    pub token: Option<String>,
}

impl Serving {
    /// Serves on a free port, without a file: two servers cannot have the same.
    pub fn start(args: &[&str]) -> Self {
        let mut serve = arcp(&["serve", "--port", "0", "--store", "memory"]);
        serve.args(args);
        Self::of(serve, !args.contains(&"--token"))
    }

    /// Serves the agents of the demonstration on a free port, and keeps sessions in `file`. Whoever
    /// has the token `secret` is let in.
    pub fn on(file: &Path) -> Self {
        let store = format!("sqlite:{}", file.display());
        let more = ["--demo-agents", "--token", "secret=me@example.com", "--store", &store];
        Self::of(arcp(&[&["serve", "--port", "0"][..], &more].concat()), false)
    }

    /// What `serve` says when it listens; it makes a token up if it has none.
    pub fn of(mut serve: Command, made_up: bool) -> Self {
        let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("it listens").unwrap();
        let url = first.strip_prefix("listening on ").unwrap().to_owned();
        let token = if made_up { lines.next().map(Result::unwrap) } else { None };
        let token = token.map(|line| line.strip_prefix("token: ").unwrap().to_owned());
        Self { child, url, token }
    }

    /// `arcp submit` to it.
    pub fn submit(&self, args: &[&str]) -> Output {
        let mut command = arcp(&["submit", "--url", &self.url]);
        command.args(args).env("ARCP_TOKEN", "secret").stdin(Stdio::null()).output().unwrap()
    }

    /// A TCP connection to it.
    pub async fn tcp(&self) -> TcpStream {
        let address = self.url.strip_prefix("ws://").unwrap().strip_suffix("/arcp").unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    /// A WebSocket on which nothing was said.
    pub async fn connect(&self) -> Socket {
        let tcp = Wire::upgrade(self.tcp().await, "/arcp", "").await.into_inner();
        Peer::new(WebSocket::client(tcp, WsLimits::default()).await, Duration::from_secs(20))
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let kill = Command::new("sh").args(["-c", "kill -$0 $1", name, &id]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for it to end; its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
