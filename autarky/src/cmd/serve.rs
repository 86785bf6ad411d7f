//! `autarky serve`: opens what a server needs, in order, and serves until it is told to stop.

use super::output;
use crate::admin::{self, Admin};
use crate::config::file::ServerFile;
use crate::config::{self, Checked, Problems, paths};
use crate::drills::Folder;
use crate::wiring::capacity;
use crate::wiring::handover::{self, Farewell, Keeper, Post, Predecessor};
use crate::wiring::house::HouseBackend;
use crate::wiring::reload::{self, Reloader};
use crate::wiring::{self, Parts};
use anyhow::Context;
use gateway::access::Access;
use gateway::clock::Clock;
use gateway::serve::{Door, Drain, Listener};
use gateway::setup::Gateway;
use gateway::turns::Turns;
use ledger::{Feeder, FeederOptions, Journal, JournalOptions, KeyRing, Sqlite};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// What the socket that clients connect to is called when it is handed over.
const CLIENTS: &str = "clients";
/// And that of the admin API.
const ADMIN: &str = "admin";
/// How long kept connections wait for one more request after a hand-over, at most.
const LINGER: Duration = Duration::from_secs(10);
/// How long the ledger may take to catch up before the first request.
const FIRST_FEED: Duration = Duration::from_secs(5);
/// How long the ledger may take to catch up at the end.
const LAST_FEED: Duration = Duration::from_secs(10);

/// How long the last requests of a drill may take to be counted at the end.
const LAST_COUNT: Duration = Duration::from_secs(2);

/// SIGTERM and Ctrl-C drain open requests and stop; SIGHUP and changes of the file reload the configuration; SIGUSR2
/// starts the program anew and hands over to it, without a request lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder, written when missing.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port for clients; over the configuration's `server.listen`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How to write the log. Default: text on a terminal, JSON elsewhere.
    #[arg(long, value_enum)]
    log: Option<LogFormat>,
    /// Takes over from the process that serves the same data folder: its sockets, and what is spent and counted. That one
    /// ends what it runs and stops. Where nobody serves, starts as usual.
    #[arg(long)]
    take_over: bool,
    /// Writes no rows, for benches that tell what the ledger costs. Nothing that is answered so can be accounted for.
    #[arg(long, hide = true)]
    without_ledger: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging(args.log);
    let path = args.config.unwrap_or_else(paths::default_config);
    if !path.exists() {
        write_default(&path)?;
    }
    let mut checked = config::load(&path)?;
    if let Some(listen) = args.listen {
        checked.server.listen = listen;
    }
    if !checked.warnings.is_empty() {
        output::note(Problems { file: path.display().to_string(), list: std::mem::take(&mut checked.warnings) });
    }
    if args.without_ledger {
        tracing::warn!("no rows are written (`--without-ledger`): what is answered cannot be accounted for");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(path, checked, (args.take_over, !args.without_ledger)))?;
    // The house model's threads and blocking reads need not be waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

fn logging(format: Option<LogFormat>) {
    let filter = paths::variable("AUTARKY_LOG").unwrap_or_else(|| "info".to_owned());
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    match format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => builder.with_target(false).with_ansi(terminal).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

fn write_default(path: &Path) -> anyhow::Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, config::DEFAULT)
    };
    write().with_context(|| format!("cannot write a default configuration to `{}`", path.display()))?;
    output::note(format!("wrote a default configuration to {}", path.display()));
    Ok(())
}

