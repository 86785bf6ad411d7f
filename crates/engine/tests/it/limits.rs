//! What does not fit: the context window, the queue, the deadline, files that are no weights.

use super::{RUNTIME, command, request, soon, text, user, weights, whole, with_own_house};
use canon::{FaultKind, Retry, Role, Side, StopReason};
use engine::{Cache, House, HouseOptions, HouseState};
use std::time::Duration;
use tokio::time::Instant;

#[test]
fn a_prompt_beyond_the_context_names_both_numbers() {
    with_own_house(
        |options| options.context = 512,
        async |house| {
            let fault = whole(house, &user(&"word ".repeat(600))).await.unwrap_err();
            assert_eq!((fault.kind, fault.side, fault.client_status()), (FaultKind::ContextLength, Side::Client, 400));
            let tokens = house.count_tokens(&user(&"word ".repeat(600))).await.unwrap();
            assert!(fault.message.contains(&tokens.to_string()) && fault.message.contains("512"), "{}", fault.message);
            assert_eq!(fault.retry, Retry::Elsewhere);
            // An answer that reaches the end of the window ends there.
            let mut long = user(&format!("{} Go on!", "word ".repeat(400)));
            long.sampling.max_output_tokens = Some(1000);
            long.sampling.temperature = Some(2.0);
            let (answer, tokens) = whole(house, &long).await.unwrap();
            let stop = answer.choices[0].stop.reason;
            assert!(stop == StopReason::End || stop == StopReason::Context, "{stop:?}");
            assert!(answer.usage.input.unwrap() + tokens.len() as u64 <= 512);
        },
    );
}

#[test]
fn conversations_larger_than_memory_together_all_end() {
    with_own_house(
        |options| options.context = 512,
        async |house| {
            let asked = |at: u32| {
                let mut request = user(&format!("{at} {}", "green ".repeat(150)));
                request.sampling.max_output_tokens = Some(60);
                request
            };
            let requests: Vec<_> = (0..6).map(asked).collect();
            let answers = futures(requests.iter().map(|request| whole(house, request)).collect()).await;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            let gauge = house.gauge().await.unwrap();
            assert_eq!((gauge.busy, gauge.waiting), (0, 0));
        },
    );
}

#[test]
fn a_split_cache_answers_alike_and_bounds_each_conversation() {
    with_own_house(
        |options| (options.context, options.slots, options.cache) = (2048, 4, Cache::Split),
        async |house| {
            let fault = whole(house, &user(&"word ".repeat(600))).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::ContextLength);
            assert!(fault.message.contains("512"), "{}", fault.message);
            // More than slots, with a beginning in common that is copied from one who speaks.
            let beginning = "The quick brown fox jumps over the lazy dog. ".repeat(20);
            let asked = |at: u32| user(&format!("{beginning} Which animal is number {at}?"));
            let requests: Vec<_> = (0..6).map(asked).collect();
            let answers = futures(requests.iter().map(|request| whole(house, request)).collect()).await;
            let texts: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().0).collect();
            assert!(texts.iter().skip(1).any(|answer| answer.usage.cache_read > Some(150)), "nothing was shared");
            for (request, together) in requests.iter().zip(&texts).take(2) {
                let alone = text(house, request).await;
                assert_eq!(alone.split(' ').next(), together.text().split(' ').next());
            }
        },
    );
}

async fn futures<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[test]
fn a_full_queue_refuses_at_once_and_says_how_long_to_wait() {
    with_own_house(
        |options| {
            options.slots = 2;
            options.queue = 2;
        },
        async |house| {
            let mut long = user("Tell me a very long story.");
            long.sampling.max_output_tokens = Some(64);
            let mut answers: Vec<_> = (0..4).map(|_| house.generate(&long, soon()).unwrap()).collect();
            let fault = house.generate(&long, soon()).unwrap_err();
            assert_eq!(
                (fault.kind, fault.client_status(), fault.retry),
                (FaultKind::Overloaded, 503, Retry::Elsewhere)
            );
            assert!(fault.retry_after.unwrap() >= Duration::from_secs(1));
            assert!(answers[3].next().await.unwrap().is_ok(), "those who wait are served");
            drop(answers);
            assert!(text(house, &user("Hi")).await.len() > 1, "places are given back");
        },
    );
}

#[test]
fn time_that_is_over_is_a_fault_and_stops_the_work() {
    with_own_house(
        |options| options.slots = 1,
        async |house| {
            whole(house, &user("Hi")).await.unwrap();
            let mut long = user("Tell me a very long story.");
            long.sampling.max_output_tokens = Some(2000);
            let mut answer = house.generate(&long, Instant::now() + Duration::from_millis(150)).unwrap();
            let fault = loop {
                match answer.next().await.unwrap() {
                    Ok(_) => {}
                    Err(fault) => break fault,
                }
            };
            assert_eq!(fault.kind, FaultKind::Deadline);
            assert!(answer.next().await.is_none());
            assert!(text(house, &user("Hi")).await.len() > 1, "the only slot is free again");
        },
    );
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    super::with_house(async |house| {
        let mut cases = Vec::new();
        let mut hot = request(&[(Role::User, "Hi")]);
        hot.sampling.temperature = Some(3.0);
        cases.push((hot, "temperature"));
        let mut many = user("Hi");
        (many.sampling.logprobs, many.sampling.top_logprobs) = (Some(true), Some(21));
        cases.push((many, "top_logprobs"));
        let mut none = user("Hi");
        none.sampling.max_output_tokens = Some(0);
        cases.push((none, "max_tokens"));
        for (request, param) in cases {
            let fault = whole(house, &request).await.unwrap_err();
            assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::Invalid, Some(param)), "{fault:?}");
        }
    });
}

#[test]
fn weights_that_are_none_are_named_and_tried_again_later() {
    if weights().is_none() {
        return;
    }
    RUNTIME.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("model.gguf");
        let house = House::new(HouseOptions::new(&path), command());
        let fault = whole(&house, &user("Hi")).await.unwrap_err();
        assert!(fault.message.contains("model.gguf") && fault.message.contains("do not exist"), "{fault:?}");
        assert!(matches!(house.state(), HouseState::Unavailable { .. }));
        std::fs::write(&path, b"nonsense").unwrap();
        // The second failure in a row makes the third wait: whoever asks in between hears the reason at once.
        let fault = whole(&house, &user("Hi")).await.unwrap_err();
        assert!(fault.message.contains("cannot be loaded"), "{fault:?}");
        assert_eq!(house.in_flight(), 0);
        house.shutdown().await;
        assert!(whole(&house, &user("Hi")).await.is_err(), "after shutdown nothing hangs");
    });
}
