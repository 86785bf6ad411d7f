//! The store: where rows are kept for questions. One trait, sync and object safe, so that SQLite and PostgreSQL are
//! told apart by the wiring only; every store passes `suite`. Pure: only the trait and its words live here. A store is
//! fed from the journal and may lag or be away; nobody on a request's path calls it.

use crate::cell::Mismatch;
use crate::flow::Flow;
use crate::id::RequestId;
use crate::keys::Key;
use crate::named::named;
use crate::packed::Entries;
use crate::record::{Attempt, Name};
use std::path::PathBuf;

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the ledger `{}`: {source}", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database refused an operation: locked, full, read-only or away.
    #[error("cannot {doing}: {source}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was opened for reading only.
    #[error("the ledger `{}` was opened for reading only", .0.display())]
    ReadOnly(PathBuf),
    /// The database was made by a newer version.
    #[error("the ledger `{}` has schema {found}, this version knows {known}: update autarky", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// A value in the database does not fit.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The database is damaged.
    #[error("the ledger is damaged: {0}; restore a backup, the journal feeds what came after")]
    Damaged(String),
}

named! {
    /// What rows can be picked and totals grouped by.
    pub enum Dimension {
        /// The product that asked.
        Product => "product",
        /// The team whose key it was.
        Team => "team",
        /// The key.
        Key => "key",
        /// The kind of task.
        Class => "class",
        /// The model that the client named.
        RequestedModel => "requested_model",
        /// The model that answered.
        Model => "resolved_model",
        /// The deployment.
        Deployment => "deployment",
        /// The API counterparty.
        Provider => "provider",
        /// Who trained the model.
        Maker => "maker",
        /// Whose machines ran it.
        Host => "host",
        /// Who bills.
        Invoicer => "invoicer",
        /// Our account.
        Account => "account",
        /// Where it ran.
        Region => "region",
        /// The model's family.
        Family => "family",
        /// What became of it.
        Outcome => "outcome",
        /// Why it was made.
        Mode => "mode",
        /// What went wrong.
        Fault => "fault",
        /// How freely it could go elsewhere.
        Portability => "portability",
        /// The month in which it began, UTC: `2026-11`.
        Month => "month",
        /// The day on which it began, UTC: `2026-11-25`.
        Day => "day",
        /// The hour in which it began, UTC: `2026-11-25T14:00Z`.
        Hour => "hour",
    }
}

/// Which rows are meant; everything unset matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Begun at or after, Unix microseconds.
    pub from: Option<i64>,
    /// Begun before, Unix microseconds.
    pub until: Option<i64>,
    /// What they say, all of it; `None`: that they do not say.
    pub is: Vec<(Dimension, Option<Name>)>,
    /// At most this many, newest first; `None`: all. Totals take no notice of it.
    pub limit: Option<u32>,
}

impl Filter {
    /// The rows that also say `name` of `by`.
    #[must_use]
    pub fn only(mut self, by: Dimension, name: impl Into<Name>) -> Self {
        self.is.push((by, Some(name.into())));
        self
    }
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Days.
    pub days: u64,
    /// Their rows.
    pub rows: u64,
}

/// What the rows of one group add up to. A sum counts what is known; the counts of unknowns say what it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Total {
    /// What its rows say of each dimension; `None`: they do not say.
    pub group: Vec<Option<Name>>,
    /// Requests with an attempt in the group.
    pub requests: u64,
    /// Attempts.
    pub attempts: u64,
    /// Of these, answered.
    pub ok: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Of these, given up.
    pub cancelled: u64,
    /// Of these, begun by a process that died.
    pub unknown: u64,
    /// Attempts without token counts.
    pub uncounted: u64,
    /// Tokens of prompts, cached ones included.
    pub input_tokens: u64,
    /// Of these, read from a cache.
    pub cache_read_tokens: u64,
    /// Of the prompts' tokens, written to a cache.
    pub cache_write_tokens: u64,
    /// Tokens of answers, thinking included.
    pub output_tokens: u64,
    /// Of these, thinking.
    pub reasoning_tokens: u64,
    /// Attempts whose cost is unknown.
    pub unpriced: u64,
    /// The known costs, billionths of a US dollar.
    pub cost_nanodollars: i64,
}

