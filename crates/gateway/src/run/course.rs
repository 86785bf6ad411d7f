//! The legs of a plan in order, each attempt with its first real event in hand before it counts. What may be tried
//! again, and when, is decided by `policy`; here it is done. A slow first token lets the next leg run beside it.

use super::attempt::{Begun, Order, attempt};
use super::live::NotNow;
use super::{Run, Tried, losses};
use crate::clock;
use crate::upstream::Ask;
use canon::{Fault, FaultKind, Retry};
use ledger::Mode;
use policy::retry::{self, Decision, Failed, GiveUp};
use policy::rules::OnFilter;
use policy::{Degraded, DeploymentIx, Leg};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a client should wait when everyone is down and nobody says for how long.
const LATER: Duration = Duration::from_secs(1);

/// The most plans for one request.
const ROUNDS: u32 = 20;
/// Rounds after which whoever is held to be down is asked again only while others are answered.
const PATIENT: u32 = 3;
/// How long a request waits in all for a retry that nobody has earned yet.
const UNEARNED: Duration = Duration::from_secs(8);
/// How long somebody may keep a request waiting while the house could answer it.
const MOMENT: Duration = Duration::from_secs(1);

/// Where a request stands in its plan.
pub(crate) struct Course {
    legs: Vec<Leg>,
    at: usize,
    attempts: u32,
    /// How often all legs there were have been asked.
    rounds: u32,
    /// How long it has waited for retries to be earned.
    unearned: Duration,
    /// Those that failed and may work by and by, and from when on.
    hopes: Vec<(DeploymentIx, Instant)>,
    /// Those that would fail again.
    hopeless: Vec<DeploymentIx>,
    /// Of the faults so far the one that tells the client most.
    told: Option<Fault>,
    /// Why the last leg that could not be asked could not.
    not_now: Option<NotNow>,
}

/// What the legs are asked, and why.
pub(super) struct How {
    pub(super) mode: Mode,
    /// What every deployment takes.
    pub(super) ask: Arc<Ask>,
    /// What is asked of those that take the words so far as their own beginning.
    pub(super) prefill: Option<Arc<Ask>>,
    /// Whether the one that answers was asked so.
    pub(super) prefilled: bool,
}

impl How {
    /// The client's own request.
    pub(super) fn live(ask: &Arc<Ask>) -> Self {
        Self { mode: Mode::Live, ask: Arc::clone(ask), prefill: None, prefilled: false }
    }
}

impl Course {
    pub(super) const fn new(legs: Vec<Leg>) -> Self {
        Self {
            legs,
            at: 0,
            attempts: 0,
            rounds: 0,
            unearned: Duration::ZERO,
            hopes: Vec::new(),
            hopeless: Vec::new(),
            told: None,
            not_now: None,
        }
    }

    /// Attempts made so far.
    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Asks leg after leg until one begins to answer, and those of another plan when nobody of this one is left.
    pub(super) async fn answer(&mut self, run: &Run, how: &mut How) -> Result<Begun, Fault> {
        loop {
            let Some(leg) = self.legs.get(self.at).copied() else {
                // Nobody could be asked: breakers may have opened since the plan was made.
                let after = retry::backoff(self.rounds, fastrand::u64(..));
                if matches!(self.not_now, Some(NotNow::Breaker)) && self.again(run, after).await {
                    continue;
                }
                break;
            };
            let fault = match self.step(run, how, leg).await {
                Tried::Begun(begun) => return Ok(*begun),
                Tried::Failed(fault) => fault,
                Tried::NotNow(why) => {
                    self.attempts -= 1;
                    self.not_now = Some(why);
                    self.at += 1;
                    continue;
                }
            };
            if how.prefilled && matches!(fault.kind, FaultKind::Invalid) {
                // It takes no beginning of its own: told to go on instead, it may.
                how.prefill = None;
                continue;
            }
            if !self.go_on(run, fault).await {
                break;
            }
        }
        Err(self.fault())
    }

    /// After a fault of the leg that was asked: waits or moves on as `policy` says; `false`: that was all.
    pub(super) async fn go_on(&mut self, run: &Run, mut fault: Fault) -> bool {
        if fault.kind == FaultKind::ContentFilter && run.product().rules().on_filter == OnFilter::Elsewhere {
            fault.retry = Retry::Elsewhere;
        }
        self.learn(run, &fault);
        let next = self.next(run, &fault);
        let decision = self.once_earned(run, &fault, next).await;
        self.told = Some(most_telling(self.told.take(), fault));
        match (decision, next) {
            (Decision::Elsewhere, Some(next)) => self.at = next,
            (Decision::Here { after }, _) => tokio::time::sleep(after).await,
            (Decision::Again { after }, _) => return self.again(run, after).await,
            (Decision::GiveUp(_) | Decision::Elsewhere, _) => return false,
        }
        true
    }

