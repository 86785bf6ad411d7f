//! What a plain conversation shows: events, counts, choices, beginnings that are shared, answers that go on.

use super::{collect, request, soon, text, user, whole, with_house, with_own_house};
use canon::{Event, FaultKind, Message, Part, Role, StopReason, answer};
use engine::HouseState;

/// A question that the small model answers sensibly.
const PLANETS: &str = "List the planets of the solar system, one per line.";

#[test]
fn an_answer_has_a_start_words_counts_and_an_end() {
    with_house(async |house| {
        let mut request = user(PLANETS);
        request.sampling.max_output_tokens = Some(100);
        let (answer, tokens) = whole(house, &request).await.unwrap();
        assert!(answer.text().contains("Jupiter"), "{}", answer.text());
        assert!(answer.head.id.starts_with("house-") && !answer.head.model.is_empty());
        assert_eq!(answer.usage.output, Some(tokens.len() as u64));
        assert_eq!(answer.usage.input, Some(house.count_tokens(&request).await.unwrap()));
        let hello = whole(house, &user("Hello!")).await.unwrap().0;
        assert_eq!(hello.choices[0].stop.reason, StopReason::End);
        assert_eq!(house.state(), HouseState::Ready);
    });
}

#[test]
fn the_templates_own_system_message_counts() {
    with_house(async |house| {
        let bare = house.count_tokens(&user("Hi")).await.unwrap();
        let own = house.count_tokens(&request(&[(Role::System, "x"), (Role::User, "Hi")])).await.unwrap();
        // "You are a helpful AI assistant named SmolLM, trained by Hugging Face" against "x".
        assert!(bare > own + 10, "{bare} against {own}");
    });
}

#[test]
fn the_limit_of_tokens_is_exact() {
    with_house(async |house| {
        let mut request = user("Tell me a long story.");
        request.sampling.max_output_tokens = Some(7);
        let (answer, tokens) = whole(house, &request).await.unwrap();
        assert_eq!((tokens.len(), answer.choices[0].stop.reason), (7, StopReason::Length));
    });
}

#[test]
fn several_choices_are_several_answers_to_one_prompt() {
    with_house(async |house| {
        let mut request = user("Invent a name for a cat.");
        request.sampling.n = Some(3);
        request.sampling.temperature = Some(1.5);
        request.sampling.seed = Some(11);
        let mut answer = house.generate(&request, soon()).unwrap();
        let events = collect(&mut answer).await.unwrap();
        let response = answer::fold(&events).unwrap();
        assert_eq!(response.choices.len(), 3);
        let words: Vec<String> =
            response.choices.iter().map(|one| one.parts[0].as_text().unwrap().to_owned()).collect();
        assert!(words[0] != words[1] || words[1] != words[2], "{words:?}");
        let made: usize = (0..3).map(|choice| answer.tokens(choice).len()).sum();
        assert_eq!(response.usage.output, Some(made as u64));
        assert_eq!(response.usage.input, Some(house.count_tokens(&request).await.unwrap()), "the prompt counts once");
    });
}

#[test]
fn a_common_beginning_is_read_once() {
    with_own_house(
        |_| {},
        async |house| {
            let beginning = "The quick brown fox jumps over the lazy dog. ".repeat(60);
            let first = whole(house, &user(&format!("{beginning} How many foxes?"))).await.unwrap().0;
            let second = whole(house, &user(&format!("{beginning} Who is lazy?"))).await.unwrap().0;
            assert_eq!(first.usage.cache_read, Some(0));
            let (cached, input) = (second.usage.cache_read.unwrap(), second.usage.input.unwrap());
            assert!(cached > 500 && cached < input, "{cached} of {input}");
        },
    );
}

#[test]
fn a_conversation_that_goes_on_reads_only_what_is_new() {
    with_own_house(
        |_| {},
        async |house| {
            let mut talk = user("Tell me something about the sea, please, in a few words.");
            let first = whole(house, &talk).await.unwrap().0;
            talk.messages.push(Message::text(Role::Assistant, first.text()));
            talk.messages.push(Message::text(Role::User, "And the sky?"));
            let second = whole(house, &talk).await.unwrap().0;
            assert!(second.usage.cache_read >= first.usage.input, "{:?} after {:?}", second.usage, first.usage);
        },
    );
}

#[test]
fn an_answer_that_has_begun_goes_on_from_there() {
    with_house(async |house| {
        let asked = (Role::User, PLANETS);
        let all = text(house, &request(&[asked])).await;
        let (begun, rest) = all.split_at(all.find(" Mars").unwrap());
        let on = text(house, &request(&[asked, (Role::Assistant, begun)])).await;
        assert!(on.starts_with(rest), "{on:?} does not go on with {rest:?}");
    });
}

#[test]
fn images_are_refused_before_anything_is_computed() {
    with_house(async |house| {
        let mut request = user("What is this?");
        request.messages[0].parts.push(Part::Media(canon::media::Media {
            kind: canon::media::MediaKind::Image,
            source: canon::media::Source::from_url("https://example.com/cat.png"),
            name: None,
            detail: None,
            cache: None,
            extras: canon::Extras::new(),
        }));
        let fault = house.generate(&request, soon()).unwrap_err();
        assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Invalid, "this model reads text only"));
        assert_eq!(fault.param.as_deref(), Some("messages[0].content"));
    });
}

#[test]
fn words_arrive_one_by_one() {
    with_house(async |house| {
        let mut answer = house.generate(&user("Count from one to ten in words."), soon()).unwrap();
        let events = collect(&mut answer).await.unwrap();
        let deltas = events.iter().filter(|event| matches!(event, Event::Delta { .. })).count();
        assert!(deltas > 10, "{deltas} pieces");
    });
}
