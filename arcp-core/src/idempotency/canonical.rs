//! What a JSON text means, written in one way (§7.2). Stores keep digests of it: it never changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Error;

/// How deep a text may nest: far deeper than a frame may, unless a host allows it.
pub(super) const DEPTH: usize = 512;

/// Appends the canonical form of `text` to `out`. It costs the same however deep the text nests: it is
/// gone through once for its tokens, and each of them is written once.
///
/// # Errors
/// `INVALID_REQUEST` if the text is no JSON, has a text that is no Unicode, or nests deeper than [`DEPTH`].
pub(super) fn canonical(text: &str, out: &mut String) -> Result<(), Error> {
    let mut form = Form::new(text)?;
    form.write(0, out).ok_or_else(not_json)
}

fn not_json() -> Error {
    Error::fault("payload.input", "must be JSON")
}

/// A key or a value; of an object or a list only where it begins.
struct Token<'a> {
    text: &'a str,
    /// The place of what comes behind it and all that it holds.
    next: usize,
}

struct Form<'a> {
    tokens: Vec<Token<'a>>,
    /// Bytes that were looked at, again and again included.
    #[cfg(test)]
    looked_at: usize,
}

impl<'a> Form<'a> {
    fn new(text: &'a str) -> Result<Self, Error> {
        let form = |tokens| Self {
            tokens,
            #[cfg(test)]
            looked_at: text.len(),
        };
        let (mut tokens, mut open): (Vec<Token<'_>>, Vec<usize>) = (Vec::new(), Vec::new());
        let (bytes, mut at) = (text.as_bytes(), 0);
        while let Some(byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                byte if is_between(*byte) => continue,
                b'{' | b'[' if open.len() == DEPTH => {
                    return Err(Error::fault("payload.input", &format!("must nest at most {DEPTH} deep")));
                }
                b'{' | b'[' => open.push(tokens.len()),
                b'}' | b']' => {
                    let next = tokens.len();
                    let opened = open.pop().and_then(|opened| tokens.get_mut(opened));
                    opened.ok_or_else(not_json)?.next = next;
                    continue;
                }
                b'"' => at = end_of_text(bytes, at).ok_or_else(not_json)?,
                _ => {
                    let is_end = |byte: &u8| is_between(*byte) || matches!(byte, b'}' | b']');
                    at = (at..bytes.len()).find(|at| is_end(&bytes[*at])).unwrap_or(bytes.len());
                }
            }
            let text = text.get(start..at).ok_or_else(not_json)?;
            tokens.push(Token { text, next: tokens.len() + 1 });
        }
        if open.is_empty() { Ok(form(tokens)) } else { Err(not_json()) }
    }

    /// The value at place `at`.
    fn write(&mut self, at: usize, out: &mut String) -> Option<()> {
        let Token { text, next } = *self.tokens.get(at)?;
        #[cfg(test)]
        {
            self.looked_at += text.len();
        }
        match text.as_bytes().first()? {
            b'{' => {
                // Of those with the same key the last one counts.
                let (mut members, mut key) = (BTreeMap::<String, usize>::new(), at + 1);
                while key < next {
                    members.insert(serde_json::from_str(self.tokens.get(key)?.text).ok()?, key + 1);
                    #[cfg(test)]
                    {
                        self.looked_at += self.tokens[key].text.len();
                    }
                    key = self.tokens.get(key + 1)?.next;
                }
                out.push('{');
                for (key, value) in members {
                    write!(out, "{key:?}:").ok()?;
                    self.write(value, out)?;
                    out.push(',');
                }
                out.push('}');
            }
            b'[' => {
                let mut item = at + 1;
                out.push('[');
                while item < next {
                    self.write(item, out)?;
                    out.push(',');
                    item = self.tokens.get(item)?.next;
                }
                out.push(']');
            }
            b'"' => {
                let words: String = serde_json::from_str(text).ok()?;
                write!(out, "{words:?}").ok()?;
            }
            b'-' | b'0'..=b'9' => number(text, out),
            _ => out.push_str(text),
        }
        Some(())
    }
}

fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')
}