    /// Remembers of whoever failed whether it may work by and by.
    fn learn(&mut self, run: &Run, fault: &Fault) {
        let Some(leg) = self.legs.get(self.at).copied() else { return };
        self.hopes.retain(|(one, _)| *one != leg.deployment);
        if retry::passes(fault) {
            self.hopes.push((leg.deployment, clock::now() + fault.retry_after.unwrap_or_default()));
        } else if fault.kind == FaultKind::ContextLength {
            let context = |ix: DeploymentIx| run.setup.fleet.deployment(ix).context;
            let most = context(leg.deployment);
            let small = self.legs.iter().map(|leg| leg.deployment).filter(|ix| context(*ix) <= most);
            self.hopeless.extend(small);
            self.hopes.retain(|(one, _)| context(*one) > most);
        } else if fault.retry != Retry::Here {
            self.hopeless.push(leg.deployment);
        }
    }

    /// Another plan, after a while: whoever failed may have recovered, and others too.
    async fn again(&mut self, run: &Run, after: Duration) -> bool {
        self.rounds += 1;
        self.not_now = None;
        if self.rounds > ROUNDS || after > run.deadline.saturating_duration_since(clock::now()) {
            return false;
        }
        tokio::time::sleep(after).await;
        let legs = match run.choice().plan(&self.hopeless).await {
            Ok(plan) => losses::sort(run, &plan.legs),
            Err(fault) => Err(fault),
        };
        match legs {
            Ok(legs) => (self.legs, self.at) = (legs, 0),
            Err(fault) => {
                self.told.get_or_insert(fault);
                return false;
            }
        }
        true
    }

    /// What to do after a fault. Where only the retry budget forbids another try, it is asked again for a while: others
    /// earn retries by being answered, and no provider notices the wait.
    async fn once_earned(&mut self, run: &Run, fault: &Fault, next: Option<usize>) -> Decision {
        loop {
            let decision = self.decide(run, fault, next);
            let wait = retry::backoff(self.rounds, fastrand::u64(..));
            let most = run.deadline.saturating_duration_since(clock::now()).min(UNEARNED.saturating_sub(self.unearned));
            if decision != Decision::GiveUp(GiveUp::Budget) || wait >= most {
                return decision;
            }
            self.unearned += wait;
            tokio::time::sleep(wait).await;
        }
    }

    /// What to do after a fault. The house model costs no provider anything: where it is next, it is always asked, but
    /// for a moment in which those who answer others may answer this one too.
    fn decide(&self, run: &Run, fault: &Fault, next: Option<usize>) -> Decision {
        let degraded = |at: usize| self.legs.get(at).and_then(|leg| leg.degraded);
        let house = next.is_some_and(|next| degraded(next) == Some(Degraded::House));
        let now = clock::now();
        let failed = Failed {
            fault,
            attempts: self.attempts,
            left: run.deadline.saturating_duration_since(now),
            elsewhere: next.is_some() && !house,
            rounds: self.rounds,
            again: self.hopes.iter().map(|(_, at)| at.saturating_duration_since(now)).min(),
            earned: house || (self.rounds >= PATIENT && degraded(self.at) == Some(Degraded::Unhealthy)),
            waited: !self.unearned.is_zero(),
        };
        let decision = run.setup.live.after_fault(run.product(), &failed, run.gateway.clock.tick());
        match decision {
            Decision::Again { after } if house && after > MOMENT => Decision::Elsewhere,
            Decision::GiveUp(_) if house && fault.retry != Retry::Never => Decision::Elsewhere,
            decision => decision,
        }
    }

    /// The next leg that may do better. A prompt that was too long goes to a larger context only.
    fn next(&self, run: &Run, fault: &Fault) -> Option<usize> {
        let context = |leg: &Leg| run.setup.fleet.deployment(leg.deployment).context;
        let failed = self.legs.get(self.at).and_then(context);
        let larger = |leg: &Leg| match (fault.kind, failed, context(leg)) {
            (FaultKind::ContextLength, Some(failed), Some(context)) => context > failed,
            _ => true,
        };
        let after = self.legs.iter().enumerate().skip(self.at + 1);
        after.filter(|(_, leg)| larger(leg)).map(|(at, _)| at).next()
    }

