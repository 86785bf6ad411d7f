//! The child process and the socket to it. Started with OpenMP told to sleep instead of spin: it reads that only at
//! process start, and spinning makes a busy machine a hundred times slower.

use crate::HouseCommand;
use crate::protocol::{self, FromWorker, Inbox, ToWorker};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Last lines of the child's standard error that are kept for the story of its death.
const LAST_WORDS: usize = 8;

/// Bytes read from the socket at once.
const CHUNK: usize = 16 << 10;

type Words = Arc<Mutex<VecDeque<String>>>;

/// A running child.
#[derive(Debug)]
pub(super) struct Link {
    child: Child,
    socket: OwnedReadHalf,
    inbox: Inbox,
    /// Frames for the writing task: writing here could wait for a child that waits for us to read.
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    words: Words,
    /// The weights are loaded; the model's name.
    pub(super) model: Option<String>,
}

impl Link {
    /// Starts a child.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(super) fn start(command: &HouseCommand, tasks: &TaskTracker) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .env("OMP_WAIT_POLICY", "passive")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (socket, writer) = UnixStream::from_std(ours)?.into_split();
        let (outgoing, frames) = mpsc::unbounded_channel();
        let words = Words::default();
        tasks.spawn(write(writer, frames));
        if let Some(stderr) = child.stderr.take() {
            tasks.spawn(listen(stderr, Arc::clone(&words)));
        }
        Ok(Self { child, socket, inbox: Inbox::default(), outgoing, words, model: None })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a frame. A child that is gone is noticed by reading.
    pub(super) fn send(&self, frame: &ToWorker) {
        let mut bytes = Vec::new();
        match protocol::write(frame, &mut bytes) {
            Ok(()) => drop(self.outgoing.send(bytes)),
            Err(error) => tracing::error!(%error, "a frame for the house model was not sent"),
        }
    }

    /// The next frame; `None`: the child is gone. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<FromWorker> {
        loop {
            match self.inbox.frame() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the house model speaks nonsense");
                    return None;
                }
            }
            let space = self.inbox.space();
            space.reserve(CHUNK);
            if !matches!(self.socket.read_buf(space).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Ends the child and says how it ended and what it said last.
    pub(super) async fn end(mut self) -> String {
        // Fails only when it has already ended.
        let _ = self.child.start_kill();
        let status = self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.iter().fold(status, |all, line| format!("{all}; {line}"))
    }
}

async fn write(mut socket: OwnedWriteHalf, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = frames.recv().await {
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// The child's standard error: llama.cpp's warnings, and the last words before an abort.
async fn listen(stderr: ChildStderr, words: Words) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(target: "llama", "{line}");
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(line);
    }
}
