//! A binary without the model says so, at once and clearly.

#![cfg(not(feature = "llama"))]

use canon::wire::openai_chat::ID;
use canon::{Message, Request, Retry, Role};
use engine::{House, HouseCommand, HouseOptions, HouseState};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn the_house_says_that_it_is_not_there() {
    let command = HouseCommand { program: "never started".into(), args: Vec::new() };
    let house = House::new(HouseOptions::new("none.gguf"), command);
    let reason = "this binary was built without the house model".to_owned();
    assert_eq!(house.state(), HouseState::Unavailable { reason });
    let mut request = Request::new(ID, "house");
    request.messages.push(Message::text(Role::User, "Hi"));
    let fault = house.generate(&request, Instant::now() + Duration::from_secs(1)).unwrap_err();
    assert!(fault.message.contains("built without the house model"), "{fault}");
    assert_eq!(fault.retry, Retry::Elsewhere);
    house.preload();
    house.shutdown().await;
}