async fn serve(path: PathBuf, checked: Checked, (take_over, rows): (bool, bool)) -> anyhow::Result<()> {
    capacity::take_handles();
    let data = wiring::data_folder(&checked.server);
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make the data folder `{}`", data.display()))?;
    let mut before = if take_over { handover::ask(&data)? } else { None };
    let listener = listen(checked.server.listen, before.as_mut())?;
    let address = listener.address()?;
    let database = wiring::database(&data);
    let (store, trouble) = Sqlite::open_anyway(&database)?;
    let store = Arc::new(store);
    if let Some(error) = trouble {
        tracing::error!(%error, "the ledger can be read and not written: products are answered, rows wait in the journal");
    }
    let ring = KeyRing::load(&*store)?;
    let now = jiff::Timestamp::now().as_millisecond();
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("the system gave no random numbers: {error}"))?;
    let journal = Journal::open(
        &wiring::journal(&data),
        JournalOptions { rows, ..JournalOptions::default() },
        u64::try_from(now).unwrap_or_default(),
        u64::from_le_bytes(random),
    )?;
    let journal = Arc::new(journal);
    let feeder = Arc::new(Feeder::start(&journal, store.clone(), FeederOptions::default())?);
    let turns = Arc::new(state::Sqlite::open(&wiring::state::database(&data))?);

    let drain = drain(&checked.server);
    let admin = listen_for_admin(checked.admin.listen, before.as_mut());
    let parts = Parts::new(HouseBackend::new(&checked.house, &paths::cache())?);
    let house = Arc::clone(&parts.house);
    let setup = wiring::setup(checked, &parts, None)?;
    // What was spent before is known once the last process's journal is fed.
    if let Err(error) = feeder.flush(FIRST_FEED) {
        tracing::error!(%error, "budgets begin without what the last process did not write into the ledger");
    }
    setup.live.keep_keys(&ring);
    wiring::money::restore(&setup, &ring, &*store)?;
    let has_house = setup.fleet.deployments().iter().any(|deployment| deployment.house);
    let readiness = house.readiness(has_house);
    let access = Access::new(Arc::new(ring), wiring::aws_seed(&data));
    let kept = Turns::new(Arc::clone(&turns) as Arc<dyn state::Store>);
    let readiness = Box::new(readiness);
    let clock = if before.is_some() { Clock::begun(handover::BEFORE) } else { Clock::default() };
    let gateway = Arc::new(Gateway::new(setup, access, Arc::clone(&journal), kept, clock, readiness));
    wiring::state::watch(&gateway, turns);
    wiring::ledger::watch(&gateway, store.clone(), parts.kept.subscribe());
    wiring::keys::watch(&gateway, database);
    let reloader = Arc::new(Reloader::new(&gateway, parts, path.clone()));
    reload::watch(&reloader)?;
    let drills = wiring::drills::watch(&gateway, Folder::new(&data));
    if has_house {
        house.prepare(&gateway.tasks);
    }
    stop_on_signals(&gateway)?;
    wiring::successor::watch(&gateway)?;
    let mut sockets = vec![(CLIENTS, listener.share()?)];
    if let Some((socket, _)) = &admin {
        sockets.push((ADMIN, socket.as_fd().try_clone_to_owned()?));
    }
    let (door, farewell) = take_the_place(&gateway, &data, before, sockets).await?;
    wiring::successor::tell_service_manager();
    greet(address, admin.as_ref().map(|(_, address)| *address), &path);
    if let Some((socket, _)) = admin {
        let (gateway, feeder, config) = (Arc::clone(&gateway), Arc::clone(&feeder), path);
        admin::serve(Arc::new(Admin { gateway, store, feeder, reloader, config }), socket);
    }

    listener.serve(Arc::clone(&gateway), door, drain).await;
    gateway.tasks.stop();
    drop(tokio::time::timeout(LAST_COUNT, drills).await);
    gateway.turns.flush().await;
    house.shutdown().await;
    journal.close();
    if let Err(error) = feeder.flush(LAST_FEED) {
        tracing::warn!(%error, "the ledger is behind");
    }
    if let Some(farewell) = farewell {
        farewell.say().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// The socket that clients connect to: the one of the process before, a service manager's, or a new one.
fn listen(wanted: SocketAddr, before: Option<&mut Predecessor>) -> anyhow::Result<Listener> {
    let given = before.and_then(|before| before.socket(CLIENTS)).or_else(handover::from_service_manager);
    if let Some(socket) = given {
        let listener =
            Listener::inherit(socket).context("the socket given to this process is none that clients use")?;
        let address = listener.address()?;
        if wanted == address || wanted.port() == 0 {
            return Ok(listener);
        }
        tracing::warn!(given = %address, %wanted, "the configuration names another address than the socket given: that one is let go");
    }
    Listener::bind(wanted).with_context(|| {
        format!("cannot listen on {wanted}: another process may have the port; choose one with `--listen`")
    })
}

/// The socket of the admin API, that of the process before or a new one, and its address. Products are answered also
/// where it cannot be had.
fn listen_for_admin(wanted: Option<SocketAddr>, before: Option<&mut Predecessor>) -> Option<(TcpListener, SocketAddr)> {
    let wanted = wanted?;
    let inherit = |socket: OwnedFd| {
        let socket = std::net::TcpListener::from(socket);
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok::<_, std::io::Error>((TcpListener::from_std(socket)?, address))
    };
    let given = before.and_then(|before| before.socket(ADMIN)).and_then(|socket| inherit(socket).ok());
    if let Some((socket, address)) = given.filter(|(_, address)| wanted == *address || wanted.port() == 0) {
        return Some((socket, address));
    }
    let bound = std::net::TcpListener::bind(wanted).and_then(|socket| inherit(socket.into()));
    bound
        .inspect_err(
            |error| tracing::error!(%error, address = %wanted, "there is no admin API: choose another `admin.listen`"),
        )
        .ok()
}

fn drain(server: &ServerFile) -> Drain {
    let limit = Duration::from_secs(server.drain_s);
    Drain { notice: Duration::from_secs(server.notice_s), linger: LINGER.min(limit / 2), limit }
}

/// Takes the place of the process before, where there is one, and waits for the next one.
async fn take_the_place(
    gateway: &Arc<Gateway>,
    data: &Path,
    before: Option<Predecessor>,
    sockets: Vec<(&'static str, OwnedFd)>,
) -> anyhow::Result<(watch::Receiver<Door>, Option<Farewell>)> {
    let (open, door) = watch::channel(Door::Open);
    let successor = match before {
        Some(before) => Some(before.take_over(gateway).await?),
        None => None,
    };
    let post = Post::open(data)
        .inspect_err(|error| tracing::warn!(%error, "no other process can take over from this one"))
        .ok();
    if let Some(successor) = successor {
        successor.serve(gateway).await?;
    }
    let farewell = post.map(|post| Keeper::new(gateway, data, sockets, open).watch(post));
    Ok((door, farewell))
}

fn stop_on_signals(gateway: &Arc<Gateway>) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let watched = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        tokio::select! {
            () = watched.tasks.stopped() => return,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: open requests may end first");
        watched.tasks.stop();
    });
    Ok(())
}

fn greet(address: SocketAddr, admin: Option<SocketAddr>, config: &Path) {
    let at = |path: &str| admin.map_or_else(|| "off".to_owned(), |address| format!("http://{address}{path}"));
    let (admin, console) = (at("/admin/health"), at("/console"));
    output::line(format!(
        "autarky {} listens on http://{address}\n\n  curl http://{address}/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"auto\", \"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"Why is the sky blue?\"}}]}}'\n\n  \
         configuration  {}   (read again on every change)\n  \
         metrics        http://{address}/metrics\n  \
         admin API      {admin}\n  \
         console        {console}",
        env!("CARGO_PKG_VERSION"),
        config.display(),
    ));
}
