//! What a frame may look like before any of it is decoded: how deep, and with which texts.

/// What a frame may look like.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// How deep objects and arrays may nest, in the payload too.
    pub depth: usize,
    /// Whether a text may have half of a surrogate pair, `"\ud800"`. JSON has it, UTF-8 does not, and so
    /// not every peer can read it. True: what a peer says is taken as far as it goes.
    pub lone_surrogates: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self::depth(128)
    }
}

impl Limits {
    /// Objects and arrays nest at most `depth` deep.
    pub fn depth(depth: usize) -> Self {
        Self { depth, lone_surrogates: true }
    }
}

/// Counts brackets outside texts, and looks at what is escaped within. `serde_json` skips raw values
/// without a limit of its own, so the payload has to be looked at before any of it is decoded. The rule
/// that is broken, if one is.
pub(super) fn look_through(text: &str, limits: Limits) -> Result<(), String> {
    let (mut depth, mut quoted) = (0usize, false);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                // Whatever it is, it does not end the text.
                let unicode = bytes.next().is_some_and(|(_, byte)| byte == b'u');
                if unicode && !limits.lone_surrogates {
                    match surrogate(&text[at..]) {
                        Surrogate::None => {}
                        // The second half is no first one.
                        Surrogate::Pair => _ = bytes.nth(9),
                        Surrogate::Lone => return Err("must have no lone surrogate".to_owned()),
                    }
                }
            }
            b'{' | b'[' if !quoted => {
                depth += 1;
                if depth > limits.depth {
                    return Err(format!("must nest at most {} deep", limits.depth));
                }
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

enum Surrogate {
    None,
    Pair,
    Lone,
}

/// Which one `escaped` begins with, as `\uXXXX`.
fn surrogate(escaped: &str) -> Surrogate {
    let unit = |at: usize| u16::from_str_radix(escaped.get(at + 2..at + 6)?, 16).ok();
    match unit(0) {
        Some(0xD800..=0xDBFF) => {
            let paired = escaped.get(6..8) == Some("\\u") && matches!(unit(6), Some(0xDC00..=0xDFFF));
            if paired { Surrogate::Pair } else { Surrogate::Lone }
        }
        Some(0xDC00..=0xDFFF) => Surrogate::Lone,
        _ => Surrogate::None,
    }
}

#[cfg(test)]
mod tests {
    use bytestring::ByteString;

    use super::*;
    use crate::Envelope;

    fn decode(text: &str) -> Result<Envelope, String> {
        Envelope::decode(&text.into(), Limits::default()).map_err(|fault| fault.error.message().to_owned())
    }

    #[test]
    fn depth_is_bounded_before_anything_is_decoded() {
        let nested = |n: usize| {
            format!(r#"{{"arcp":"1.1","type":"a","payload":{{"x":{}{}}}}}"#, "[".repeat(n), "]".repeat(n))
        };
        assert!(decode(&nested(126)).is_ok());
        assert_eq!(decode(&nested(127)).unwrap_err(), "message: must nest at most 128 deep");
        assert_eq!(decode(&"[".repeat(200_000)).unwrap_err(), "message: must nest at most 128 deep");
        let brackets_in_text =
            format!(r#"{{"arcp":"1.1","type":"a","payload":{{"x":"\"{}"}}}}"#, "[".repeat(500));
        assert!(decode(&brackets_in_text).is_ok());
    }

    #[test]
    fn bad_input_10_half_of_a_surrogate_pair_is_in_no_text_where_that_is_asked_for() {
        let strict = Limits { lone_surrogates: false, ..Limits::default() };
        let frame = |text: &str| {
            ByteString::from(format!(r#"{{"arcp":"1.1","type":"a","payload":{{"x":["{text}"]}}}}"#))
        };
        for whole in [
            r"\ud83d\ude00",
            r"\uD83D\uDE00\ud83d\ude00x",
            r"\\ud800",
            r"\ud7ff\ue000",
            r"\u0000",
            "\u{1F600}",
            r"\\\\",
        ] {
            assert!(Envelope::decode(&frame(whole), strict).is_ok(), "{whole}");
        }
        for lone in [
            r"\ud800",
            r"\udc00",
            r"\ude00\ud83d",
            r"\ud83d\ud83d\ude00",
            r"\ud83d\\ude00",
            r"\ud83dx",
            r"\\\ud800",
        ] {
            let fault = Envelope::decode(&frame(lone), strict).unwrap_err();
            assert_eq!(fault.error.message(), "message: must have no lone surrogate", "{lone}");
            assert!(Envelope::decode(&frame(lone), Limits::default()).is_ok(), "{lone}");
        }
        // What is no escape at all is no JSON either.
        for broken in [r"\ud8", r"\u", r"\uzzzz"] {
            assert!(Envelope::decode(&frame(broken), strict).is_err(), "{broken}");
        }
    }
}
