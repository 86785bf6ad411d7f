//! What an answer costs: one pure function of token counts, the price list, the day and the class of service. Whole
//! numbers only. Counts are made disjoint here, so that a token that was read from a cache is charged once; a price that
//! nobody knows is `None` where it is kept, never 0.

use crate::money::NanoUsd;
use crate::time::Wall;
use canon::Usage;

/// What is charged, in nano-dollars per million tokens; `request` per million requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Price {
    /// Of the prompt, as text.
    pub input: NanoUsd,
    /// Of the prompt, read from the prompt cache.
    pub cache_read: NanoUsd,
    /// Of the prompt, written to the prompt cache for its usual lifetime.
    pub cache_write: NanoUsd,
    /// Of the prompt, written to the prompt cache for an hour.
    pub cache_write_1h: NanoUsd,
    /// Of the prompt, sound.
    pub audio_input: NanoUsd,
    /// Of the prompt, pictures.
    pub image_input: NanoUsd,
    /// Of the answer, as text.
    pub output: NanoUsd,
    /// Of the answer, thinking.
    pub reasoning: NanoUsd,
    /// Of the answer, sound.
    pub audio_output: NanoUsd,
    /// Of the answer, pictures.
    pub image_output: NanoUsd,
    /// For asking at all.
    pub request: NanoUsd,
}

/// Token counts as a provider says them: the finer ones are shares of `input` and `output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Of the prompt, cached ones included.
    pub input: u64,
    /// Of `input`, read from the prompt cache.
    pub cache_read: u64,
    /// Of `input`, written to the prompt cache, whatever the lifetime.
    pub cache_write: u64,
    /// Of `cache_write`, for an hour.
    pub cache_write_1h: u64,
    /// Of `input`, sound.
    pub audio_input: u64,
    /// Of `input`, pictures.
    pub image_input: u64,
    /// Of the answer, thinking included.
    pub output: u64,
    /// Of `output`, thinking.
    pub reasoning: u64,
    /// Of `output`, sound.
    pub audio_output: u64,
    /// Of `output`, pictures.
    pub image_output: u64,
}

/// The same counts in parts that share no token: they sum to what the provider says in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// Of the prompt, nothing of what follows.
    pub input: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache for its usual lifetime.
    pub cache_write: u64,
    /// Written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Sound in the prompt.
    pub audio_input: u64,
    /// Pictures in the prompt.
    pub image_input: u64,
    /// Of the answer, nothing of what follows.
    pub output: u64,
    /// Thinking.
    pub reasoning: u64,
    /// Sound in the answer.
    pub audio_output: u64,
    /// Pictures in the answer.
    pub image_output: u64,
}

impl Counts {
    /// What `usage` says; `None` where it lacks the prompt or the answer.
    #[must_use]
    pub fn of(usage: &Usage) -> Option<Self> {
        let some = |count: Option<u64>| count.unwrap_or(0);
        Some(Self {
            input: usage.input?,
            output: usage.output?,
            cache_read: some(usage.cache_read),
            cache_write: some(usage.cache_write),
            cache_write_1h: some(usage.cache_write_1h),
            audio_input: some(usage.audio_input),
            image_input: some(usage.image_input),
            reasoning: some(usage.reasoning),
            audio_output: some(usage.audio_output),
            image_output: some(usage.image_output),
        })
    }

    /// What `usage` says, and nothing where it says nothing: what was used at least. `None`: it says neither prompt nor
    /// answer.
    #[must_use]
    pub fn at_least(usage: &Usage) -> Option<Self> {
        let said = usage.input.is_some() || usage.output.is_some();
        let whole = || Usage { input: usage.input.or(Some(0)), output: usage.output.or(Some(0)), ..usage.clone() };
        said.then(whole).as_ref().and_then(Self::of)
    }

