//! Hand-over: a new process takes the place of the one that serves, and no client notices. The old one keeps a Unix
//! socket in the data folder. A new one asks there and is given the listening sockets themselves, so that no connection
//! is ever refused; it starts whole, goes on with what is spent and counted, and accepts from then on, while the old one
//! ends what it runs. Whatever goes wrong before that leaves the old one as it was.

use anyhow::{Context, bail};
use gateway::clock;
use gateway::run::live::{Estate, Heir};
use gateway::serve::Door;
use gateway::setup::Gateway;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};

/// The socket's name in the data folder.
const SOCKET: &str = "serve.sock";
/// Sockets that can be handed over at once.
const MOST_SOCKETS: usize = 8;
/// How long the other side may take for a word.
const WORD: Duration = Duration::from_secs(10);
/// How long a new process may take to start.
const START: Duration = Duration::from_secs(120);
/// How often the old process tells what it may still spend.
const TELL: Duration = Duration::from_millis(200);
/// By how much a new process's clock begins earlier, so that what was counted in the last minute has a place in it.
pub(crate) const BEFORE: Duration = Duration::from_secs(120);

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum New {
    /// It wants to take over.
    Hello { pid: u32, version: String },
    /// It could serve now.
    Ready,
    /// It serves.
    Serving,
}

/// What the old process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Old {
    /// The sockets that come along, and what is missing until it is ready itself.
    Offer { pid: u32, sockets: Vec<String>, missing: Vec<String> },
    /// What it leaves; it accepts nothing more.
    Yours(Estate),
    /// What it may still spend and runs.
    Still(Estate),
    /// It has ended; nothing follows.
    Farewell(Estate),
}

async fn say(stream: &mut BufReader<UnixStream>, word: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    tokio::time::timeout(WORD, stream.get_mut().write_all(&line)).await??;
    Ok(())
}

/// The next word; `None`: the other side is gone.
async fn hear<T: DeserializeOwned>(stream: &mut BufReader<UnixStream>) -> anyhow::Result<Option<T>> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await?;
    Ok(if read == 0 { None } else { Some(serde_json::from_str(&line)?) })
}

async fn hear_within<T: DeserializeOwned>(stream: &mut BufReader<UnixStream>, time: Duration) -> anyhow::Result<T> {
    match tokio::time::timeout(time, hear(stream)).await {
        Ok(heard) => heard?.context("the other process ended before it was done"),
        Err(_) => bail!("the other process said nothing for {} s", time.as_secs()),
    }
}

/// Where a new process asks.
#[derive(Debug)]
pub(crate) struct Post {
    socket: UnixListener,
    path: PathBuf,
    /// Device and number of the file: another process may put its own in its place.
    file: (u64, u64),
}

impl Post {
    /// Opens it in the data folder, in place of another process's.
    ///
    /// # Errors
    /// When the folder takes no sockets, or its name is too long for one.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let (path, aside) = (data.join(SOCKET), data.join(format!("{SOCKET}.{}", std::process::id())));
        drop(std::fs::remove_file(&aside));
        let socket = UnixListener::bind(&aside)?;
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&aside, &path)?;
        let file = std::fs::metadata(&path)?;
        Ok(Self { socket, path, file: (file.dev(), file.ino()) })
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if std::fs::metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// The old process's side.
pub(crate) struct Keeper {
    gateway: Arc<Gateway>,
    data: PathBuf,
    sockets: Vec<(&'static str, OwnedFd)>,
    door: watch::Sender<Door>,
}

/// To be called when the process has ended all it did.
pub(crate) struct Farewell {
    ended: oneshot::Sender<()>,
    told: oneshot::Receiver<()>,
}

impl Farewell {
    /// Tells the next process, if there is one.
    pub(crate) async fn say(self) {
        if self.ended.send(()).is_ok() {
            // Nobody to tell, or nobody who hears: then it finds out by itself.
            drop(tokio::time::timeout(WORD, self.told).await);
        }
    }
}

impl Keeper {
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        data: &Path,
        sockets: Vec<(&'static str, OwnedFd)>,
        door: watch::Sender<Door>,
    ) -> Self {
        Self { gateway: Arc::clone(gateway), data: data.to_owned(), sockets, door }
    }

    /// Waits for a new process until the gateway stops.
    pub(crate) fn watch(self, post: Post) -> Farewell {
        let ((ended, end), (tell, told)) = (oneshot::channel(), oneshot::channel());
        let tasks = self.gateway.tasks.clone();
        tasks.spawn(async move {
            self.wait(post, end).await;
            drop(tell);
        });
        Farewell { ended, told }
    }

