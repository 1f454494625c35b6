//! The life cycle of a job (§7.3, §7.4), without the job: who wins when it finishes, is cancelled
//! and runs out of time at once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Accepted, its agent has not begun.
    Pending,
    /// Its agent runs.
    Running,
    /// It ended well.
    Success,
    /// It ended badly.
    Error,
    /// It ended because its client wanted it to.
    Cancelled,
    /// It ended because its time was up.
    #[serde(alias = "timedout")]
    TimedOut,
}

impl Status {
    /// Whether nothing follows.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalStatus {
    /// Well.
    #[default]
    Success,
    /// Badly.
    Error,
    /// Its client wanted it to.
    Cancelled,
    /// Its time was up.
    #[serde(alias = "timedout")]
    TimedOut,
}

impl FinalStatus {
    /// The status as it is on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => Status::Success.as_str(),
            Self::Error => Status::Error.as_str(),
            Self::Cancelled => Status::Cancelled.as_str(),
            Self::TimedOut => Status::TimedOut.as_str(),
        }
    }

    pub(crate) fn error() -> Self {
        Self::Error
    }
}

impl fmt::Display for FinalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Status::from(*self).fmt(f)
    }
}

impl TryFrom<Status> for FinalStatus {
    type Error = Status;
    /// How a job ended, if it did.
    fn try_from(status: Status) -> Result<Self, Status> {
        match status {
            Status::Success => Ok(Self::Success),
            Status::Error => Ok(Self::Error),
            Status::Cancelled => Ok(Self::Cancelled),
            Status::TimedOut => Ok(Self::TimedOut),
            unfinished => Err(unfinished),
        }
    }
}

impl From<FinalStatus> for Status {
    fn from(end: FinalStatus) -> Self {
        match end {
            FinalStatus::Success => Self::Success,
            FinalStatus::Error => Self::Error,
            FinalStatus::Cancelled => Self::Cancelled,
            FinalStatus::TimedOut => Self::TimedOut,
        }
    }
}

/// The life cycle. Every input may come at any time, and in any order; the job ends once.
///
/// ```
/// use arcp_core::job::{FinalStatus, Lifecycle};
/// let mut life = Lifecycle::default();
/// life.start();
/// assert!(life.cancel(), "the cancellation is taken");
/// assert!(!life.expire(), "too late to run out of time");
/// assert_eq!(life.finish(FinalStatus::Success), Some(FinalStatus::Cancelled));
/// assert_eq!(life.finish(FinalStatus::Success), None, "it has ended");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifecycle(State);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Pending,
    Running,
    /// Told to stop; how it ends is decided.
    Stopping(FinalStatus),
    Ended(FinalStatus),
}

impl Lifecycle {
    /// The life of a job that ended before.
    pub fn ended(end: FinalStatus) -> Self {
        Self(State::Ended(end))
    }

    /// Where the job stands.
    pub fn status(self) -> Status {
        match self.0 {
            State::Pending => Status::Pending,
            State::Running | State::Stopping(_) => Status::Running,
            State::Ended(end) => end.into(),
        }
    }

    /// The agent begins.
    pub fn start(&mut self) {
        if self.0 == State::Pending {
            self.0 = State::Running;
        }
    }

    /// The client wants the job to end. `true` if it will end as cancelled: also when it was asked
    /// for before. `false` if it has ended, or is ending for another reason.
    pub fn cancel(&mut self) -> bool {
        self.stop(FinalStatus::Cancelled)
    }

    /// The job's time is up. `true` if it will end for that.
    pub fn expire(&mut self) -> bool {
        self.stop(FinalStatus::TimedOut)
    }

    /// The job's lease has ended (§9.5). `true` if it will end for that.
    pub fn lapse(&mut self) -> bool {
        self.stop(FinalStatus::Error)
    }

    fn stop(&mut self, end: FinalStatus) -> bool {
        match self.0 {
            State::Pending | State::Running => {
                self.0 = State::Stopping(end);
                true
            }
            State::Stopping(decided) => decided == end,
            State::Ended(_) => false,
        }
    }

    /// Why the job was told to stop, if it was.
    pub fn stopping(self) -> Option<FinalStatus> {
        match self.0 {
            State::Stopping(end) => Some(end),
            _ => None,
        }
    }

    /// The agent is done, or is not waited for any longer. Returns how the job ends; `None` if it
    /// has ended already.
    pub fn finish(&mut self, by_itself: FinalStatus) -> Option<FinalStatus> {
        let end = match self.0 {
            State::Pending | State::Running => by_itself,
            State::Stopping(decided) => decided,
            State::Ended(_) => return None,
        };
        self.0 = State::Ended(end);
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Input {
        Start,
        Cancel,
        Expire,
        Lapse,
        Finish(FinalStatus),
    }

    fn input() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(Input::Start),
            Just(Input::Cancel),
            Just(Input::Expire),
            Just(Input::Lapse),
            Just(Input::Finish(FinalStatus::Success)),
            Just(Input::Finish(FinalStatus::Error)),
        ]
    }

    proptest! {
        #[test]
        fn t68_a_job_ends_once_and_what_was_promised_first_holds(inputs in prop::collection::vec(input(), 0..20)) {
            let (mut life, mut ends, mut promised) = (Lifecycle::default(), Vec::new(), None);
            for i in inputs {
                let before = life.status();
                match i {
                    Input::Start => life.start(),
                    Input::Cancel if life.cancel() => promised = promised.or(Some(FinalStatus::Cancelled)),
                    Input::Expire if life.expire() => promised = promised.or(Some(FinalStatus::TimedOut)),
                    Input::Lapse if life.lapse() => promised = promised.or(Some(FinalStatus::Error)),
                    Input::Finish(by_itself) => {
                        if let Some(end) = life.finish(by_itself) {
                            prop_assert_eq!(end, promised.unwrap_or(by_itself));
                            ends.push(end);
                        }
                    }
                    _ => {}
                }
                if before.is_terminal() {
                    prop_assert_eq!(before, life.status());
                }
            }
            prop_assert!(ends.len() <= 1);
            prop_assert_eq!(life.status().is_terminal(), ends.len() == 1);
        }
    }
}
