//! What a run found.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use crate::run::Run;
use crate::wire::lock;

/// Violations that are printed when there should be none.
pub(crate) const PRINTED: usize = 5;

/// All that was found, and how the run failed, if it did.
pub(crate) fn violations(run: &Run, done: Result<()>) -> Vec<String> {
    let mut found: Vec<String> = done.err().map(|e| format!("{e:#}")).into_iter().collect();
    let mut jobs: HashMap<String, String> = HashMap::new();
    for record in &run.records {
        let record = lock(record);
        found.extend(record.violations.iter().cloned());
        for (key, job) in record.jobs() {
            let held = jobs.entry(key.clone()).or_insert_with(|| job.clone());
            if held != job {
                found.push(format!("key {key} yielded two jobs: {held} and {job}"));
            }
        }
    }
    found
}

pub(crate) fn print(run: &Run, violations: &[String], printed: usize) {
    let (mut frames, mut received, mut refused, mut jobs) = (0, 0, 0, HashSet::new());
    for record in &run.records {
        let record = lock(record);
        frames += record.frames().len();
        received += record.received;
        refused += record.refused;
        jobs.extend(record.jobs().values().cloned());
    }
    let counts = lock(&run.shared.counts);
    for violation in violations.iter().take(printed) {
        println!("VIOLATION {violation}");
    }
    if run.cuts > 0 {
        println!("{} images, which lacked {} pages and {} names", run.cuts, run.lost.pages, run.lost.names);
    }
    println!(
        "{frames} frames (received {received} times), {} jobs, {} resumes, {} that were given up and {} put \
         off, {refused} submits refused for now, closed with {:?}, {} violations, {} s",
        jobs.len(),
        counts.resumes,
        counts.ghosts,
        counts.put_off,
        counts.closes,
        violations.len(),
        run.began.elapsed().as_secs(),
    );
}