    async fn wait(self, mut post: Post, end: oneshot::Receiver<()>) {
        loop {
            let accepted = tokio::select! {
                () = self.gateway.tasks.stopped() => return,
                accepted = post.socket.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            match self.hand_over(stream).await {
                Ok((pid, stream)) => {
                    tracing::info!(pid, "handed over: what runs here may end first");
                    drop(post);
                    self.door.send_replace(Door::HandedOver);
                    self.gateway.tasks.stop();
                    return self.part(stream, end).await;
                }
                Err(error) => {
                    tracing::error!("the hand-over failed, this process goes on serving: {error:#}");
                    self.gateway.setup().live.reclaim();
                    self.door.send_replace(Door::Open);
                    // The new one may have put its own in its place.
                    match Post::open(&self.data) {
                        Ok(opened) => post = opened,
                        Err(error) => tracing::warn!(%error, "no other process can take over any more"),
                    }
                }
            }
        }
    }

    async fn hand_over(&self, stream: UnixStream) -> anyhow::Result<(u32, BufReader<UnixStream>)> {
        let mut stream = BufReader::new(stream);
        let New::Hello { pid, version } = hear_within(&mut stream, WORD).await? else { bail!("it asked for nothing") };
        tracing::info!(pid, version, "another process is about to take over");
        let names = self.sockets.iter().map(|(name, _)| (*name).to_owned()).collect();
        let offer = Old::Offer { pid: std::process::id(), sockets: names, missing: self.gateway.missing() };
        send_sockets(stream.get_ref(), &offer, &self.sockets).await.context("the sockets could not be sent")?;
        let New::Ready = hear_within(&mut stream, START).await? else { bail!("it did not say that it is ready") };
        self.door.send_replace(Door::Held);
        let setup = self.gateway.setup();
        let estate = setup.live.bequeath(&setup.fleet, clock::wall(), self.gateway.clock.tick());
        say(&mut stream, &Old::Yours(estate)).await?;
        let New::Serving = hear_within(&mut stream, WORD).await? else { bail!("it did not say that it serves") };
        say(&mut stream, &Old::Still(self.estate())).await?;
        Ok((pid, stream))
    }

    fn estate(&self) -> Estate {
        let setup = self.gateway.setup();
        setup.live.estate(&setup.fleet, clock::wall(), self.gateway.clock.tick())
    }

    /// Tells the new process now and then what is left, and at the end that nothing is.
    async fn part(self, mut stream: BufReader<UnixStream>, mut end: oneshot::Receiver<()>) {
        loop {
            let word = tokio::select! {
                _ = &mut end => Old::Farewell(self.estate()),
                () = tokio::time::sleep(TELL) => Old::Still(self.estate()),
            };
            let last = matches!(word, Old::Farewell(_));
            if let Err(error) = say(&mut stream, &word).await {
                return tracing::warn!(%error, "the process that took over does not hear any more");
            }
            if last {
                return;
            }
        }
    }
}

/// Sends a word and the sockets in one message.
async fn send_sockets(stream: &UnixStream, word: &Old, sockets: &[(&str, OwnedFd)]) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    let handles: Vec<BorrowedFd<'_>> = sockets.iter().take(MOST_SOCKETS).map(|(_, socket)| socket.as_fd()).collect();
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        beside.push(SendAncillaryMessage::ScmRights(&handles));
        Ok(rustix::net::sendmsg(stream, &[IoSlice::new(&line)], &mut beside, SendFlags::empty())?)
    };
    let sent = tokio::time::timeout(WORD, stream.async_io(Interest::WRITABLE, send)).await??;
    if sent == line.len() { Ok(()) } else { bail!("only a part of the message was taken") }
}

/// The process that serves, seen from the one that wants to take over.
pub(crate) struct Predecessor {
    stream: BufReader<UnixStream>,
    pid: u32,
    sockets: HashMap<String, OwnedFd>,
    missing: usize,
}

