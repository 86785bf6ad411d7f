//! What every store must do, as one suite: each test gets a store of its own. For tests only.

use crate::store::{Answer, Context, Conversation, Store};
use serde_json::{Value, json};

/// An answer that says `word`, in a turn that asked for it.
#[must_use]
pub fn answer(id: &str, previous: Option<&str>, word: &str) -> Answer {
    Answer {
        id: id.to_owned(),
        previous: previous.map(str::to_owned),
        conversation: None,
        created: 100,
        asked: vec![item(&format!("msg_{word}_in"), &format!("say {word}"))],
        answered: vec![item(&format!("msg_{word}"), word)],
        body: json!({"id": id, "object": "response", "x": [1.5, null]}),
    }
}

fn item(id: &str, content: &str) -> Value {
    json!({"id": id, "type": "message", "content": content})
}

fn words(context: &Context) -> Vec<&str> {
    let Context::Items(items) = context else { return vec!["missing"] };
    items.iter().filter_map(|item| item["content"].as_str()).collect()
}

/// Runs every test on a store that `make` makes.
///
/// # Panics
/// When the store does not do as it must.
pub fn all<S: Store>(mut make: impl FnMut() -> S) {
    for test in [answers, products, branches, conversations, in_a_conversation, seals, time, erasure] {
        test(&make());
    }
}

fn must<T>(result: Result<T, crate::StateError>) -> T {
    match result {
        Ok(value) => value,
        #[expect(clippy::panic, reason = "a suite of tests fails so")]
        Err(error) => panic!("the store refused: {error}"),
    }
}

fn answers(store: &dyn Store) {
    let one = answer("resp_1", None, "a");
    must(store.put_answer("p", &one));
    assert_eq!(must(store.answer("p", "resp_1")), Some(one.clone()));
    let other = Answer { answered: Vec::new(), ..one };
    must(store.put_answer("p", &other));
    assert_eq!(must(store.answer("p", "resp_1")), Some(other), "the later one stands");
    assert!(must(store.delete_answer("p", "resp_1")));
    assert!(!must(store.delete_answer("p", "resp_1")));
    assert_eq!(must(store.answer("p", "resp_1")), None);
    assert_eq!(must(store.up_to("p", "resp_1")), Context::Missing("resp_1".to_owned()));
}

fn products(store: &dyn Store) {
    must(store.put_answer("p", &answer("resp_1", None, "a")));
    must(store.put_conversation("p", &Conversation { id: "conv_1".to_owned(), ..Conversation::default() }, &[]));
    assert_eq!(must(store.answer("q", "resp_1")), None);
    assert_eq!(must(store.up_to("q", "resp_1")), Context::Missing("resp_1".to_owned()));
    assert!(!must(store.delete_answer("q", "resp_1")));
    assert_eq!(must(store.conversation("q", "conv_1")), None);
    assert_eq!(must(store.items("q", "conv_1")), None);
    assert!(!must(store.add_items("q", "conv_1", &[item("i", "x")], 1)));
    assert!(!must(store.label("q", "conv_1", &json!({}))));
    assert!(!must(store.delete_conversation("q", "conv_1")));
    assert_eq!(must(store.find_items("q", &["msg_a".to_owned()])), Vec::<Value>::new());
    assert_eq!(must(store.find_items("p", &["msg_a".to_owned(), "none".to_owned()])), [item("msg_a", "a")]);
    // The same id in two products is two answers.
    must(store.put_answer("q", &answer("resp_1", None, "b")));
    assert_eq!(words(&must(store.up_to("p", "resp_1"))), ["say a", "a"]);
}

fn branches(store: &dyn Store) {
    must(store.put_answer("p", &answer("resp_1", None, "a")));
    must(store.put_answer("p", &answer("resp_2", Some("resp_1"), "b")));
    must(store.put_answer("p", &answer("resp_3", Some("resp_1"), "c")));
    assert_eq!(words(&must(store.up_to("p", "resp_2"))), ["say a", "a", "say b", "b"]);
    assert_eq!(words(&must(store.up_to("p", "resp_3"))), ["say a", "a", "say c", "c"]);
    assert!(must(store.delete_answer("p", "resp_1")));
    assert_eq!(must(store.up_to("p", "resp_2")), Context::Missing("resp_1".to_owned()));
    // A ring is no beginning.
    must(store.put_answer("p", &answer("resp_1", Some("resp_2"), "d")));
    assert!(matches!(must(store.up_to("p", "resp_2")), Context::Missing(_)));
}

