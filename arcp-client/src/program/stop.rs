//! The end of a process: asked for politely, and then made.

use std::time::Duration;

use tokio::process::Child;
use tokio::time::timeout;

/// Waits for a process whose input was closed, or is about to be, and sees that it ends.
pub(super) async fn stop(mut process: Child, grace: Duration) {
    let pid = process.id();
    for signal in [Signal::Term, Signal::Kill] {
        if timeout(grace, process.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(target: "arcp::program", pid, ?signal, "does not end by itself");
        signal.send(&mut process);
    }
    // It is reaped, too: nothing is left behind.
    let _ = process.wait().await;
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Term,
    Kill,
}

impl Signal {
    /// To the process and all that it started.
    #[cfg(unix)]
    fn send(self, process: &mut Child) {
        use rustix::process::{Pid, Signal, kill_process_group};
        // It has none once it was waited for, and then the number may be another's.
        let Some(group) = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
            return;
        };
        let signal = match self {
            Self::Term => Signal::TERM,
            Self::Kill => Signal::KILL,
        };
        // It fails if nobody is left.
        let _ = kill_process_group(group, signal);
    }

    #[cfg(not(unix))]
    fn send(self, process: &mut Child) {
        let _ = process.start_kill();
    }
}