impl Total {
    /// Adds `other`, whose requests are none of these and whose group is not looked at.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.attempts += other.attempts;
        self.ok += other.ok;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.unknown += other.unknown;
        self.uncounted += other.uncounted;
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
        self.unpriced += other.unpriced;
        self.cost_nanodollars = self.cost_nanodollars.saturating_add(other.cost_nanodollars);
    }
}

/// A place where rows and keys are kept.
pub trait Store: Send + Sync {
    /// Adds rows in one transaction; returns how many rows are new or changed. A row that is there already stays as it
    /// is, unless it is open or unknown and the new one has a final outcome: feeding twice is feeding once.
    ///
    /// # Errors
    /// The store refuses; then none of the rows was added.
    fn append(&self, rows: &[Attempt]) -> Result<u64, StoreError> {
        self.feed(&Entries::of(rows))
    }

    /// Adds rows as the journal has them, as [`Self::append`] does: a store that can take them as they are saves itself the
    /// reading, which costs more than all else.
    ///
    /// # Errors
    /// The store refuses; then none of the rows was added.
    fn feed(&self, entries: &Entries) -> Result<u64, StoreError>;

    /// Makes sure that a loss of power takes nothing that was added before.
    ///
    /// # Errors
    /// The store refuses.
    fn persist(&self) -> Result<(), StoreError>;

    /// All attempts of a request, in order.
    ///
    /// # Errors
    /// The store refuses.
    fn attempts(&self, request: RequestId) -> Result<Vec<Attempt>, StoreError>;

    /// The rows that `filter` means, those of the newest requests first.
    ///
    /// # Errors
    /// The store refuses.
    fn list(&self, filter: &Filter) -> Result<Vec<Attempt>, StoreError>;

    /// Hands the rows that `filter` means to `take`, in the order in which their requests came, until it answers that it
    /// has enough (`false`). The filter's limit is not looked at.
    ///
    /// # Errors
    /// The store refuses.
    fn each(&self, filter: &Filter, take: &mut dyn FnMut(Attempt) -> bool) -> Result<(), StoreError>;

    /// Totals of the rows that `filter` means, one per combination of what they say of `by`, most attempts first. The
    /// filter's limit is not looked at.
    ///
    /// # Errors
    /// The store refuses.
    fn totals(&self, by: &[Dimension], filter: &Filter) -> Result<Vec<Total>, StoreError>;

    /// The flows of the rows that `filter` means and that were made for a client outside any drill, in the order of
    /// their keys. The filter's limit is not looked at. Where rows are forgotten and their sums are not, a day counts whole of which
    /// the filter means a part.
    ///
    /// # Errors
    /// The store refuses.
    fn flows(&self, filter: &Filter) -> Result<Vec<Flow>, StoreError>;

    /// Forgets whole days of requests, the oldest first, whose attempts all began before `rows_before` (Unix
    /// microseconds); then the sums of days (UTC) before `sums_before`, never of rows that are kept. A row of a
    /// forgotten day that comes later is not added.
    ///
    /// # Errors
    /// The store refuses; what it forgot before that stays forgotten.
    fn forget(&self, rows_before: i64, sums_before: i64) -> Result<Forgotten, StoreError>;

    /// Before which moment (Unix microseconds) rows may have been forgotten; `None`: none were.
    ///
    /// # Errors
    /// The store refuses.
    fn kept_from(&self) -> Result<Option<i64>, StoreError>;

    /// Looks through the whole database for damage.
    ///
    /// # Errors
    /// The damage found, or the store refuses.
    fn check(&self) -> Result<(), StoreError>;

    /// Every key, revoked and expired ones included, oldest first.
    ///
    /// # Errors
    /// The store refuses.
    fn keys(&self) -> Result<Vec<Key>, StoreError>;

    /// Adds keys or replaces those with the same id, in one transaction. A revocation, once there, stays.
    ///
    /// # Errors
    /// The store refuses.
    fn put_keys(&self, keys: &[Key]) -> Result<(), StoreError>;

    /// A number that rises whenever keys change, by whichever process.
    ///
    /// # Errors
    /// The store refuses.
    fn keys_version(&self) -> Result<i64, StoreError>;
}