    /// One leg, and the next one beside it where its first token is slow to come.
    async fn step(&mut self, run: &Run, how: &mut How, leg: Leg) -> Tried {
        let ask = ask_for(run, how, &leg);
        let elsewhere = self.legs.len() > self.at + 1;
        self.attempts += 1;
        let order = Order { leg, elsewhere, number: self.attempts, mode: how.mode };
        let first = attempt(run, &ask, order);
        match self.hedge(run, how, &leg) {
            None => first.await,
            // Rare, and twice as large.
            Some(hedge) => Box::pin(self.side_by_side(run, &ask, first, hedge)).await,
        }
    }

    /// One leg under way, and another one beside it if it is slow to begin.
    async fn side_by_side(
        &mut self,
        run: &Run,
        ask: &Arc<Ask>,
        first: impl Future<Output = Tried>,
        (other, delay): (Leg, Duration),
    ) -> Tried {
        let mut first = pin!(first);
        if let Ok(tried) = tokio::time::timeout(delay, &mut first).await {
            return tried;
        }
        if !run.setup.live.may_hedge(run.product, run.gateway.clock.tick()) {
            return first.await;
        }
        self.attempts += 1;
        let order = Order { leg: other, elsewhere: false, number: self.attempts, mode: Mode::Hedge };
        let mut second = pin!(attempt(run, ask, order));
        // Whoever begins first answers; the other one is dropped, which ends its call and its row.
        let (tried, first_is_over) = tokio::select! {
            biased;
            tried = &mut first => (tried, true),
            tried = &mut second => (tried, false),
        };
        match (tried, first_is_over) {
            (Tried::Begun(begun), true) => Tried::Begun(begun),
            (Tried::Begun(begun), false) => {
                self.at += 1;
                Tried::Begun(begun)
            }
            (failed, true) => {
                self.note(failed);
                self.at += 1;
                second.await
            }
            (failed, false) => {
                self.note(failed);
                self.legs.remove(self.at + 1);
                first.await
            }
        }
    }

    /// The leg that may run beside `leg`, and when.
    fn hedge(&self, run: &Run, how: &How, leg: &Leg) -> Option<(Leg, Duration)> {
        let other = self.legs.get(self.at + 1).filter(|other| other.degraded.is_none() && !other.probe)?;
        if how.mode != Mode::Live {
            return None;
        }
        let delay = run.setup.live.hedge_after(run.product(), leg.deployment, &how.ask.peek)?;
        Some((*other, delay))
    }

    /// Remembers what became of one of two legs that ran side by side.
    fn note(&mut self, tried: Tried) {
        match tried {
            Tried::Failed(fault) => self.told = Some(most_telling(self.told.take(), fault)),
            Tried::NotNow(why) => {
                self.attempts -= 1;
                self.not_now = Some(why);
            }
            Tried::Begun(_) => {}
        }
    }

    /// The fault to answer with.
    pub(super) fn fault(&mut self) -> Fault {
        self.told.take().unwrap_or_else(|| match self.not_now.take() {
            Some(NotNow::Full(full)) => {
                let message = format!("every deployment that could answer is at its limits: {full}");
                Fault::gateway(FaultKind::RateLimited, message).after(full.wait.unwrap_or(LATER))
            }
            Some(NotNow::Budget(spent)) => {
                Fault::gateway(FaultKind::Budget, spent.to_string()).after(spent.over.resets)
            }
            Some(NotNow::Breaker) => {
                Fault::gateway(FaultKind::NoRoute, "every deployment that could answer is down; try again later")
                    .after(LATER)
            }
            None => Fault::gateway(FaultKind::NoRoute, "no deployment can answer this request"),
        })
    }
}

/// What `leg` is asked.
fn ask_for(run: &Run, how: &mut How, leg: &Leg) -> Arc<Ask> {
    let takes = run.setup.unit(leg.deployment).is_some_and(|unit| unit.backend.takes_prefill());
    let prefill = how.prefill.as_ref().filter(|_| takes);
    how.prefilled = prefill.is_some();
    Arc::clone(prefill.unwrap_or(&how.ask))
}

/// Of two faults the one that tells the client more: its own mistakes before a provider's troubles, and the later of
/// two alike.
fn most_telling(earlier: Option<Fault>, later: Fault) -> Fault {
    match earlier {
        Some(earlier) if earlier.side == canon::Side::Client && later.side != canon::Side::Client => earlier,
        _ => later,
    }
}
