//! When two submits are the same (§7.2): a digest of what they mean, not of how they are written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::wire::job::Submit;
use crate::{Error, Json};

/// A digest of the parameters of a submit. Key order, white space, the way numbers are written, and
/// whether a default is written at all make no difference.
///
/// # Errors
/// `INVALID_REQUEST` if the input cannot be read.
pub fn fingerprint(submit: &Submit) -> Result<[u8; 32], Error> {
    let mut text = String::new();
    let expires_at = submit.lease_constraints.as_ref().and_then(|c| c.expires_at.as_deref());
    let _ = write!(text, "{}\n{:?}\n{expires_at:?}\n", submit.agent, submit.max_runtime_sec);
    for (namespace, patterns) in submit.lease_request.0.iter().filter(|(_, patterns)| !patterns.is_empty()) {
        let _ = writeln!(text, "{} {patterns:?}", namespace.as_str());
    }
    canonical(submit.input.as_str(), &mut text)?;
    Ok(Sha256::digest(&text).into())
}

/// Whether two JSON texts mean the same.
///
/// ```
/// use arcp_core::{Json, idempotency::same_meaning};
/// let (a, b) = (Json::parse(r#"{"a":1.0,"b":[]}"#).unwrap(), Json::parse(r#"{ "b":[], "a":10e-1 }"#).unwrap());
/// assert!(same_meaning(&a, &b).unwrap());
/// ```
///
/// # Errors
/// `INVALID_REQUEST` if one cannot be read.
pub fn same_meaning(a: &Json, b: &Json) -> Result<bool, Error> {
    let (mut first, mut second) = (String::new(), String::new());
    canonical(a.as_str(), &mut first)?;
    canonical(b.as_str(), &mut second)?;
    Ok(first == second)
}

fn canonical(text: &str, out: &mut String) -> Result<(), Error> {
    let fault = |_| Error::fault("payload.input", "must be JSON");
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(fault)?;
            out.push('{');
            for (key, value) in members {
                let _ = write!(out, "{key:?}:");
                canonical(value.get(), out)?;
                out.push(',');
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(fault)?;
            out.push('[');
            for item in items {
                canonical(item.get(), out)?;
                out.push(',');
            }
            out.push(']');
        }
        Some(b'"') => {
            let words: String = serde_json::from_str(text).map_err(fault)?;
            let _ = write!(out, "{words:?}");
        }
        Some(b'-' | b'0'..=b'9') => number(text, out),
        _ => out.push_str(text),
    }
    Ok(())
}

/// A number as digits and the power of ten behind them: exact, whatever its size.
fn number(text: &str, out: &mut String) {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return out.push('0');
    }
    let Ok(exponent) = exponent.parse::<i64>() else {
        // Beyond any number that means something: as it is written.
        return out.push_str(text);
    };
    let shift = i64::try_from(digits.len() - significant.len()).unwrap_or(0);
    let power = exponent.saturating_add(shift) - i64::try_from(fraction.len()).unwrap_or(0);
    let sign = if negative { "-" } else { "" };
    let _ = write!(out, "{sign}{significant}e{power}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(json: &str) -> [u8; 32] {
        fingerprint(&Json::parse(json.to_owned()).unwrap().decode().unwrap()).unwrap()
    }

    #[test]
    fn what_means_the_same_has_the_same_fingerprint() {
        let base = submit(r#"{"agent":"a","input":{"x":1,"y":[10,"é"]}}"#);
        for same in [
            r#"{"input":{"y":[1e1,"\u00e9"],"x":1.0},"agent":"a"}"#,
            r#"{"agent":"a","input":{"x":1,"y":[10,"é"]},"lease_request":{},"idempotency_key":"k"}"#,
            r#"{"agent":"a","input": { "x" : 0.1e1 , "y" : [ 100e-1, "é" ] },"lease_request":{"fs.read":[]}}"#,
        ] {
            assert_eq!(submit(same), base, "{same}");
        }
        for other in [
            r#"{"agent":"a@1.0.0","input":{"x":1,"y":[10,"é"]}}"#,
            r#"{"agent":"a","input":{"x":-1,"y":[10,"é"]}}"#,
            r#"{"agent":"a","input":{"x":"1","y":[10,"é"]}}"#,
            r#"{"agent":"a","input":{"x":1,"y":["é",10]}}"#,
            r#"{"agent":"a","input":{"x":1,"y":[10,"é"]},"max_runtime_sec":1}"#,
            r#"{"agent":"a","input":{"x":1,"y":[10,"é"]},"lease_request":{"fs.read":["/a"]}}"#,
        ] {
            assert_ne!(submit(other), base, "{other}");
        }
    }

    #[test]
    fn numbers_beyond_a_float_are_told_apart() {
        assert_ne!(
            submit(r#"{"agent":"a","input":9007199254740993}"#),
            submit(r#"{"agent":"a","input":9007199254740992}"#)
        );
        assert_eq!(submit(r#"{"agent":"a","input":-0}"#), submit(r#"{"agent":"a","input":0.00}"#));
    }
}
