//! The child: loads the weights, reads requests from the socket that is its standard input, answers them until the
//! parent is gone. One thread reads and prepares, one computes; nothing else runs here, and nothing here is async.

mod calls;
mod model;
mod prepare;
mod sampler;
mod scheduler;
mod slots;
mod speech;
mod template;
mod tools;

use crate::HouseOptions;
use crate::protocol::{self, FrameError, FromWorker, Inbox, Refusal, ToWorker};
use llama_cpp_2::context::LlamaContext;
use model::{LoadError, Model};
use scheduler::{Order, Scheduler};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};

/// Why the child ended early. The parent reads these words from its standard error.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Started by hand.
    #[error("`house-worker` is started by autarky itself: its standard input must be a socket ({0})")]
    NoSocket(io::Error),
    /// The socket failed.
    #[error("the gateway cannot be heard: {0}")]
    Deaf(#[from] io::Error),
    /// The parent spoke nonsense.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The computation failed.
    #[error("{0}")]
    Broken(String),
}

/// The way back to the parent; whole frames only.
#[derive(Debug)]
pub(crate) struct Outbox(Mutex<UnixStream>);

impl Outbox {
    fn send(&self, frame: &FromWorker) -> Result<(), WorkerError> {
        let mut bytes = Vec::new();
        protocol::write(frame, &mut bytes)?;
        Ok(self.send_bytes(&bytes)?)
    }

    fn send_bytes(&self, frames: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(frames)
    }
}

/// The way from the parent.
struct Ear {
    socket: UnixStream,
    inbox: Inbox,
    chunk: Vec<u8>,
}

impl Ear {
    /// The next frame; `None`: the parent is gone.
    fn next(&mut self) -> Result<Option<ToWorker>, WorkerError> {
        loop {
            if let Some(frame) = self.inbox.frame()? {
                return Ok(Some(frame));
            }
            let count = match self.socket.read(&mut self.chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                // The parent went without reading our last words.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            self.inbox.space().extend_from_slice(&self.chunk[..count]);
        }
    }
}

/// Runs the child until the parent is gone: what `autarky house-worker` calls. The socket is standard input, and the
/// options come as its first frame, so there are no arguments.
///
/// # Errors
/// When standard input is no socket, or the computation failed; the parent starts another child.
pub fn run() -> Result<(), WorkerError> {
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).map_err(WorkerError::NoSocket)?;
    socket.local_addr().map_err(WorkerError::NoSocket)?;
    let outbox = Outbox(Mutex::new(socket.try_clone()?));
    let mut ear = Ear { socket, inbox: Inbox::default(), chunk: vec![0; 64 << 10] };
    let Some(ToWorker::Load(options)) = ear.next()? else { return Ok(()) };
    let unfit = |error: LoadError| outbox.send(&FromWorker::Unfit { reason: error.to_string() });
    let (model, mut adapter) = match Model::load(&options) {
        Ok(loaded) => loaded,
        Err(error) => return unfit(error),
    };
    match model.context(&options, adapter.as_mut()) {
        Ok(context) => serve(&model, context, &options, ear, &outbox),
        Err(error) => unfit(error),
    }
}

fn serve(
    model: &Model,
    context: LlamaContext<'_>,
    options: &HouseOptions,
    ear: Ear,
    outbox: &Outbox,
) -> Result<(), WorkerError> {
    outbox.send(&FromWorker::Ready { model: model.name.clone(), context: options.longest().min(context.n_ctx()) })?;
    let (orders, inbox) = mpsc::channel();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || listen(model, options, ear, outbox, &orders));
        let end = Scheduler::new(model, context, options, outbox).run(&inbox);
        drop(inbox);
        match end {
            Ok(()) => reader.join().unwrap_or(Ok(())),
            Err(broken) => Err(WorkerError::Broken(broken.to_string())),
        }
    })
}

/// Reads frames and prepares requests until the parent is gone; then the scheduler, hearing no more orders, ends too.
fn listen(
    model: &Model,
    options: &HouseOptions,
    mut ear: Ear,
    outbox: &Outbox,
    orders: &Sender<Order>,
) -> Result<(), WorkerError> {
    while let Some(frame) = ear.next()? {
        let order = match frame {
            ToWorker::Submit(submit) => {
                let id = submit.id;
                match prepare::job(model, options, submit) {
                    Ok(job) => Order::Job(job),
                    Err(refusal) => {
                        outbox.send(&FromWorker::Refused { id, refusal })?;
                        continue;
                    }
                }
            }
            ToWorker::Cancel { id } => Order::Cancel(id),
            ToWorker::Gauge { id } => Order::Gauge(id),
            ToWorker::Count { id, body } => {
                outbox.send(&match count(model, body) {
                    Ok(tokens) => FromWorker::Counted { id, tokens },
                    Err(refusal) => FromWorker::Refused { id, refusal },
                })?;
                continue;
            }
            ToWorker::Load(_) => continue,
        };
        if orders.send(order).is_err() {
            break;
        }
    }
    Ok(())
}

fn count(model: &Model, body: Value) -> Result<u64, Refusal> {
    let request = prepare::read(body)?;
    Ok(prepare::prompt(model, &request)?.len() as u64)
}
