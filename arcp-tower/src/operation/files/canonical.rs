//! What a path must look like before anything is opened.

use super::fault::Fault;

/// Leases match canonical paths, so only those are opened. The kernel would resolve the rest safely,
/// and then the lease would have been asked about another text than the one that was opened.
pub(super) fn check(path: &str) -> Result<(), Fault> {
    let Some(rest) = path.strip_prefix('/') else { return Err(Fault::Form("must be absolute")) };
    if path.contains('\0') {
        return Err(Fault::Form("must have no NUL"));
    }
    let strange = |part: &str| matches!(part, "" | "." | "..");
    if !rest.is_empty() && rest.split('/').any(strange) {
        return Err(Fault::Form("must have no empty component, no `.` and no `..`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_in_canonical_form_is_opened() {
        for path in ["/", "/a", "/a/b.c", "/a/...", "/a/..b", "/a/%2e%2e/b", "/a/b\\..\\c"] {
            assert!(check(path).is_ok(), "{path}");
        }
        for path in ["", "a", "./a", "~/a", "/a/", "//a", "/a//b", "/a/./b", "/a/..", "/../a", "/a\0b"] {
            assert!(check(path).is_err(), "{path}");
        }
    }
}
