//! What the walk takes is what the full reader takes, it finds the same fields, and a word that is there is never denied.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn walked(text: &str) -> Result<Vec<(String, String)>, BadField> {
    let mut all = Vec::new();
    fields(text, |key, value| {
        assert_eq!(text.get(value.at..value.at + value.raw.len()), Some(value.raw));
        all.push((key.to_owned(), value.raw.to_owned()));
        Ok(())
    })?;
    Ok(all)
}

#[test]
fn what_is_too_deep_is_refused_before_it_is_walked_over() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let deepest = DEEPEST as usize - 1;
    assert!(walked(&nested(deepest)).is_ok());
    assert!(serde_json::from_str::<Value>(&nested(deepest)).is_ok());
    assert!(walked(&nested(deepest + 1)).is_err());
    assert!(serde_json::from_str::<Value>(&nested(deepest + 1)).is_err());
    assert!(walked(&format!("{{\"a\":{}", "[{\"b\":".repeat(200_000))).is_err());
    // Brackets and escaped quotes in words are words.
    assert!(walked(&format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(300), "{".repeat(300))).is_ok());
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "[]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1}x",
        "{\"a\":1}{",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\n\"}",
        "{\"a\n\":1}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":[}",
        "{\"a\":{]}",
        "{\"a\":{\"b\"}}",
        "{\"a\":{1:2}}",
        "{\"a\":\"",
        "{\"a\":\"\\",
    ] {
        assert!(walked(text).is_err(), "{text}");
        assert!(!serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object()), "{text}");
    }
}

#[test]
fn lists_are_told_item_by_item() {
    let mut all = Vec::new();
    let mut see = |text| {
        items(&Piece { raw: text, at: 0, words: Words::default() }, |item| {
            all.push(item.raw.to_owned());
            Ok(())
        })
    };
    see(" [ 1 , {\"a\" : [2]},\"x\" ] ").unwrap();
    see("[]").unwrap();
    assert!(see("{}").is_err() && see("[1,,2]").is_err() && see("[1").is_err());
    assert_eq!(all[..3], ["1", "{\"a\" : [2]}", "\"x\""]);
}

#[test]
fn whoever_walks_along_may_go_in_or_pass_over() {
    let text = r#" {"a": {"b":[1,{"c":"x\u0041"}, 2 ],"d":null},"e":[ ],"f":"long enough for more than one machine word, and two blocks of \"them\""} "#;
    let mut seen = Vec::new();
    along(text, |key, walk| {
        seen.push(key.to_owned());
        if key != "a" {
            return Ok(());
        }
        walk.object(|key, walk| {
            seen.push(key.to_owned());
            if !walk.begins(b'[') {
                return walk.piece().map(drop);
            }
            walk.list(|walk| {
                let from = walk.place();
                if walk.begins(b'{') {
                    walk.object(|_, _| Ok(()))?;
                    seen.push(walk.since(from).to_owned());
                }
                Ok(())
            })
        })
    })
    .unwrap();
    assert_eq!(seen, ["a", "b", r#"{"c":"x\u0041"}"#, "d", "e", "f"]);
    // Half a value is none, however it is walked over; and what is no object cannot be gone into.
    for text in ["{\"a\":{\"b\":1}", "{\"a\":{\"b\":}}", "{\"a\":[]}", "{\"a\":{}}}"] {
        assert!(along(text, |_, walk| walk.object(|_, _| Ok(()))).is_err(), "{text}");
    }
    let deep = |levels: usize| format!("{{\"a\":[[{}{}]]}}", "[".repeat(levels), "]".repeat(levels));
    let into = |text: &str| along(text, |_, walk| walk.list(|walk| walk.list(|_| Ok(()))));
    assert!(into(&deep(DEEPEST as usize - 3)).is_ok() && into(&deep(DEEPEST as usize - 2)).is_err());
}

#[test]
fn a_string_ends_wherever_it_ends() {
    for length in 0..100 {
        for sign in ["a", "é", "\u{7f}", "\\\"", "\\u00e9"] {
            let text = format!("{{\"a\":\"{}{sign}\",\"b\":1}}", "x".repeat(length));
            let all = walked(&text).unwrap();
            assert_eq!(all, [("a".to_owned(), text[5..text.len() - 7].to_owned()), ("b".to_owned(), "1".to_owned())]);
            for bad in ["\u{1}", "\n", "\u{1f}", "\\x", "\\u12"] {
                let text = text.replace(&format!("{sign}\""), &format!("{bad}\""));
                assert!(walked(&text).is_err(), "{text}");
            }
        }
    }
}

/// Any JSON text, with blanks.
fn any_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9])?",
        "\\PC{0,40}".prop_map(|text| Value::from(text).to_string()),
        "\"[a-z\\\\\"/nu0-9é]{0,9}\"",
    ];
    let inner = leaf.prop_recursive(5, 40, 4, |inner| {
        let pair = ("\"[a-z\\\\n]{0,5}\"", inner.clone()).prop_map(|(key, value)| format!("{key} :{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
            prop::collection::vec(pair, 0..4).prop_map(|all| format!("{{\n{}}}", all.join(",\t"))),
        ]
    });
    prop::collection::vec(("\"[a-zé\\\\]{0,6}\"", inner), 0..5).prop_map(|fields| {
        let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
        format!("{{{}}}", fields.join(" ,"))
    })
}

proptest! {
    #[test]
    fn it_takes_what_the_full_reader_takes(
        text in any_text(),
        change in prop::option::of((any::<prop::sample::Index>(), "[\\[\\]{},:\"\\\\0-9a-z.\\-\n ]?")),
    ) {
        let mut signs: Vec<char> = text.chars().collect();
        if let Some((at, with)) = change {
            let at = at.index(signs.len());
            signs.splice(at..=at, with.chars());
        }
        let text: String = signs.into_iter().collect();
        // A full reader also refuses halves of pairs and numbers past every float: that is not for a look to find.
        match (walked(&text), serde_json::from_str::<Value>(&text)) {
            (Ok(fields), Ok(Value::Object(map))) => {
                for (key, raw) in &fields {
                    prop_assert!(map.contains_key(key), "{key} in {text}");
                    prop_assert!(serde_json::from_str::<Value>(raw).is_ok(), "{raw}");
                }
                let (key, raw) = match fields.last() {
                    Some(last) => last,
                    None => return Ok(()),
                };
                prop_assert_eq!(&map[key], &serde_json::from_str::<Value>(raw).unwrap());
            }
            (Ok(_), Ok(other)) => prop_assert!(false, "{other} is no object"),
            (Ok(_), Err(error)) => {
                let error = error.to_string();
                prop_assert!(error.contains("surrogate") || error.contains("escape") || error.contains("range"), "{error}: {text}");
            }
            (Err(_), Ok(value)) => prop_assert!(!value.is_object(), "{text}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn a_word_that_is_there_is_never_denied(text in any_text().prop_filter("spelled plainly", |text| !text.contains('\\'))) {
        prop_assume!(walked(&text).is_ok());
        let mut told = Vec::new();
        fields(&text, |_, value| {
            told.push((value.raw.to_owned(), value.words));
            Ok(())
        })
        .unwrap();
        for (raw, words) in told {
            let mut all = Vec::new();
            strings(&serde_json::from_str(&raw).unwrap(), &mut all);
            prop_assert!(all.iter().all(|word| words.may_hold(word.as_bytes())), "{all:?} in {raw}");
        }
    }
}

/// Every string in `value`, names of fields too.
fn strings(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, all)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            all.push(key.clone());
            strings(value, all);
        }),
        _ => {}
    }
}
