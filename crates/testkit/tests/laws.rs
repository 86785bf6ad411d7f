//! Every law of wires, tried over every listed dialect and protocol.

use testkit::laws::{LAWS, law};

macro_rules! laws {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                let breaches = (law($name).expect("listed").breaches)();
                assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
            }
        )*

        #[test]
        fn every_law_is_tried() {
            let tried = [$($name),*];
            for law in LAWS {
                assert!(tried.contains(&law.name), "add `{}` here", law.name);
            }
        }
    };
}

laws! {
    every_wire_has_fixtures: "every wire has fixtures",
    home_requests: "home again a request loses nothing",
    home_planted_requests: "home again a request loses no unknown field",
    home_answers: "home again an answer loses nothing",
    home_planted_answers: "home again an answer loses no unknown field",
    abroad_requests: "abroad a request's essence stays",
    abroad_planted: "abroad what is not said is named",
    strict_providers: "strict providers take what is written for them",
    any_answer: "any answer reads in any dialect",
    any_stream: "any protocol streams into any dialect",
    twins: "a stream and its whole twin are one answer",
    seals: "opaque blocks are found in bytes as they are read",
    folds: "unfolding and folding an answer changes nothing",
    chunks: "where bytes break does not matter",
    cuts: "a cut stream never claims success",
    takeovers: "another model can finish it",
    faults: "a fault ends a stream as a fault",
    peeks: "a look agrees with a full read",
    scans: "watching agrees with decoding",
    errors: "errors keep their kind",
    requests_do_not_panic: "no request panics",
    answers_do_not_panic: "no answer panics",
    streams_do_not_panic: "no stream panics",
}
