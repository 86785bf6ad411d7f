//! SIGUSR2: starts the program anew, as it now lies on the disk, to take over from this process. And what the service
//! manager that started us is told of all that, where there is one (`NOTIFY_SOCKET`, as systemd has it).

use crate::config::paths;
use gateway::setup::Gateway;
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// The argument that makes a new process take over.
const TAKE_OVER: &str = "--take-over";

/// Starts a successor on every SIGUSR2 until the gateway stops.
///
/// # Errors
/// When the system does not tell signals.
pub(crate) fn watch(gateway: &Arc<Gateway>) -> anyhow::Result<()> {
    let program = program()?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).filter(|word| word != TAKE_OVER).collect();
    let mut told = signal(SignalKind::user_defined2())?;
    let watched = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = watched.tasks.stopped() => return,
                _ = told.recv() => {}
            }
            tokio::select! {
                () = watched.tasks.stopped() => return,
                () = succeed(&program, &arguments) => {}
            }
        }
    });
    Ok(())
}

/// The program by the name it was started under, which a new version may lie under by now; found now, while this
/// process's own folder is still the one it was started in.
fn program() -> std::io::Result<PathBuf> {
    let name = std::env::args_os().next().map(PathBuf::from).filter(|name| name.components().count() > 1);
    name.map_or_else(std::env::current_exe, std::path::absolute)
}

async fn succeed(program: &Path, arguments: &[OsString]) {
    let started = Command::new(program).args(arguments).arg(TAKE_OVER).stdin(Stdio::null()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let program = program.display();
            return tracing::error!(%error, %program, "no successor could be started: this process goes on serving");
        }
    };
    tracing::info!(pid = child.id(), "a successor is started");
    match child.wait().await {
        Ok(status) => tracing::error!(%status, "the successor ended: this process goes on serving"),
        Err(error) => tracing::error!(%error, "nobody knows how the successor is: this process goes on serving"),
    }
}

/// Tells the service manager that this process serves, and that it is the one to look after.
pub(crate) fn tell_service_manager() {
    let Some(path) = paths::variable("NOTIFY_SOCKET") else { return };
    let word = format!("MAINPID={}\nREADY=1", std::process::id());
    if let Err(error) = notify(&path, word.as_bytes()) {
        tracing::warn!(%error, path, "the service manager could not be told that this process serves");
    }
}

fn notify(path: &str, word: &[u8]) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = path.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(word, &address).map(|_| ());
    }
    socket.send_to(word, path).map(|_| ())
}
