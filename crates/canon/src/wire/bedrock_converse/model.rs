//! What a model's name tells: the path it makes, and the family whose own settings it takes. The wire carries those
//! settings unread, and each family has its own words.

use std::fmt::Write as _;

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    Mistral,
    Cohere,
    OpenAi,
    Other,
}

/// The family of the model called `name` (an id, a profile of a region, an ARN).
pub(super) fn family(name: &str) -> Family {
    let table = [
        ("claude", Family::Claude),
        ("anthropic.", Family::Claude),
        ("amazon.nova", Family::Nova),
        ("mistral.", Family::Mistral),
        ("cohere.", Family::Cohere),
        ("openai.", Family::OpenAi),
    ];
    table.iter().find(|(word, _)| name.contains(word)).map_or(Family::Other, |(_, family)| *family)
}

/// `name` as one piece of a path.
pub(super) fn in_path(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The name that a piece of a path stands for; what is no escape stays as it is.
pub(super) fn from_path(piece: &str) -> String {
    let mut out = Vec::with_capacity(piece.len());
    let mut rest = piece.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).filter(|two| *first == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| piece.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_through_a_path() {
        let arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-v1:0";
        for name in ["anthropic.claude-3-haiku-20240307-v1:0", arn, "a%41", "ä b"] {
            let path = in_path(name);
            assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{path}");
            assert_eq!(from_path(&path), name);
        }
        assert_eq!(from_path("anthropic.claude-v2:1"), "anthropic.claude-v2:1");
        assert_eq!(
            (from_path("100%"), from_path("a%zz%+1"), from_path("%ff")),
            ("100%".into(), "a%zz%+1".into(), "%ff".into())
        );
        assert_eq!((family(arn), family("us.amazon.nova-lite-v1:0")), (Family::Claude, Family::Nova));
    }
}
