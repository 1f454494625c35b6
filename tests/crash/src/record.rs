//! What one session was told, and what may not be so.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::time::Instant;

use serde_json::Value;

/// How much of the history a violation tells.
const HISTORY: usize = 8;

/// What came in on any connection of a session.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) session: String,
    /// The newest token.
    pub(crate) token: String,
    frames: BTreeMap<u64, String>,
    /// All numbers up to this one came.
    upto: u64,
    /// The highest number that was acknowledged.
    pub(crate) acked: u64,
    /// The job of each key.
    jobs: HashMap<String, String>,
    /// How often each key was submitted.
    submits: HashMap<String, u64>,
    /// Jobs whose terminal message came.
    ended: HashSet<String>,
    /// Numbered frames that came in, repeats included.
    pub(crate) received: u64,
    /// Submits that were refused for now.
    pub(crate) refused: u64,
    pub(crate) violations: Vec<String>,
    /// What happened to the session of late.
    history: VecDeque<(Instant, String)>,
}

impl Record {
    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        let mut violation = format!("{}: {}", self.session, what.into());
        for (at, what) in &self.history {
            let _ = write!(violation, "\n    {} ms before: {what}", at.elapsed().as_millis());
        }
        self.violations.push(violation);
    }

    /// Something happened that may explain a violation.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((Instant::now(), what.into()));
    }

    pub(crate) fn frames(&self) -> &BTreeMap<u64, String> {
        &self.frames
    }

    pub(crate) fn upto(&self) -> u64 {
        self.upto
    }

    /// Jobs that were accepted and have not ended.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&String, &String)> {
        self.jobs.iter().filter(|(_, job)| !self.ended.contains(*job))
    }

    /// A numbered frame. Returns its number.
    pub(crate) fn numbered(&mut self, frame: &Value, text: &str) -> Option<u64> {
        let seq = frame["event_seq"].as_u64()?;
        self.received += 1;
        if let Some(before) = self.frames.get(&seq) {
            if before != text {
                let what = format!("number {seq} came with two contents:\n    {before}\n    {text}");
                self.violation(what);
            }
            return Some(seq);
        }
        self.frames.insert(seq, text.to_owned());
        while self.frames.contains_key(&(self.upto + 1)) {
            self.upto += 1;
        }
        if is_terminal(frame) {
            self.ended.insert(frame["job_id"].as_str().unwrap_or_default().to_owned());
        }
        Some(seq)
    }

    pub(crate) fn submitted(&mut self, key: &str) {
        *self.submits.entry(key.to_owned()).or_default() += 1;
    }

    pub(crate) fn accepted(&mut self, key: &str, frame: &Value) {
        let job = frame["job_id"].as_str().or(frame["payload"]["job_id"].as_str()).unwrap_or_default();
        let held = self.jobs.entry(key.to_owned()).or_insert_with(|| job.to_owned()).clone();
        if held != job {
            self.violation(format!("key {key} yielded two jobs: {held} and {job}"));
        }
    }

    pub(crate) fn job_of(&self, key: &str) -> Option<&String> {
        self.jobs.get(key)
    }

    /// The job of each key.
    pub(crate) fn jobs(&self) -> &HashMap<String, String> {
        &self.jobs
    }

    /// The terminal message of a job, if it came.
    pub(crate) fn end_of(&self, job: &str) -> Option<Value> {
        let frames = self.frames.values().rev().filter_map(|text| serde_json::from_str::<Value>(text).ok());
        frames.filter(|_| self.ended.contains(job)).find(|frame| is_terminal(frame) && frame["job_id"] == job)
    }

    /// What it still waits for; empty when there is nothing.
    pub(crate) fn lacks(&self) -> Vec<String> {
        let unanswered = self.submits.keys().filter(|key| !self.jobs.contains_key(*key));
        let unanswered = unanswered.map(|key| format!("the submit with key {key} was never answered"));
        let open = self.open().map(|(key, job)| format!("{job} (key {key}) was accepted and never ended"));
        unanswered.chain(open).collect()
    }

    /// Looks at everything that came, in the order of its numbers.
    pub(crate) fn check(&mut self) {
        let mut found = Vec::new();
        if let Some(last) = self.frames.keys().next_back().filter(|last| **last != self.upto) {
            found.push(format!("number {} never came, but {last} did", self.upto + 1));
        }
        let keys: HashMap<&str, &str> = self.jobs.iter().map(|(key, job)| (&**job, &**key)).collect();
        let mut ends: HashMap<String, (u64, Value, u64)> = HashMap::new();
        for (seq, text) in &self.frames {
            let frame: Value = serde_json::from_str(text).unwrap_or_default();
            let job = frame["job_id"].as_str().unwrap_or_default();
            match (ends.get_mut(job), is_terminal(&frame)) {
                (None, false) => {}
                (None, true) => _ = ends.insert(job.to_owned(), (*seq, frame["payload"].clone(), 1)),
                (Some((end, _, _)), false) => {
                    found.push(format!("{job} ended with number {end}, and {seq} came after it: {text}"));
                }
                // A repeated submit of a job that has ended is answered with its end, once more (§7.2).
                (Some((end, payload, times)), true) => {
                    *times += 1;
                    let allowed = keys.get(job).and_then(|key| self.submits.get(*key)).copied().unwrap_or(1);
                    if *times > allowed || *payload != frame["payload"] {
                        found.push(format!("{job} ended with number {end}, and again with {seq}: {text}"));
                    }
                }
            }
        }
        for what in found {
            self.violation(what);
        }
    }

    /// Compares with what `arcp replay` printed from `after` on.
    pub(crate) fn compare(&mut self, after: u64, printed: &[String]) {
        let mut expected = self.frames.range(after + 1..);
        for (line, seq) in printed.iter().zip(after + 1..) {
            let what = match expected.next() {
                Some((_, text)) if text == line => continue,
                Some((_, text)) => format!("replay prints something else:\n    {text}\n    {line}"),
                // Numbered, and lost on the way: the numbers must go on.
                None if number(line) == Some(seq) => continue,
                None => format!("replay should go on with {seq}: {line}"),
            };
            return self.violation(what);
        }
        if let Some((seq, text)) = expected.next() {
            let what = format!("replay does not print number {seq}: {text}");
            self.violation(what);
        }
    }
}

