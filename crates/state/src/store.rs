//! The store of kept turns. One trait, sync and object safe, so that databases are told apart by the wiring only;
//! every one passes `suite`. Everything belongs to a product: another product's ids are ids of nothing.

use serde_json::Value;
use std::path::PathBuf;

/// Why the store could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database cannot be opened.
    #[error("cannot open the kept turns in `{}`: {source}", path.display())]
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
    /// The database was made by a newer version.
    #[error("the kept turns in `{}` have schema {found}, this version knows {known}: update autarky", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
}

/// A digest of an opaque block.
pub type Digest = [u8; 16];

/// One kept answer with what was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Its id.
    pub id: String,
    /// The kept answer that it continued.
    pub previous: Option<String>,
    /// The conversation that it belongs to.
    pub conversation: Option<String>,
    /// When it was kept, Unix seconds.
    pub created: i64,
    /// The items asked in this turn, oldest first.
    pub asked: Vec<Value>,
    /// The items answered.
    pub answered: Vec<Value>,
    /// The rest of the answer, as its wire writes it.
    pub body: Value,
}

/// One kept conversation, without its items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// When it was made, Unix seconds.
    pub created: i64,
    /// The client's labels.
    pub metadata: Value,
}

/// What came before a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Context {
    /// Every item, oldest first.
    Items(Vec<Value>),
    /// This one of the answers or conversations that it stands on is not there, or no longer.
    Missing(String),
}

/// What is kept of a product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The product.
    pub product: String,
    /// Kept answers.
    pub answers: u64,
    /// Kept conversations.
    pub conversations: u64,
    /// Items of both.
    pub items: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// When the oldest answer was kept, Unix seconds.
    pub oldest: Option<i64>,
}

/// A place where turns are kept. `now` is Unix seconds; what is used lives on from then.
///
/// # Errors
/// Every function: the store refuses; then nothing of the call was done.
#[expect(clippy::missing_errors_doc, reason = "all of them fail alike, and the trait says so")]
pub trait Store: Send + Sync {
    /// Keeps an answer, in the place of one with the same id; its items also go to the end of its conversation, where
    /// it has one that is still there.
    fn put_answer(&self, product: &str, answer: &Answer) -> Result<(), StateError>;

    /// A kept answer.
    fn answer(&self, product: &str, id: &str) -> Result<Option<Answer>, StateError>;

    /// Forgets an answer; `false`: there was none.
    fn delete_answer(&self, product: &str, id: &str) -> Result<bool, StateError>;

    /// What was said up to and with a kept answer.
    fn up_to(&self, product: &str, answer: &str) -> Result<Context, StateError>;

    /// Keeps a conversation with its first items.
    fn put_conversation(&self, product: &str, conversation: &Conversation, items: &[Value]) -> Result<(), StateError>;

    /// A kept conversation.
    fn conversation(&self, product: &str, id: &str) -> Result<Option<Conversation>, StateError>;

    /// Gives a conversation other labels; `false`: there is none.
    fn label(&self, product: &str, id: &str, metadata: &Value) -> Result<bool, StateError>;

    /// Forgets a conversation and its items; `false`: there was none.
    fn delete_conversation(&self, product: &str, id: &str) -> Result<bool, StateError>;

    /// Adds items to the end of a conversation; `false`: there is none.
    fn add_items(&self, product: &str, id: &str, items: &[Value], now: i64) -> Result<bool, StateError>;

    /// The items of a conversation, oldest first; `None`: there is none.
    fn items(&self, product: &str, id: &str) -> Result<Option<Vec<Value>>, StateError>;

    /// Forgets an item of a conversation; `false`: it is not in it.
    fn delete_item(&self, product: &str, conversation: &str, item: &str) -> Result<bool, StateError>;

    /// The kept items of these ids, wherever they were said; those that are not there are left out.
    fn find_items(&self, product: &str, ids: &[String]) -> Result<Vec<Value>, StateError>;

    /// Remembers who can read which opaque block.
    fn put_seals(&self, product: &str, seals: &[(Digest, String)], now: i64) -> Result<(), StateError>;

    /// Who can read each of these blocks; those not remembered are left out.
    fn seals(&self, product: &str, digests: &[Digest]) -> Result<Vec<(Digest, String)>, StateError>;

    /// Forgets what was last used before `before`, Unix seconds; returns how many answers, conversations and seals.
    fn purge(&self, before: i64) -> Result<u64, StateError>;

    /// Forgets everything of a product; returns how many answers and conversations.
    fn erase(&self, product: &str) -> Result<u64, StateError>;

    /// What is kept, product by product.
    fn held(&self) -> Result<Vec<Held>, StateError>;
}
