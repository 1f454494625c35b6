//! What a process uses, read from `/proc`; zero where there is none.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ticks of processor time in a second: Linux reports 100 to user space on every platform.
const TICKS: f64 = 100.0;

/// Resident memory in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Processor time so far in seconds, of the process and of the kernel for it.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the last parenthesis may have spaces; user and system time follow as the
    // 12th and 13th word.
    let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    words.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Lets this process, and those that it starts, have `files` files open, if that is allowed; how many
/// it may have.
pub fn open_files(files: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // No limit at all is `None`.
    let allowed = limit.maximum.map_or(files, |most| most.min(files));
    if limit.current.is_some_and(|current| current < allowed) {
        let raised = Rlimit { current: Some(allowed), maximum: limit.maximum };
        // The limit that there is says the rest.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = std::process::id();
        assert!(resident(pid) > 100_000);
        assert!(cpu_seconds(pid) >= 0.0);
        assert!(open_files(1) > 0);
        assert_eq!((resident(u32::MAX), cpu_seconds(u32::MAX)), (0, 0.0));
    }
}