fn conversations(store: &dyn Store) {
    let one = Conversation { id: "conv_1".to_owned(), created: 5, metadata: json!({"k": "v"}) };
    must(store.put_conversation("p", &one, &[item("i1", "a")]));
    assert_eq!(must(store.conversation("p", "conv_1")), Some(one.clone()));
    assert!(must(store.add_items("p", "conv_1", &[item("i2", "b"), item("i3", "c")], 6)));
    assert_eq!(must(store.items("p", "conv_1")), Some(vec![item("i1", "a"), item("i2", "b"), item("i3", "c")]));
    assert!(must(store.delete_item("p", "conv_1", "i2")));
    assert!(!must(store.delete_item("p", "conv_1", "i2")));
    assert!(must(store.add_items("p", "conv_1", &[item("i4", "d")], 6)));
    assert_eq!(must(store.items("p", "conv_1")), Some(vec![item("i1", "a"), item("i3", "c"), item("i4", "d")]));
    assert!(must(store.label("p", "conv_1", &json!({"k": "w"}))));
    assert_eq!(must(store.conversation("p", "conv_1")), Some(Conversation { metadata: json!({"k": "w"}), ..one }));
    assert!(must(store.delete_conversation("p", "conv_1")));
    assert_eq!(must(store.items("p", "conv_1")), None);
    assert_eq!(must(store.find_items("p", &["i1".to_owned()])), Vec::<Value>::new());
}

fn in_a_conversation(store: &dyn Store) {
    let one = Conversation { id: "conv_1".to_owned(), created: 5, metadata: json!({}) };
    must(store.put_conversation("p", &one, &[item("i1", "before")]));
    for (id, word) in [("resp_1", "a"), ("resp_2", "b")] {
        let one = Answer { conversation: Some("conv_1".to_owned()), ..answer(id, None, word) };
        must(store.put_answer("p", &one));
        assert_eq!(must(store.answer("p", id)), Some(one));
    }
    let items = must(store.items("p", "conv_1")).map(Context::Items);
    assert_eq!(items.as_ref().map(words), Some(vec!["before", "say a", "a", "say b", "b"]));
    // One of its answers may be continued outside of it.
    assert_eq!(words(&must(store.up_to("p", "resp_1"))), ["before", "say a", "a"]);
    assert_eq!(words(&must(store.up_to("p", "resp_2"))), ["before", "say a", "a", "say b", "b"]);
    assert!(must(store.delete_answer("p", "resp_1")), "what was said in the conversation stays there");
    assert_eq!(words(&must(store.up_to("p", "resp_2"))), ["before", "say a", "a", "say b", "b"]);
    assert!(must(store.delete_conversation("p", "conv_1")));
    assert_eq!(must(store.up_to("p", "resp_2")), Context::Missing("conv_1".to_owned()));
}

fn seals(store: &dyn Store) {
    let (one, two) = ([1; 16], [2; 16]);
    must(store.put_seals("p", &[(one, "a".to_owned()), (two, "b".to_owned())], 5));
    must(store.put_seals("p", &[(two, "c".to_owned())], 6));
    let found = must(store.seals("p", &[two, [3; 16], one]));
    assert_eq!(found, [(two, "c".to_owned()), (one, "a".to_owned())]);
    assert_eq!(must(store.seals("q", &[one])), []);
}

fn time(store: &dyn Store) {
    let at = |mut answer: Answer, created| {
        answer.created = created;
        answer
    };
    must(store.put_answer("p", &at(answer("resp_1", None, "a"), 100)));
    must(store.put_answer("p", &at(answer("resp_2", Some("resp_1"), "b"), 300)));
    must(store.put_answer("p", &at(answer("resp_3", None, "c"), 100)));
    must(store.put_conversation(
        "p",
        &Conversation { id: "conv_1".to_owned(), created: 100, ..Conversation::default() },
        &[item("i1", "x")],
    ));
    must(store.put_seals("p", &[([1; 16], "a".to_owned())], 100));
    assert_eq!(must(store.purge(100)), 0, "what is used just then stays");
    assert_eq!(must(store.purge(200)), 3);
    assert_eq!(words(&must(store.up_to("p", "resp_2"))), ["say a", "a", "say b", "b"], "a thread lives as one");
    assert_eq!((must(store.answer("p", "resp_3")), must(store.items("p", "conv_1"))), (None, None));
    assert_eq!(must(store.find_items("p", &["i1".to_owned(), "msg_c".to_owned()])), Vec::<Value>::new());
    assert_eq!(must(store.seals("p", &[[1; 16]])), []);
}

fn erasure(store: &dyn Store) {
    for product in ["p", "q"] {
        must(store.put_answer(product, &answer("resp_1", None, "a")));
        must(store.put_conversation(
            product,
            &Conversation { id: "conv_1".to_owned(), ..Conversation::default() },
            &[],
        ));
        must(store.put_seals(product, &[([1; 16], "a".to_owned())], 5));
    }
    let held = must(store.held());
    assert_eq!(held.iter().map(|held| held.product.as_str()).collect::<Vec<_>>(), ["p", "q"]);
    assert_eq!((held[0].answers, held[0].conversations, held[0].items, held[0].oldest), (1, 1, 2, Some(100)));
    assert!(held[0].bytes > 20);
    assert_eq!(must(store.erase("p")), 2);
    assert_eq!(must(store.erase("p")), 0);
    assert_eq!(must(store.held()).iter().map(|held| held.product.as_str()).collect::<Vec<_>>(), ["q"]);
    assert_eq!((must(store.seals("p", &[[1; 16]])).len(), must(store.seals("q", &[[1; 16]])).len()), (0, 1));
}
