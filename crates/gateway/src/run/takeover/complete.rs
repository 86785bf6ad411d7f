//! Completing JSON that was half said with a whole value of the same meaning: what is still to be said so that the two
//! halves are one JSON text. Pure. Gives nothing where the value contradicts what was said.

use serde_json::{Map, Value};

/// What must follow `half` so that it becomes JSON that says `whole`; `None`: `half` says something else already.
pub(super) fn complete(half: &str, whole: &str) -> Option<String> {
    // The common case: the second model writes the very same text.
    if let Some(rest) = whole.strip_prefix(half)
        && serde_json::from_str::<Value>(whole).is_ok()
    {
        return Some(rest.to_owned());
    }
    let value: Value = serde_json::from_str(whole).ok()?;
    let mut reader = Half { text: half, at: 0 };
    let rest = reader.value(&value)?;
    reader.blanks();
    // Nothing may follow a whole value.
    if reader.at < half.len() {
        return None;
    }
    let done = format!("{half}{rest}");
    (serde_json::from_str::<Value>(&done).ok()? == value).then_some(rest)
}

/// Reads a half text along a whole value.
struct Half<'a> {
    text: &'a str,
    at: usize,
}

impl Half<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\n', '\r', '\t']).len();
    }

    fn is_over(&mut self) -> bool {
        self.blanks();
        self.at >= self.text.len()
    }

    fn take(&mut self, sign: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    /// What is missing of `value`; empty where it was said whole.
    fn value(&mut self, value: &Value) -> Option<String> {
        if self.is_over() {
            return Some(value.to_string());
        }
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(items) => self.array(items),
            Value::String(text) => self.string(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.word(value),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>) -> Option<String> {
        if !self.take('{') {
            return None;
        }
        let mut left: Vec<(&String, &Value)> = fields.iter().collect();
        let mut first = true;
        loop {
            if self.is_over() {
                return Some(close(&left, first, '}'));
            }
            if self.take('}') {
                return left.is_empty().then(String::new);
            }
            if !first && !self.take(',') {
                return None;
            }
            if self.is_over() {
                // After a comma something must come.
                return (!left.is_empty()).then(|| close(&left, true, '}'));
            }
            let (at, missing) = self.key(&left)?;
            let (_, value) = left.remove(at);
            if let Some(missing) = missing {
                return Some(format!("{missing}:{value}{}", close(&left, false, '}')));
            }
            if self.is_over() {
                return Some(format!(":{value}{}", close(&left, false, '}')));
            }
            if !self.take(':') {
                return None;
            }
            let missing = self.value(value)?;
            if self.is_over() {
                return Some(format!("{missing}{}", close(&left, false, '}')));
            }
            if !missing.is_empty() {
                return None;
            }
            first = false;
        }
    }

    /// The key that stands here, and what is missing of it.
    fn key(&mut self, left: &[(&String, &Value)]) -> Option<(usize, Option<String>)> {
        let from = self.at;
        for (at, (key, _)) in left.iter().enumerate() {
            self.at = from;
            if let Some(missing) = self.string(key) {
                let missing = (!missing.is_empty()).then_some(missing);
                return Some((at, missing));
            }
        }
        None
    }

    fn array(&mut self, items: &[Value]) -> Option<String> {
        if !self.take('[') {
            return None;
        }
        let list = |items: &[Value]| items.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        let mut left = items;
        let mut first = true;
        loop {
            if self.is_over() {
                let comma = if first || left.is_empty() { "" } else { "," };
                return Some(format!("{comma}{}]", list(left)));
            }
            if self.take(']') {
                return left.is_empty().then(String::new);
            }
            if !first && !self.take(',') {
                return None;
            }
            let (item, after) = left.split_first()?;
            left = after;
            let missing = self.value(item)?;
            if self.is_over() {
                let comma = if left.is_empty() { "" } else { "," };
                return Some(format!("{missing}{comma}{}]", list(left)));
            }
            if !missing.is_empty() {
                return None;
            }
            first = false;
        }
    }

    /// A string may be written in many ways; it is read sign by sign and what is missing is written in ours.
    fn string(&mut self, text: &str) -> Option<String> {
        if !self.take('"') {
            return None;
        }
        let mut wanted = text.chars();
        loop {
            let said = self.text.get(self.at..)?;
            let Some(sign) = said.chars().next() else {
                return Some(rest_of_string(wanted.as_str()));
            };
            if sign == '"' {
                self.at += 1;
                return wanted.as_str().is_empty().then(String::new);
            }
            let (length, meant) = if sign == '\\' {
                let Some((length, meant)) = escape(said) else {
                    // An escape that broke off cannot be gone on with unless it is the one that we would write.
                    let missing = broken_escape(said, wanted.as_str());
                    self.at = self.text.len();
                    return missing;
                };
                (length, meant)
            } else {
                (sign.len_utf8(), sign)
            };
            if wanted.next() != Some(meant) {
                return None;
            }
            self.at += length;
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self, value: &Value) -> Option<String> {
        let whole = value.to_string();
        let said = self.rest();
        let end = said.find([',', '}', ']', ' ', '\n', '\r', '\t']).unwrap_or(said.len());
        let word = &said[..end];
        if end < said.len() {
            // Said whole: `1.0` and `1` are not the same text, but the same number.
            let same = serde_json::from_str::<Value>(word).is_ok_and(|said| said == *value);
            self.at += end;
            return same.then(String::new);
        }
        let missing = whole.strip_prefix(word)?.to_owned();
        self.at = self.text.len();
        Some(missing)
    }
}

/// The fields that are left, and the closing sign.
fn close(left: &[(&String, &Value)], first: bool, sign: char) -> String {
    let mut out = String::new();
    for (at, (key, value)) in left.iter().enumerate() {
        if !(first && at == 0) {
            out.push(',');
        }
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        out.push_str(&value.to_string());
    }
    out.push(sign);
    out
}

/// The rest of a string that is open, its closing quote included.
fn rest_of_string(rest: &str) -> String {
    Value::from(rest).to_string().split_off(1)
}

/// The sign that an escape stands for, and the escape's length; `None`: it broke off or is none.
fn escape(said: &str) -> Option<(usize, char)> {
    let simple = |sign| Some((2, sign));
    match said.as_bytes().get(1)? {
        b'n' => simple('\n'),
        b't' => simple('\t'),
        b'r' => simple('\r'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'u' => {
            let unit = u32::from_str_radix(said.get(2..6)?, 16).ok()?;
            if !(0xD800..0xDC00).contains(&unit) {
                return Some((6, char::from_u32(unit)?));
            }
            let low = u32::from_str_radix(said.get(6..12)?.strip_prefix("\\u")?, 16).ok()?;
            let code = 0x1_0000 + ((unit - 0xD800) << 10) + low.checked_sub(0xDC00)?;
            Some((12, char::from_u32(code)?))
        }
        other => simple(char::from(*other)),
    }
}

/// What is missing where an escape broke off.
fn broken_escape(said: &str, wanted: &str) -> Option<String> {
    let sign = wanted.chars().next()?;
    let mut units = [0; 2];
    let long: String = sign.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let short = rest_of_string(&sign.to_string());
    let short = short.strip_suffix('"').unwrap_or_default();
    let rest = rest_of_string(wanted.get(sign.len_utf8()..)?);
    [short, &long].into_iter().find_map(|written| {
        let missing = written.to_lowercase().strip_prefix(&said.to_lowercase())?.to_owned();
        Some(format!("{missing}{rest}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn halves_are_completed_whatever_their_style() {
        let whole =
            json!({"city": "São Paulo \"x\"\n🙂", "days": 12, "tags": ["a", "b"], "deep": {"on": true}}).to_string();
        let half = "{ \"days\" : 12, \"city\": \"S\\u00e3o Pau";
        let rest = complete(half, &whole).expect("it fits");
        let both: Value = serde_json::from_str(&format!("{half}{rest}")).expect("JSON");
        assert_eq!(both, serde_json::from_str::<Value>(&whole).expect("JSON"));
        assert_eq!(complete("{\"city\": \"Lon", &whole), None);
        assert_eq!(complete("{\"town\"", &whole), None);
        assert_eq!(complete("", "{}").as_deref(), Some("{}"));
        assert_eq!(complete("{}", "{}").as_deref(), Some(""));
        assert_eq!(complete("{\"a\":1,", "{\"a\":1}"), None);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\\n東🙂]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z\"]{0,4}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever the value and wherever it broke, pretty or not: the two halves say the value.
        #[test]
        fn every_half_is_completed(value in value(), cut in 0_usize..1_000, pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.expect("JSON");
            let mut cut = cut % (text.len() + 1);
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            let half = &text[..cut];
            let rest = complete(half, &value.to_string()).expect("it fits");
            let both: Value = serde_json::from_str(&format!("{half}{rest}")).expect("JSON");
            prop_assert_eq!(both, value);
        }

        /// Two values that differ are never glued into a third.
        #[test]
        fn what_is_glued_says_the_second(a in value(), b in value(), cut in 0_usize..1_000) {
            let text = a.to_string();
            let mut cut = cut % (text.len() + 1);
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            if let Some(rest) = complete(&text[..cut], &b.to_string()) {
                let both: Value = serde_json::from_str(&format!("{}{rest}", &text[..cut])).expect("JSON");
                prop_assert_eq!(both, b);
            }
        }
    }
}
