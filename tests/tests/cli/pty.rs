//! A terminal that a command can be given.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::spawn;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs `command` with a terminal as its standard error: how it ended, what the terminal was sent, and
/// what came to standard output.
pub(crate) fn on_a_terminal(mut command: Command) -> (ExitStatus, String, Vec<u8>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave: OwnedFd = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(slave);
    let child = command.spawn().unwrap();
    // The last hold on the terminal's other end is the child's, so that reading ends when it does.
    drop(command);
    let reader = spawn(move || {
        let mut shown = Vec::new();
        let mut master = std::fs::File::from(master);
        let mut some = [0; 4096];
        // EIO: nobody has the other end any more.
        while let Ok(n @ 1..) = master.read(&mut some) {
            shown.extend_from_slice(&some[..n]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    });
    let output = child.wait_with_output().unwrap();
    (output.status, reader.join().unwrap(), output.stdout)
}
