//! A command that runs on while a test goes on.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A command that runs on, and what it prints.
pub(crate) struct Running<T> {
    pub(crate) child: Child,
    lines: Lines<BufReader<T>>,
}

impl Running<ChildStdout> {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn json(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// All that is still to come, and the exit code.
    pub(crate) fn rest(mut self) -> (Vec<Value>, Option<i32>) {
        let rest = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Running<ChildStderr> {
    pub(crate) fn noted(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Lines up to one with `words`.
    pub(crate) fn until(&mut self, words: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("no \"{words}\" in {read:?}")).unwrap();
            read.push(line);
            if read.last().unwrap().contains(words) {
                return read;
            }
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
