//! When several deployments that share a party (a host, a maker) fail at the same time, the party is the suspect:
//! its other deployments are skipped before each of them costs a failure of its own.

use crate::fleet::DeploymentIx;
use crate::time::Tick;
use smallvec::SmallVec;
use std::time::Duration;

/// When a party becomes a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a failure counts.
    pub window: Duration,
    /// The fewest different deployments that must have failed.
    pub least: usize,
    /// How long the party stays a suspect.
    pub suspect: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), least: 2, suspect: Duration::from_secs(10) }
    }
}

/// What was last heard from the deployments of one party.
#[derive(Debug, Clone)]
pub struct Party {
    settings: Settings,
    heard: SmallVec<[Heard; 8]>,
    suspect_until: Option<Tick>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    deployment: DeploymentIx,
    at: Tick,
    failed: bool,
}

impl Party {
    /// A party of which nothing was heard.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, heard: SmallVec::new(), suspect_until: None }
    }

    /// A deployment answered: the party lives.
    pub fn succeeded(&mut self, deployment: DeploymentIx, now: Tick) {
        self.suspect_until = None;
        self.hear(deployment, now, false);
    }

    /// A deployment was sick (not: refused us, or asked us to wait). Returns whether the party is now a suspect.
    pub fn failed(&mut self, deployment: DeploymentIx, now: Tick) -> bool {
        self.hear(deployment, now, true);
        let lately = self.heard.iter().filter(|heard| now.since(heard.at) <= self.settings.window);
        let (failed, heard) = lately.fold((0, 0), |(failed, all), heard| (failed + usize::from(heard.failed), all + 1));
        if failed >= self.settings.least && failed * 2 > heard {
            self.suspect_until = Some(now.after(self.settings.suspect));
        }
        self.suspect(now).is_some()
    }

    /// Until when the party is a suspect; `None`: it is none.
    #[must_use]
    pub fn suspect(&self, now: Tick) -> Option<Tick> {
        self.suspect_until.filter(|until| now < *until)
    }

    fn hear(&mut self, deployment: DeploymentIx, at: Tick, failed: bool) {
        let news = Heard { deployment, at, failed };
        match self.heard.iter_mut().find(|heard| heard.deployment == deployment) {
            Some(heard) => *heard = news,
            None => {
                let window = self.settings.window;
                self.heard.retain(|heard| at.since(heard.at) <= window);
                self.heard.push(news);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DeploymentIx = DeploymentIx(0);
    const B: DeploymentIx = DeploymentIx(1);
    const C: DeploymentIx = DeploymentIx(2);

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn one_deployment_that_fails_often_is_no_reason() {
        let mut party = Party::new(Settings::default());
        assert!((0..100).all(|ms| !party.failed(A, at(ms))));
    }

    #[test]
    fn two_that_fail_together_make_a_suspect_until_one_answers() {
        let mut party = Party::new(Settings::default());
        assert!(!party.failed(A, at(0)));
        assert!(party.failed(B, at(9_000)));
        assert_eq!(party.suspect(at(9_000)), Some(at(19_000)));
        assert_eq!(party.suspect(at(19_000)), None);
        party.succeeded(A, at(9_500));
        assert_eq!(party.suspect(at(9_500)), None);
    }

    #[test]
    fn old_failures_and_living_siblings_speak_against_it() {
        let mut party = Party::new(Settings::default());
        party.failed(A, at(0));
        assert!(!party.failed(B, at(10_001)));
        let mut party = Party::new(Settings::default());
        party.succeeded(C, at(0));
        party.succeeded(DeploymentIx(3), at(0));
        party.failed(A, at(1));
        assert!(!party.failed(B, at(2)), "half of those heard from still answer");
    }
}
