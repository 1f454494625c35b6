//! The definition of a glob, tried out in every way, and all short texts to try it on.

/// Whether `pattern` matches `text`, segment by segment, each star in every length.
pub(crate) fn matches(pattern: &str, text: &str, separator: char) -> bool {
    let pattern: Vec<&str> = pattern.split(separator).collect();
    let text: Vec<&str> = text.split(separator).collect();
    segments(&pattern, &text)
}

fn segments(pattern: &[&str], text: &[&str]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ["**", rest @ ..] => (0..=text.len()).any(|taken| segments(rest, &text[taken..])),
        [first, rest @ ..] => match text {
            [] => false,
            [segment, after @ ..] => bytes(first.as_bytes(), segment.as_bytes()) && segments(rest, after),
        },
    }
}

fn bytes(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|taken| bytes(rest, &text[taken..])),
        [first, rest @ ..] => text.first() == Some(first) && bytes(rest, &text[1..]),
    }
}

/// Every text of `alphabet` of at most `length` characters.
pub(crate) fn texts(alphabet: &[char], length: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut longest = 0..1;
    for _ in 0..length {
        let from = texts.len();
        for at in longest {
            texts.extend(alphabet.iter().map(|c| format!("{}{c}", texts[at])).collect::<Vec<_>>());
        }
        longest = from..texts.len();
    }
    texts
}

#[test]
fn the_oracle_knows_the_definition() {
    assert_eq!(texts(&['a', '/'], 2), ["", "a", "/", "aa", "a/", "/a", "//"]);
    for (pattern, text, answer) in [
        ("/ws/**", "/ws", true),
        ("/ws/**", "/ws-private", false),
        ("a*/**/b", "ax/b", true),
        ("a*/**/b", "a/x/y/b", true),
        ("*", "a/b", false),
    ] {
        assert_eq!(matches(pattern, text, '/'), answer, "{pattern} {text}");
    }
}