pub(crate) fn is_terminal(frame: &Value) -> bool {
    matches!(frame["type"].as_str(), Some("job.result" | "job.error"))
}

fn number(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["event_seq"].as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(frames: &[Value]) -> Record {
        let mut record = Record::default();
        for frame in frames {
            record.numbered(frame, &frame.to_string());
        }
        record.check();
        record
    }

    fn event(seq: u64, kind: &str, job: &str) -> Value {
        json!({ "type": kind, "event_seq": seq, "job_id": job, "payload": {} })
    }

    #[test]
    fn what_is_in_order_is_no_violation() {
        let frames = [event(2, "job.event", "a"), event(1, "job.event", "b"), event(3, "job.result", "a")];
        let mut record = told(&frames);
        let mut lines: Vec<String> = record.frames.values().cloned().collect();
        lines.push(event(4, "job.event", "b").to_string());
        record.compare(0, &lines);
        record.compare(2, &lines[2..]);
        assert_eq!(record.violations, [""; 0]);
    }

    #[test]
    fn each_violation_is_found() {
        let gap = [event(1, "job.event", "a"), event(3, "job.event", "a")];
        let contents = [event(1, "job.event", "a"), event(1, "job.event", "b")];
        let twice = [event(1, "job.result", "a"), event(2, "job.error", "a")];
        let after = [event(1, "job.result", "a"), event(2, "job.event", "a")];
        for frames in [gap, contents, twice, after] {
            assert_eq!(told(&frames).violations.len(), 1, "{frames:?}");
        }
        let mut record = Record::default();
        record.accepted("key", &json!({ "job_id": "a" }));
        record.accepted("key", &json!({ "job_id": "b" }));
        assert_eq!(record.violations.len(), 1);
    }

    #[test]
    fn a_replay_that_differs_is_found() {
        let frames = [event(1, "job.event", "a"), event(2, "job.event", "a")];
        let lines = |numbers: &[u64]| -> Vec<String> {
            numbers.iter().map(|seq| event(*seq, "job.event", "a").to_string()).collect()
        };
        for printed in [&[1][..], &[], &[2, 1], &[1, 2, 4]] {
            let mut record = told(&frames);
            record.compare(0, &lines(printed));
            assert_eq!(record.violations.len(), 1, "{printed:?}");
        }
    }
}
