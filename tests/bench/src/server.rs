//! A server as a child process.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How long a server may take to say where it is.
const START: Duration = Duration::from_secs(30);

/// A running server. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts `program`, and waits for the first line on its standard output with a `ws://` URL.
    ///
    /// # Errors
    /// If it cannot be started, or prints no such line.
    pub fn start(program: impl AsRef<OsStr>, args: &[&str]) -> Result<Self> {
        let program = program.as_ref();
        let name = program.display();
        let child = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("starting {name}"))?;
        let mut server = Self { child, url: String::new() };
        let output = server.child.stdout.take().context("no standard output")?;
        let (found, url) = mpsc::channel();
        // To the end, so that the server never waits for us to read.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(url) = url_in(&line) {
                    let _ = found.send(url.to_owned());
                }
            }
        });
        let no_url = || format!("{name} printed no line with ws://");
        server.url = url.recv_timeout(START).with_context(no_url)?;
        Ok(server)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it did not end as it should.
    pub fn end(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The URL in a line.
fn url_in(line: &str) -> Option<&str> {
    let url = &line[line.find("ws://")?..];
    url.split([' ', '"', '\'']).next()
}

#[cfg(test)]
mod tests {
    use super::url_in;

    #[test]
    fn the_url_is_found_anywhere_in_a_line() {
        for line in ["ws://h:1/arcp", "listening on ws://h:1/arcp (memory)", r#"{"url":"ws://h:1/arcp"}"#] {
            assert_eq!(url_in(line), Some("ws://h:1/arcp"), "{line}");
        }
        assert_eq!(url_in("starting"), None);
    }
}