/// Asks the process that serves `data`, if there is one.
///
/// # Errors
/// When it answers otherwise than such a process does.
pub(crate) fn ask(data: &Path) -> anyhow::Result<Option<Predecessor>> {
    let path = data.join(SOCKET);
    let mut stream = match std::os::unix::net::UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            tracing::info!("nobody serves `{}`: starting as usual", data.display());
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot ask at `{}`", path.display())),
    };
    stream.set_read_timeout(Some(WORD))?;
    let hello = New::Hello { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned() };
    stream.write_all(&[&serde_json::to_vec(&hello)?[..], b"\n"].concat())?;
    let (line, handles) = receive_sockets(&stream).context("the process that serves gave no sockets")?;
    let Old::Offer { pid, sockets, missing } = serde_json::from_slice(&line).context("its offer cannot be read")?
    else {
        bail!("the process that serves offered nothing");
    };
    if sockets.len() != handles.len() {
        bail!("process {pid} offered {} sockets and gave {}", sockets.len(), handles.len());
    }
    stream.set_nonblocking(true)?;
    let stream = BufReader::new(UnixStream::from_std(stream)?);
    Ok(Some(Predecessor { stream, pid, sockets: sockets.into_iter().zip(handles).collect(), missing: missing.len() }))
}

fn receive_sockets(stream: &std::os::unix::net::UnixStream) -> anyhow::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut line = vec![0; 64 * 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut line)], &mut beside, RecvFlags::empty())?;
    let mut handles = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            handles.extend(rights);
        }
    }
    for handle in &handles {
        rustix::io::fcntl_setfd(handle, rustix::io::FdFlags::CLOEXEC)?;
    }
    line.truncate(got.bytes);
    Ok((line, handles))
}

impl Predecessor {
    /// The socket that it calls `name`.
    pub(crate) fn socket(&mut self, name: &str) -> Option<OwnedFd> {
        self.sockets.remove(name)
    }

    /// Takes over, once no more is missing here than there: goes on with what is spent and counted.
    ///
    /// # Errors
    /// When this process does not get ready, or the other one does not let go.
    pub(crate) async fn take_over(mut self, gateway: &Arc<Gateway>) -> anyhow::Result<Successor> {
        let ready = async {
            while gateway.missing().len() > self.missing {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(START - WORD, ready).await.is_err() {
            bail!("not ready in time: {}", gateway.missing().join("; "));
        }
        say(&mut self.stream, &New::Ready).await?;
        let Old::Yours(estate) = hear_within(&mut self.stream, WORD).await? else {
            bail!("process {} kept all", self.pid)
        };
        let setup = gateway.setup();
        let heir = Heir::new(&setup.live, &setup.fleet, &estate, gateway.clock.tick());
        gateway.turns.shared(true);
        Ok(Successor { stream: self.stream, pid: self.pid, heir })
    }
}

/// A process that takes over, while the other one ends.
pub(crate) struct Successor {
    stream: BufReader<UnixStream>,
    pid: u32,
    heir: Heir,
}

impl Successor {
    /// Says that this process serves, and listens to the other one until it has ended.
    ///
    /// # Errors
    /// When the other one has gone back to serving.
    pub(crate) async fn serve(mut self, gateway: &Arc<Gateway>) -> anyhow::Result<()> {
        say(&mut self.stream, &New::Serving).await?;
        let Old::Still(_) = hear_within(&mut self.stream, WORD).await? else { bail!("process {} serves on", self.pid) };
        tracing::info!(pid = self.pid, "took over: the other process ends what it runs");
        let listening = Arc::clone(gateway);
        gateway.tasks.spawn(async move {
            tokio::select! {
                () = listening.tasks.stopped() => {}
                () = self.listen(&listening) => listening.turns.shared(false),
            }
        });
        Ok(())
    }

    async fn listen(mut self, gateway: &Gateway) {
        loop {
            let word = hear(&mut self.stream).await.ok().flatten();
            let (setup, wall) = (gateway.setup(), clock::wall());
            let last = match word {
                Some(Old::Still(estate)) => {
                    self.heir.heard(&setup.live, &setup.fleet, &estate, wall);
                    continue;
                }
                Some(Old::Farewell(estate)) => {
                    self.heir.heard(&setup.live, &setup.fleet, &estate, wall);
                    true
                }
                _ => false,
            };
            self.heir.over(&setup.live, wall, last);
            if last {
                tracing::info!(pid = self.pid, "the other process has ended");
            } else {
                tracing::warn!(
                    pid = self.pid,
                    "the other process is gone without a word: all that it might have spent counts as spent"
                );
            }
            return;
        }
    }
}

/// The listening socket that a service manager gave as standard input, if it did.
pub(crate) fn from_service_manager() -> Option<OwnedFd> {
    let input = io::stdin();
    #[cfg(target_os = "linux")]
    let listens = rustix::net::sockopt::socket_acceptconn(&input).unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    let listens = false;
    if listens { input.as_fd().try_clone_to_owned().ok() } else { None }
}