/// Behind the quote that ends the text in which `at` is.
fn end_of_text(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
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
    let moved = |power: i64| {
        let power = power.checked_add(i64::try_from(digits.len() - significant.len()).ok()?)?;
        power.checked_sub(i64::try_from(fraction.len()).ok()?)
    };
    let Some(power) = exponent.parse().ok().and_then(moved) else {
        // Beyond any number that means something: as it is written.
        return out.push_str(text);
    };
    let sign = if negative { "-" } else { "" };
    let _ = write!(out, "{sign}{significant}e{power}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// The same, level by level.
    fn plainly(text: &str, out: &mut String) -> Option<()> {
        match text.as_bytes().first()? {
            b'{' => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
                out.push('{');
                for (key, value) in members {
                    write!(out, "{key:?}:").ok()?;
                    plainly(value.get(), out)?;
                    out.push(',');
                }
                out.push('}');
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                out.push('[');
                for item in items {
                    plainly(item.get(), out)?;
                    out.push(',');
                }
                out.push(']');
            }
            b'"' => write!(out, "{:?}", serde_json::from_str::<String>(text).ok()?).ok()?,
            b'-' | b'0'..=b'9' => number(text, out),
            _ => out.push_str(text),
        }
        Some(())
    }

    fn json() -> impl Strategy<Value = String> {
        let text = r#""([a-z{}\[\]:, ]|\\["\\/bfnrt]|\\u00[0-9a-f]{2}|\\ud83d\\ude00|\\ud800|é)*""#;
        let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,20})?";
        let leaf =
            prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number.boxed(), text.boxed()];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            let space = || "[ \n\t\r]{0,2}";
            let items = prop::collection::vec((space(), inner.clone(), space()), 0..6);
            let list = |items: Vec<(String, String, String)>| {
                let items: Vec<_> = items.into_iter().map(|(a, item, b)| format!("{a}{item}{b}")).collect();
                format!("[{}]", items.join(","))
            };
            let key = prop_oneof![text.boxed(), "\"[ab]\"".boxed()];
            let members = prop::collection::vec((key, space(), inner), 0..6);
            let object = |members: Vec<(String, String, String)>| {
                let of = |(key, space, value)| format!("{space}{key}{space}:{space}{value}{space}");
                format!("{{{}}}", members.into_iter().map(of).collect::<Vec<_>>().join(","))
            };
            prop_oneof![items.prop_map(list), members.prop_map(object)]
        })
    }

    proptest! {
        #[test]
        fn one_pass_comes_to_what_a_pass_for_each_level_does(text in json()) {
            prop_assert!(serde_json::from_str::<&RawValue>(&text).is_ok());
            let (mut plain, mut out) = (String::new(), String::new());
            let expected = plainly(&text, &mut plain);
            let done = canonical(&text, &mut out).ok();
            prop_assert_eq!(done, expected);
            if done.is_some() {
                prop_assert_eq!(out, plain);
            }
        }

        #[test]
        fn what_is_no_json_does_no_harm(text in r#"[\[\]{}":,\\a0 é-]{0,30}"#) {
            let _ = canonical(&text, &mut String::new());
        }
    }

    #[test]
    fn a_text_is_looked_at_as_often_however_deep_it_nests() {
        let flat = format!("[{}]", vec![r#"{"key":[1,"two"]}"#; 5000].join(","));
        for (open, close) in [("[", "]"), (r#"{"b":1,"a":"#, "}")] {
            for depth in [1, 120] {
                let text = format!("{}{flat}{}", open.repeat(depth), close.repeat(depth));
                let mut form = Form::new(&text).unwrap();
                form.write(0, &mut String::new()).unwrap();
                assert!(form.looked_at < 2 * text.len(), "{} of {} in {depth}", form.looked_at, text.len());
                assert!(form.tokens.len() < text.len() / 2);
            }
        }
    }

    #[test]
    fn an_exponent_at_the_edge_is_as_it_is_written() {
        let form = |text| {
            let mut out = String::new();
            canonical(text, &mut out).unwrap();
            out
        };
        assert_eq!(form("1.5e-9223372036854775808"), "1.5e-9223372036854775808");
        assert_eq!(form("10e9223372036854775807"), "10e9223372036854775807");
        assert_eq!(form("-100e-2"), "-1e0");
    }
}
