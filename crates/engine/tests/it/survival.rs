//! The child's death, clients that leave, and what must be the same afterwards.

use super::{collect, soon, user, weights, whole, with_own_house};
use canon::{Event, Request, answer};
use engine::protocol::{self, ToWorker};
use engine::{Answer, House, HouseOptions, HouseState};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

fn story(temperature: f64) -> Request {
    let mut request = user("Tell me a story about a fox and a crow.");
    request.sampling.temperature = Some(temperature);
    request.sampling.seed = Some(7);
    request.sampling.max_output_tokens = Some(96);
    request
}

/// Ends the child as the kernel would for lack of memory.
async fn kill(house: &House) {
    let pid = house.pid().await.unwrap();
    let done = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

/// Reads until `count` pieces of text have come.
async fn read(answer: &mut Answer, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut seen = 0;
    while seen < count {
        let event = answer.next().await.unwrap().unwrap();
        seen += usize::from(matches!(event, Event::Delta { .. }));
        events.push(event);
    }
    events
}

#[test]
fn a_killed_child_is_not_noticed_in_the_answer() {
    with_own_house(
        |_| {},
        async |house| {
            for temperature in [0.0, 0.8] {
                let request = story(temperature);
                let (whole, tokens) = whole(house, &request).await.unwrap();
                let mut answer = house.generate(&request, soon()).unwrap();
                let mut events = read(&mut answer, 20).await;
                kill(house).await;
                events.extend(read(&mut answer, 20).await);
                kill(house).await;
                while let Some(event) = answer.next().await {
                    events.push(event.unwrap());
                }
                super::check(&events);
                let survived = answer::fold(&events).unwrap();
                assert_eq!(survived.text(), whole.text());
                assert_eq!(answer.tokens(0), tokens);
                assert_eq!(survived.usage.output, whole.usage.output);
                assert_eq!(house.state(), HouseState::Ready);
            }
        },
    );
}

#[test]
fn a_child_killed_while_many_wait_answers_all() {
    with_own_house(
        |options| options.slots = 4,
        async |house| {
            let mut answers: Vec<Answer> = (0..12)
                .map(|at| {
                    let mut request = story(0.9);
                    request.sampling.seed = Some(at);
                    request.sampling.max_output_tokens = Some(24);
                    house.generate(&request, soon()).unwrap()
                })
                .collect();
            let mut first = read(&mut answers[0], 5).await;
            kill(house).await;
            for (at, answer) in answers.iter_mut().enumerate() {
                let rest = if at == 0 {
                    while let Some(event) = answer.next().await {
                        first.push(event.unwrap());
                    }
                    std::mem::take(&mut first)
                } else {
                    collect(answer).await.unwrap()
                };
                assert!(answer::fold(&rest).is_some());
            }
            assert_eq!(house.in_flight(), 0);
        },
    );
}

/// Memory of a process, KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_hundred_streams_half_of_them_dropped_leave_nothing_behind() {
    with_own_house(
        |_| {},
        async |house| {
            let mut after = Vec::new();
            for round in 0..4 {
                let mut answers: Vec<Option<Answer>> = (0..200)
                    .map(|at| {
                        let mut request = user(&format!("Round {round}: say something about the number {at}."));
                        request.sampling.temperature = Some(1.0);
                        request.sampling.max_output_tokens = Some(16);
                        Some(house.generate(&request, soon()).unwrap())
                    })
                    .collect();
                // Every other client leaves, each at another moment, most of them in the middle of their stream.
                for at in (1..200).step_by(2) {
                    if let Some(answer) = &mut answers[at]
                        && at % 3 > 0
                    {
                        read(answer, at % 7).await;
                    }
                    answers[at] = None;
                }
                for answer in answers.iter_mut().flatten() {
                    collect(answer).await.unwrap();
                }
                let gauge = house.gauge().await.unwrap();
                assert_eq!((gauge.busy, gauge.waiting, house.in_flight()), (0, 0, 0));
                after.push(resident(house.pid().await.unwrap()));
            }
            eprintln!("the child's memory after each round: {after:?} KiB");
            // Two rounds fill the room of parked conversations and the allocator's pools; from then on it stays (eight
            // rounds measured: 484, 493, 495, 497, 497, 496, 497, 500 thousand KiB). A stream that left 40 KiB behind would show.
            assert!(after[3] < after[1] + 8 * 1024, "memory grows: {after:?} KiB");
        },
    );
}

#[test]
fn whoever_leaves_frees_a_slot_within_a_step() {
    with_own_house(
        |options| options.slots = 1,
        async |house| {
            let mut request = story(0.0);
            request.sampling.max_output_tokens = Some(2000);
            let mut answer = house.generate(&request, soon()).unwrap();
            read(&mut answer, 3).await;
            drop(answer);
            // The cancellation and this question travel one behind the other.
            let gauge = house.gauge().await.unwrap();
            assert_eq!((gauge.busy, gauge.waiting), (0, 0));
        },
    );
}

#[test]
fn weights_leave_memory_when_nobody_asks_and_come_back() {
    with_own_house(
        |options| options.idle_unload = Some(1),
        async |house| {
            assert_eq!(house.state(), HouseState::Cold);
            assert!(house.pid().await.is_none(), "nothing is started before it is needed");
            whole(house, &user("Hi")).await.unwrap();
            let mut state = house.watch();
            state.wait_for(|state| *state == HouseState::Cold).await.unwrap();
            assert!(house.pid().await.is_none());
            whole(house, &user("Hi")).await.unwrap();
        },
    );
}

#[test]
fn a_child_whose_parent_is_gone_ends() {
    let Some(path) = weights() else { return };
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(super::command().program).stdin(OwnedFd::from(theirs)).spawn().unwrap();
    let mut load = Vec::new();
    protocol::write(&ToWorker::Load(HouseOptions::new(path)), &mut load).unwrap();
    ours.write_all(&load).unwrap();
    ours.read_exact(&mut [0; 4]).unwrap();
    // What the kernel does when the parent dies, however it dies.
    drop(ours);
    assert!(child.wait().unwrap().success(), "it ends by itself, without an error");
}
