//! Real processes for end-to-end tests: start a binary, wait until it serves (by asking it, never by sleeping a fixed
//! time), kill it with -9, look at its memory and time, talk to it, put it under load. The only room here that starts
//! processes.

mod client;
mod load;
mod usage;

pub use client::{Answer, Client, ClientError, Streaming};
pub use load::{Load, Shot, Tally, Told, rate, run};
pub use usage::{Usage, usage};

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// A port of loopback that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A folder that goes away with its value.
///
/// # Errors
/// When it cannot be made.
pub fn temp_dir() -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("autarky-test-").tempdir()
}

/// The binary `scripted-provider`, built beside the running test. Cargo builds no binaries of dependencies, so where it
/// is missing or older than its sources, cargo is asked to build it with the test's profile.
///
/// # Errors
/// When it cannot be built.
pub fn scripted_provider() -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(|deps| if deps.ends_with("deps") { deps.parent() } else { Some(deps) });
    let folder = folder.ok_or_else(|| io::Error::other("the test has no folder"))?;
    let path = folder.join("scripted-provider");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let built = path.metadata().and_then(|built| built.modified()).ok();
    if built.is_some_and(|built| newest(&sources).is_ok_and(|source| source <= built)) {
        return Ok(path);
    }
    let (target, profile) = (folder.parent(), folder.file_name().and_then(OsStr::to_str));
    let (Some(target), Some(profile)) = (target, profile) else {
        return Err(io::Error::other(format!("`{}` is no build folder", folder.display())));
    };
    let profile = if profile == "debug" { "dev" } else { profile };
    let done = Command::new("cargo")
        .args(["build", "--quiet", "--package", "testkit", "--bin", "scripted-provider", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if done.success() && path.exists() {
        return Ok(path);
    }
    Err(io::Error::other("no `scripted-provider`: run `cargo build --package testkit --bin scripted-provider`"))
}

/// When the youngest file below `folder` was changed.
fn newest(folder: &Path) -> io::Result<SystemTime> {
    let mut youngest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let inner = if entry.file_type()?.is_dir() { newest(&entry.path())? } else { entry.metadata()?.modified()? };
        youngest = youngest.max(inner);
    }
    Ok(youngest)
}

/// A running process; dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    errors: Option<PathBuf>,
}

impl Process {
    /// Starts `command`. Its stderr goes to `errors` when given, else away; stdout goes away.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, errors: Option<&Path>) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::spawn(command, errors)
    }

    /// Starts `command` and gives the first line of its stdout, which names its address.
    ///
    /// # Errors
    /// When it cannot be started or says nothing.
    pub fn start_and_listen(mut command: Command, errors: Option<&Path>) -> io::Result<(Self, String)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Self::spawn(command, errors)?;
        let mut line = String::new();
        if let Some(out) = process.child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        match line.trim_end() {
            "" => Err(io::Error::other(format!("`{}` said nothing; stderr: {}", process.name, process.errors()))),
            said => Ok((process, said.to_owned())),
        }
    }

    fn spawn(mut command: Command, errors: Option<&Path>) -> io::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        match errors {
            Some(path) => command.stderr(File::options().create(true).append(true).open(path)?),
            None => command.stderr(Stdio::null()),
        };
        let child = command.spawn().map_err(|error| io::Error::other(format!("cannot start `{name}`: {error}")))?;
        Ok(Self { child, name, errors: errors.map(Path::to_owned) })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr.
    #[must_use]
    pub fn errors(&self) -> String {
        self.errors.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    }

    /// Waits until `addr` answers `GET path` with 200.
    ///
    /// # Errors
    /// When the process ends first, or `limit` passes.
    pub async fn ready(&mut self, addr: SocketAddr, path: &str, limit: Duration) -> io::Result<()> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("`{}` ended with {status}: {}", self.name, self.errors())));
            }
            if Client::new(addr).get(path).await.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if Instant::now() > until {
                let why = format!("`{}` does not answer `{path}` at {addr}: {}", self.name, self.errors());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Sends `signal` (`TERM`, `HUP`, …) by its name.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other(format!("`{}` took no {signal}", self.name))) }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When `limit` passes.
    pub async fn ended(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("`{}` does not end", self.name)));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A scripted provider in a process of its own.
#[derive(Debug)]
pub struct ProviderProcess {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its log, which outlives it; read it with [`crate::provider::read_log`].
    pub log: PathBuf,
}

impl ProviderProcess {
    /// Starts one; `port` 0: any free one. The log and the script lie in `folder`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path, name: &str, port: u16, script: &crate::provider::Script) -> io::Result<Self> {
        let (log, orders) = (folder.join(format!("{name}.log")), folder.join(format!("{name}.json")));
        std::fs::write(&orders, serde_json::to_vec(script)?)?;
        let mut command = Command::new(scripted_provider()?);
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--script").arg(orders).arg("--log").arg(&log);
        let (process, said) = Process::start_and_listen(command, Some(&folder.join(format!("{name}.err"))))?;
        let addr = said.parse().map_err(|_| io::Error::other(format!("`{said}` is no address")))?;
        Ok(Self { process, addr, log })
    }
}