    /// In parts that share no token. A share that exceeds what is left of its whole is cut to it: nobody is charged for
    /// more tokens than there were.
    #[must_use]
    pub const fn parts(&self) -> Parts {
        let (cache_read, input) = take(self.cache_read, self.input);
        let (written, input) = take(self.cache_write, input);
        let (cache_write_1h, cache_write) = take(self.cache_write_1h, written);
        let (audio_input, input) = take(self.audio_input, input);
        let (image_input, input) = take(self.image_input, input);
        let (reasoning, output) = take(self.reasoning, self.output);
        let (audio_output, output) = take(self.audio_output, output);
        let (image_output, output) = take(self.image_output, output);
        Parts {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            audio_input,
            image_input,
            output,
            reasoning,
            audio_output,
            image_output,
        }
    }
}

/// As much of `wanted` as there is, and what is then left.
const fn take(wanted: u64, there: u64) -> (u64, u64) {
    let taken = if wanted < there { wanted } else { there };
    (taken, there - taken)
}

impl Price {
    /// The price of what costs nothing.
    pub const FREE: Self = Self::flat(NanoUsd::ZERO, NanoUsd::ZERO);

    /// One price for every token of the prompt and one for every token of the answer, whatever they are.
    #[must_use]
    pub const fn flat(input: NanoUsd, output: NanoUsd) -> Self {
        Self {
            input,
            cache_read: input,
            cache_write: input,
            cache_write_1h: input,
            audio_input: input,
            image_input: input,
            output,
            reasoning: output,
            audio_output: output,
            image_output: output,
            request: NanoUsd::ZERO,
        }
    }

    /// What an answer costs, rounded up to a whole nano-dollar.
    #[must_use]
    pub fn cost(&self, counts: &Counts) -> NanoUsd {
        let parts = counts.parts();
        let sum = [
            (parts.input, self.input),
            (parts.cache_read, self.cache_read),
            (parts.cache_write, self.cache_write),
            (parts.cache_write_1h, self.cache_write_1h),
            (parts.audio_input, self.audio_input),
            (parts.image_input, self.image_input),
            (parts.output, self.output),
            (parts.reasoning, self.reasoning),
            (parts.audio_output, self.audio_output),
            (parts.image_output, self.image_output),
            (1, self.request),
        ]
        .into_iter()
        .fold(0_u128, |sum, (count, each)| sum.saturating_add(u128::from(count) * u128::from(each.0)));
        NanoUsd(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// The same with every part of it changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(NanoUsd) -> NanoUsd) -> Self {
        Self {
            input: change(self.input),
            cache_read: change(self.cache_read),
            cache_write: change(self.cache_write),
            cache_write_1h: change(self.cache_write_1h),
            audio_input: change(self.audio_input),
            image_input: change(self.image_input),
            output: change(self.output),
            reasoning: change(self.reasoning),
            audio_output: change(self.audio_output),
            image_output: change(self.image_output),
            request: change(self.request),
        }
    }

    /// The same with every token at the dearest price that it can have: cached for the longest time, sound, pictures.
    #[must_use]
    pub fn dearest(&self) -> Self {
        let most = |all: [NanoUsd; 4]| all.into_iter().fold(NanoUsd::ZERO, NanoUsd::max);
        let input = most([self.input, self.cache_write, self.cache_write_1h, self.audio_input.max(self.image_input)]);
        let output = most([self.output, self.reasoning, self.audio_output, self.image_output]);
        Self { request: self.request, ..Self::flat(input, output) }
    }
}

/// A price that rises with the prompt: past a threshold, every token has the next step's price.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    /// Up to the first threshold.
    pub base: Price,
    /// The price of requests with more prompt tokens than this, in rising order.
    pub above: Vec<(u64, Price)>,
}

impl Steps {
    /// The price of a request with so many prompt tokens.
    #[must_use]
    pub fn at(&self, input_tokens: u64) -> &Price {
        let step = self.above.iter().rev().find(|(start, _)| input_tokens > *start);
        step.map_or(&self.base, |(_, price)| price)
    }
}

