//! The provider's own log: what really arrived and what became of it, counted where it happened. The foreign counter
//! that ledgers are compared with. Two lines per request go to the file, one at arrival and one at the end, each in
//! one write, so that kill -9 loses nothing that was logged; in memory both are one `Record`.

use super::reply::Counts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One request and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number in order of arrival, from 0.
    pub seq: u64,
    /// What was known at arrival.
    #[serde(flatten)]
    pub arrival: Arrival,
    /// What was known at the end.
    #[serde(flatten)]
    pub end: End,
}

/// What is known once a request was read, before anything was answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    /// Microseconds since the provider started, by a clock that never goes back.
    pub at_us: u64,
    /// Milliseconds since 1970 by the wall clock.
    pub unix_ms: u64,
    /// Number of the connection, from 0.
    pub conn: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers; keys are replaced by `sha256:` and the first 12 digits of their hash.
    pub headers: BTreeMap<String, String>,
    /// The wire, where the path is one's.
    pub wire: Option<String>,
    /// The model asked for, in the client's words.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Length of the body, bytes.
    pub body_bytes: usize,
    /// The body, where bodies are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// `ok`, or why the request was refused.
    pub verdict: String,
    /// What was made to go wrong.
    pub fault: Option<String>,
}

/// What is known when a request is over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Microseconds since the provider started.
    pub end_us: Option<u64>,
    /// HTTP status sent; `None`: no header was.
    pub status: Option<u16>,
    /// Events of the answer handed to the socket.
    pub events: u64,
    /// Bytes of the answer handed to the socket.
    pub bytes: u64,
    /// Token counts reported to the client, whether it stayed to read them or not.
    pub usage: Option<Counts>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It has not.
    #[default]
    Open,
    /// Everything was sent.
    Finished,
    /// The client left before.
    ClientLeft,
    /// The provider broke the connection.
    Cut,
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: Vec<Record>,
    /// `seq` of the first record kept.
    first: u64,
    file: Option<File>,
    /// What the file would not take; told with the next answer to `GET /__log`.
    lost: Option<String>,
}

impl Log {
    /// A log that is also appended to `file`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn to_file(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        Ok(Self { kept: Mutex::new(Kept { file, ..Kept::default() }) })
    }

    /// Notes an arrival and gives it its number.
    pub fn arrive(&self, arrival: Arrival) -> u64 {
        let mut kept = self.lock();
        let seq = kept.first + kept.records.len() as u64;
        kept.write("arrive", seq, &arrival);
        kept.records.push(Record { seq, arrival, end: End::default() });
        seq
    }

    /// Notes the end of request `seq`.
    pub fn end(&self, seq: u64, end: End) {
        let mut kept = self.lock();
        kept.write("end", seq, &end);
        let index = seq.checked_sub(kept.first).and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| kept.records.get_mut(index)) {
            record.end = end;
        }
    }

    /// Every request since the last `clear`.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// Forgets the requests kept in memory; the file and the numbers go on.
    pub fn clear(&self) {
        let mut kept = self.lock();
        kept.first += kept.records.len() as u64;
        kept.records.clear();
    }

    /// Why the file is not complete, if it is not.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn write(&mut self, what: &str, seq: u64, row: &impl Serialize) {
        let Some(file) = &mut self.file else { return };
        let mut line = Map::new();
        line.insert("line".into(), what.into());
        line.insert("seq".into(), seq.into());
        if let Ok(Value::Object(fields)) = serde_json::to_value(row) {
            line.extend(fields);
        }
        let text = format!("{}\n", Value::Object(line));
        if let Err(error) = file.write_all(text.as_bytes()) {
            self.lost = Some(error.to_string());
        }
    }
}

/// Reads a log file; lines of one request become one record. A last line cut by kill -9 is left out.
///
/// # Errors
/// When the file cannot be read.
pub fn read_log(path: &Path) -> io::Result<Vec<Record>> {
    let text = std::fs::read_to_string(path)?;
    let mut rows: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    for line in text.lines() {
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else { continue };
        let Some(seq) = fields.get("seq").and_then(Value::as_u64) else { continue };
        rows.entry(seq).or_default().extend(fields);
    }
    Ok(rows.into_values().filter_map(record).collect())
}

fn record(mut fields: Map<String, Value>) -> Option<Record> {
    fields.remove("line");
    for (key, value) in serde_json::to_value(End::default()).ok()?.as_object()? {
        if !fields.contains_key(key) {
            fields.insert(key.clone(), value.clone());
        }
    }
    serde_json::from_value(Value::Object(fields)).ok()
}
