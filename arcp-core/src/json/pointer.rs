//! Where in a text a fault is, as a JSON pointer (RFC 6901).

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// The deepest value of `text` on the way of `path`. It always names one that is there: a name that serde
/// knows and the text has not, such as the variant that a string stands for, ends the way.
pub(super) fn pointer(path: &Path, text: &str) -> String {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let mut at = String::new();
    for segment in path {
        let token = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                key.replace('~', "~0").replace('/', "~1")
            }
            Segment::Unknown => break,
        };
        let next = format!("{at}/{token}");
        if document.pointer(&next).is_none() {
            break;
        }
        at = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use crate::Json;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum Shape {
        Circle(u32),
        Named { sides: Vec<u8> },
    }

    #[test]
    fn a_fault_has_a_pointer_to_a_value_that_is_there() {
        let cases = [
            (r#"{"a/b~c":[{"Circle":1},{"Circle":"x"}]}"#, "/a~1b~0c/1/Circle"),
            (r#"{"a":[{"Named":{"sides":[1,300]}}]}"#, "/a/0/Named/sides/1"),
            (r#"{"a":[{"Named":{}}]}"#, "/a/0/Named"),
            (r#"{"a":["Circle"]}"#, "/a/0"),
            ("7", ""),
        ];
        for (text, wanted) in cases {
            let json = Json::parse(text).unwrap();
            let fault = json.decode_at::<BTreeMap<String, Vec<Shape>>>("input").unwrap_err();
            let details: serde_json::Value = fault.details().unwrap().decode().unwrap();
            assert_eq!(details["pointer"], wanted, "{text}");
        }
    }
}
