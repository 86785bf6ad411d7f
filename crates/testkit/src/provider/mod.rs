//! A scripted provider on loopback: strict in what it takes, scripted in what it says and in how it fails, with a log
//! of its own. In-process on a port of its choice (`Provider::start`), or as the binary `scripted-provider`.
//! It knows nothing of the gateway and shares no code with it, so that the two cannot be wrong together.

mod ask;
mod body;
mod control;
mod fault;
mod instance;
mod log;
mod reply;
mod script;
mod seal;
mod serve;
pub mod shape;
mod socket;
pub mod wire;

pub use ask::{Ask, Choice, Form, Offered, Speaker, Turn};
pub use fault::{Fault, Trouble};
pub use instance::instance;
pub use log::{Arrival, End, Log, Outcome, Record, read_log};
pub use reply::{
    Call, Counts, Reply, Said, compose, expected_answer, expected_long_answer, nonce_of, proof_of, split_tokens,
};
pub use script::{Answer, CallSpec, Last, Pace, Raw, Rule, Script, StopKind, UsageSpec, When};
pub use shape::Refusal;
pub use wire::{WIRES, Wire};

use serve::{Connection, Shared};
use socket::{Socket, Tap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// How a provider starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0: any free one.
    pub listen: SocketAddr,
    /// A file that the log is appended to.
    pub log: Option<PathBuf>,
    /// Whether the log keeps request bodies.
    pub keep_bodies: bool,
    /// The first script.
    pub script: Script,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            log: None,
            keep_bodies: true,
            script: Script::default(),
        }
    }
}

/// A running provider; dropped, it is gone, its connections with it.
#[derive(Debug)]
pub struct Provider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Provider {
    /// Starts a provider on a free port of loopback; bodies are kept in its log.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::start_with(Options { script, ..Options::default() }).await
    }

    /// Starts a provider.
    ///
    /// # Errors
    /// When the address is taken or the log file cannot be opened.
    pub async fn start_with(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let log = Log::to_file(options.log.as_deref())?;
        let salt = (u64::from(std::process::id()) << 40) ^ (u64::from(addr.port()) << 24);
        let shared = Arc::new(Shared::new(log, options.keep_bodies, salt, script::Running::new(options.script)));
        #[expect(clippy::disallowed_methods, reason = "the handle is kept, and the task ends with the provider")]
        let task = tokio::spawn(serve_all(listener, addr, Arc::clone(&shared)));
        Ok(Self { addr, shared, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Sets the script; every counter of its rules starts at 0.
    pub fn script(&self, script: Script) {
        self.shared.run(script::Running::new(script));
    }

    /// Every request since the last `clear_log`.
    #[must_use]
    pub fn log(&self) -> Vec<Record> {
        self.shared.log.records()
    }

    /// Forgets the log kept in memory.
    pub fn clear_log(&self) {
        self.shared.log.clear();
    }

    /// Requests that are not over yet.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::Acquire)
    }

    /// Closes the port and resets every connection, for `length`.
    pub fn outage(&self, length: Duration) {
        self.shared.outage.send_replace(Some(Instant::now() + length));
    }

    /// Serves until the process ends.
    pub async fn run(mut self) {
        // The task ends only when the port cannot be taken back after an outage.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_all(mut listener: TcpListener, addr: SocketAddr, shared: Arc<Shared>) {
    let numbers = AtomicU64::new(0);
    let mut outage = shared.outage.subscribe();
    loop {
        let until = serve_until_outage(listener, &shared, &numbers, &mut outage).await;
        tokio::time::sleep_until(until.into()).await;
        listener = match TcpListener::bind(addr).await {
            Ok(listener) => listener,
            Err(_) => return,
        };
    }
}

/// Serves until an outage is ordered; then the port is closed and every connection reset. Gives the outage's end.
async fn serve_until_outage(
    listener: TcpListener,
    shared: &Arc<Shared>,
    numbers: &AtomicU64,
    outage: &mut tokio::sync::watch::Receiver<Option<Instant>>,
) -> Instant {
    let mut connections = JoinSet::new();
    let mut taps: Vec<std::sync::Weak<Tap>> = Vec::new();
    loop {
        tokio::select! {
            _ = outage.changed() => {
                let until = *outage.borrow_and_update();
                if let Some(until) = until {
                    taps.iter().filter_map(std::sync::Weak::upgrade).for_each(|tap| tap.reset());
                    connections.shutdown().await;
                    return until;
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let tap = Arc::new(Tap::default());
                taps.retain(|tap| tap.strong_count() > 0);
                taps.push(Arc::downgrade(&tap));
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve_one(stream, Arc::clone(shared), tap, number));
            }
        }
    }
}

async fn serve_one(stream: TcpStream, shared: Arc<Shared>, tap: Arc<Tap>, number: u64) {
    let Ok(socket) = Socket::new(stream, Arc::clone(&tap)) else { return };
    let connection = Arc::new(Connection { number, tap, served: AtomicU64::new(0) });
    let service =
        hyper::service::service_fn(move |request| serve::answer(Arc::clone(&shared), Arc::clone(&connection), request));
    // An error here is a client that left, or a fault of the script; the log has it.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(socket), service)
        .await;
}
