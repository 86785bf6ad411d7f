//! Writing JSON text. What a long conversation costs on its way to another wire is mostly its strings: here they are
//! copied piece by piece, and only what needs an escape is looked at byte by byte. The text is what serde writes.

use serde_json::Value;

/// Bytes that are looked at in one go.
const BLOCK: usize = 32;

/// `value` as text.
#[must_use]
pub fn text(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// Appends `value`. No reader makes trees that are too deep for it.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(words) => string(words, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            for (at, (key, value)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => by_serde(value, out),
    }
}

/// Appends `words` as a string.
pub fn string(words: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = words.as_bytes();
    while !rest.is_empty() {
        let (blocks, _) = rest.as_chunks::<BLOCK>();
        let plain = blocks.iter().take_while(|block| is_plain(block)).count() * BLOCK;
        let (plain, mixed) = rest.split_at(plain);
        out.extend_from_slice(plain);
        let (block, behind) = mixed.split_at(mixed.len().min(BLOCK));
        block.iter().for_each(|byte| escape(*byte, out));
        rest = behind;
    }
    out.push(b'"');
}

/// Whether bytes mean nothing in a string but themselves. Without a way out in the middle, so that it is done many
/// bytes at a time.
pub(crate) fn is_plain<const N: usize>(bytes: &[u8; N]) -> bool {
    let marked = |byte: &u8| u8::from(*byte < b' ') | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
    bytes.iter().fold(0, |found, byte| found | marked(byte)) == 0
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        0..b' ' => {
            let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Null, truth values and numbers, none of which can fail.
fn by_serde(value: &Value, out: &mut Vec<u8>) {
    let before = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_serde_writes(
            words in prop::collection::vec(prop_oneof!["\\PC{0,90}", "[\\x00-\\x1f\"\\\\/é☃😀a]{0,90}"], 0..4),
            number in any::<f64>(),
            whole in any::<i64>(),
        ) {
            let mut value = serde_json::json!({"n": number, "w": whole, "z": null, "t": true, "l": words, "": []});
            for word in &words {
                value[word.as_str()] = serde_json::json!({ "x": [word, {}] });
            }
            prop_assert_eq!(String::from_utf8(text(&value)).unwrap(), value.to_string());
        }
    }
}
