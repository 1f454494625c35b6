//! The bounds.

use std::time::Duration;

use arcp_client::ClientConfig;

/// The bounds of a [`ProcessAgent`](crate::ProcessAgent), beside those of its
/// [`Program`](crate::Program).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// How often a program that does not start is tried again for one job: 3 starts in all. Then the job
    /// ends with `AGENT_NOT_AVAILABLE`.
    pub starts: u32,
    /// The wait before the first new start; each one after that is twice as long: 100 ms.
    pub backoff_first: Duration,
    /// The longest wait: 30 s.
    pub backoff_most: Duration,
    /// How long a program has to run to count as sound, so that its end is not held against the next
    /// one: 10 s. A job that ends in it shows as much.
    pub sound: Duration,
    /// How long a job of it may take to end once it is cancelled: 10 s. After that no new job is given
    /// to that process, and it is stopped when the others have ended.
    pub cancel: Duration,
    /// The bounds of the session with it: as they are for a client, but 30 s for the hello, since
    /// interpreters start slowly.
    pub client: ClientConfig,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        let mut client = ClientConfig::default();
        client.hello_timeout = Duration::from_secs(30);
        Self {
            starts: 3,
            backoff_first: Duration::from_millis(100),
            backoff_most: Duration::from_secs(30),
            sound: Duration::from_secs(10),
            cancel: Duration::from_secs(10),
            client,
        }
    }
}

impl ProcessConfig {
    /// Changes some bounds.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