impl From<Price> for Steps {
    fn from(base: Price) -> Self {
        Self { base, above: Vec::new() }
    }
}

/// What holds from some day on, at some hours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Period {
    /// Its first moment; `None`: always.
    pub from: Option<Wall>,
    /// Seconds of the day (UTC) between which it holds, the second excluded; an end before the begin lies on the next
    /// day. `None`: at all hours.
    pub hours: Option<(u32, u32)>,
    /// What is charged usually.
    pub standard: Steps,
    /// What is charged for another class of service: `batch`, `flex`, `priority`, …
    pub classes: Vec<(Box<str>, Steps)>,
}

impl Period {
    fn holds(&self, when: Wall) -> bool {
        let second = u32::try_from(when.unix().rem_euclid(86_400)).unwrap_or(0);
        let in_hours = self.hours.is_none_or(|(begin, end)| {
            if begin < end { begin <= second && second < end } else { second >= begin || second < end }
        });
        in_hours && self.from.is_none_or(|from| from <= when)
    }

    fn steps(&self, class: Option<&str>) -> &Steps {
        let named = self.classes.iter().find(|(name, _)| class == Some(&**name));
        named.map_or(&self.standard, |(_, steps)| steps)
    }
}

/// A price list: what a model costs at a host, by day, hour, prompt size and class of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    version: Box<str>,
    first: Period,
    later: Vec<Period>,
}

impl Tariff {
    /// The list called `version` that consists of `periods`, the later ones over the earlier; `None` where there is none.
    #[must_use]
    pub fn new(version: &str, periods: impl IntoIterator<Item = Period>) -> Option<Self> {
        let mut periods = periods.into_iter();
        let first = periods.next()?;
        Some(Self { version: version.into(), first, later: periods.collect() })
    }

    /// One price for ever.
    #[must_use]
    pub fn flat(version: &str, price: Price) -> Self {
        let first = Period { standard: price.into(), ..Period::default() };
        Self { version: version.into(), first, later: Vec::new() }
    }

    /// The same list with every price changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(NanoUsd) -> NanoUsd) -> Self {
        let steps = |steps: &Steps| Steps {
            base: steps.base.map(&change),
            above: steps.above.iter().map(|(start, price)| (*start, price.map(&change))).collect(),
        };
        let period = |period: &Period| Period {
            from: period.from,
            hours: period.hours,
            standard: steps(&period.standard),
            classes: period.classes.iter().map(|(name, of)| (name.clone(), steps(of))).collect(),
        };
        Self {
            version: self.version.clone(),
            first: period(&self.first),
            later: self.later.iter().map(period).collect(),
        }
    }

    /// The list's version, as the ledger writes it beside each cost.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Every period, the earliest first.
    pub fn periods(&self) -> impl DoubleEndedIterator<Item = &Period> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// What a request with so many prompt tokens is charged then, in that class of service. A class that the list does
    /// not name is charged as the usual one; before the first period, the first holds.
    #[must_use]
    pub fn at(&self, when: Wall, input_tokens: u64, class: Option<&str>) -> &Price {
        let period = self.later.iter().rev().find(|period| period.holds(when)).unwrap_or(&self.first);
        period.steps(class).at(input_tokens)
    }

    /// What an answer costs that was asked for then.
    #[must_use]
    pub fn cost(&self, when: Wall, counts: &Counts, class: Option<&str>) -> NanoUsd {
        self.at(when, counts.input, class).cost(counts)
    }

    /// The most that so many tokens can cost then in that class of service, whatever they turn out to be.
    #[must_use]
    pub fn worst(&self, when: Wall, input: u64, output: u64, class: Option<&str>) -> NanoUsd {
        self.at(when, input, class).dearest().cost(&Counts { input, output, ..Counts::default() })
    }
}

impl From<Price> for Tariff {
    fn from(price: Price) -> Self {
        Self::flat("", price)
    }
}

#[cfg(test)]
mod tests;
