//! When two submits are the same (§7.2): a digest of what they mean, not of how they are written.

mod canonical;

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use self::canonical::canonical;
use crate::wire::job::Submit;
use crate::{Error, Json};

/// A digest of the parameters of a submit. Key order, white space, the way numbers are written, and
/// whether a default is written at all make no difference.
///
/// # Errors
/// `INVALID_REQUEST` if the input cannot be read, or nests deeper than 512.
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
/// `INVALID_REQUEST` if one cannot be read, or nests deeper than 512.
pub fn same_meaning(a: &Json, b: &Json) -> Result<bool, Error> {
    let (mut first, mut second) = (String::new(), String::new());
    canonical(a.as_str(), &mut first)?;
    canonical(b.as_str(), &mut second)?;
    Ok(first == second)
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

    /// Fingerprints are kept in stores, and those of a version before this one have to be found again.
    #[test]
    fn p19_fingerprints_are_what_they_were_in_every_version() {
        let golden = [
            (
                r#"{"agent":"a","input":null}"#,
                "9ccaf274f1618c66f69c477d7da4078788947dd41b82e58e5ed067478fd68973",
            ),
            (
                r#"{"agent":"a@1.0.0","input":{}}"#,
                "50149d6730e3e854e564eff64915d3f7753aa87a0c71a10c8c99d68589605b2c",
            ),
            (
                r#"{"agent":"a","input":[[],{},"",true,false,null,[[[]]]]}"#,
                "cce6931a37589d3e4f014e1559589d809139613e7c78cb368d8bc7ac73652dc7",
            ),
            (
                r#"{"agent":"a","input":[0,-0,0.0e9,1,-1,10,0.1,1e3,1E+3,1.50e-2,-12.3400,9007199254740993]}"#,
                "2d8fd08252ff1e37d5d85d51541687a08c80293f2da80e9c27e6fb0c0689b88f",
            ),
            (
                r#"{"agent":"a","input":[1e400,-1e-400,1e99999999999999999999,123456789012345678901234567890]}"#,
                "69276c13f32769e8b6c4424c647a14dfaaaac73c60bd162cdafdcf75b01e7274",
            ),
            (
                r#"{"agent":"a","input":{"b":1,"a":{"z":[{"y":2,"x":3}],"é":"\u00e9"},"B":2,"":0}}"#,
                "9296a72fe76e75292dbcc0c631b59026cf4981dff12ab437c32c10fd79b5f150",
            ),
            (
                r#"{"agent":"a","input":{"a":1,"b":2,"\u0061":{"c":[3,{"c":4,"c":5}]}}}"#,
                "cadd6d6c235d197769a6992e1b24b60f4d6c3731e89f0f9a26c719519d2a4cf6",
            ),
            (
                r#"{"agent":"a","input":"\"\\\/\b\f\n\r\t\u0000\u001f\u007f\u200b\ud83d\ude00'"}"#,
                "76083fe0044daab1ef67480e6ac1f30dbbe8953e668ab0891ad4ee6d16339d14",
            ),
            (
                r#"{"agent":"a","input":{"\"k\\\n{[,:":"}],\\\"{"}}"#,
                "56b72829d5f54d329e8ecfda12c9303b8dc112d06ea28a2d3baa14b119b49cd2",
            ),
            (
                r#"{"agent":"a","input": [ { "a" : [ 1 , 2 ] , "b" : "x y" } , 3 ] ,"max_runtime_sec":60}"#,
                "05adabb3ab5a7e5896909adf0134be64e40f3c42709d717b4ed525750b387cfa",
            ),
            (
                r#"{"agent":"a","input":1,"lease_request":{"fs.read":["/a","/b"],"net.fetch":["x"]},"lease_constraints":{"expires_at":"2030-01-01T00:00:00Z"}}"#,
                "325c56ae8a5d29cf94e00a660ac7947ce54e0670b0e9cc48e1bf6ae353099380",
            ),
        ];
        for (text, expected) in golden {
            let mut found = String::new();
            submit(text).iter().for_each(|byte| write!(found, "{byte:02x}").unwrap());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_nests_too_deep_is_refused_and_not_followed() {
        let nested =
            |depth: usize| Json::parse(format!("{}{}", "[".repeat(depth), "]".repeat(depth))).unwrap();
        assert!(same_meaning(&nested(512), &nested(512)).unwrap());
        for (a, b) in [(513, 1), (1, 513), (1_000_000, 1_000_000)] {
            let e = same_meaning(&nested(a), &nested(b)).unwrap_err();
            assert_eq!(e.message(), "payload.input: must nest at most 512 deep");
        }
    }
}
