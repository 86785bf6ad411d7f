//! The ledger's database is locked, read-only, or its disk is full: products are answered, wrong keys are refused, the
//! admin API says that it cannot write, and afterwards the books are complete.

use crate::admin::Office;
use crate::stage::{CHAT, PATIENCE, Stage, autarky, chat, configure, leg, listening, question, until};
use ledger::{Filter, Outcome, Sqlite, Store};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::process::{Answer, Client, temp_dir};
use testkit::provider::{Provider, Script};

async fn provider() -> Provider {
    Provider::start(Script::default()).await.expect("a provider")
}

async fn ask(addr: SocketAddr, key: &str, number: u64) -> Answer {
    Client::new(addr)
        .post(CHAT, key, &chat("auto", &question(number), number.is_multiple_of(2)))
        .await
        .expect("an answer")
}

/// Asks `count` times; the requests' ids.
async fn asked(addr: SocketAddr, key: &str, count: u64) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for number in 0..count {
        let answer = ask(addr, key, number).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        ids.insert(answer.header("x-autarky-request-id").to_owned());
    }
    ids
}

/// A key for `copilot`, in force.
async fn product_key(office: &Office, admin: &str) -> String {
    let made = office.ask("POST", "/admin/keys", admin, Some(json!({"product": "copilot"}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["secret"].as_str().expect("a secret").to_owned()
}

/// What holds while the store is down.
async fn goes_on(office: &Office, admin: &str, key: &str, count: u64) -> BTreeSet<String> {
    let ids = asked(office.stage.addr, key, count).await;
    assert_eq!(ask(office.stage.addr, "ak-wrong", 0).await.status, 401);
    let refused = office.ask("POST", "/admin/keys", admin, Some(json!({"product": "copilot"}))).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("ledger_unavailable")), "{refused:?}");
    ids
}

/// Waits until the ledger at `path` holds every one of `ids`, answered, once.
async fn complete(path: &Path, ids: &BTreeSet<String>) {
    let rows = until("every answer has its row", async || {
        let rows = Sqlite::open_read_only(path).ok()?.list(&Filter::default()).ok()?;
        let there: BTreeSet<String> = rows.iter().map(|row| row.request_id.to_string()).collect();
        ids.is_subset(&there).then_some(rows)
    })
    .await;
    let ours: Vec<_> = rows.iter().filter(|row| ids.contains(&row.request_id.to_string())).collect();
    assert_eq!(ours.len(), ids.len());
    assert!(ours.iter().all(|row| row.outcome == Outcome::Ok && row.key.is_some()));
}

/// Waits until the ledger tells the story of every one of `ids`.
async fn told_of(office: &Office, admin: &str, ids: &BTreeSet<String>) {
    for id in ids {
        let path = format!("/admin/why/{id}");
        let story = until("every answer has its row", async || {
            let story = office.ask("GET", &path, admin, None).await;
            (story.status == 200).then(|| story.json())
        });
        let attempts = story.await["attempts"].clone();
        assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{attempts}");
        assert!(attempts[0]["outcome"] == "ok" && attempts[0]["key"].is_string(), "{attempts}");
    }
}

async fn health(office: &Office, admin: &str) -> Value {
    office.ask("GET", "/admin/health", admin, None).await.json()["ledger"].clone()
}

#[tokio::test]
async fn a_locked_database_costs_nothing_but_lag_also_over_a_death() {
    let provider = provider().await;
    let mut office = Office::start(&format!("{}[product.copilot]\n", leg("one", provider.addr(), 0)));
    let admin = office.key(&[]).await;
    let key = product_key(&office, &admin).await;
    let path = office.stage.folder.path().join("data/ledger.db");
    let lock = rusqlite::Connection::open(&path).expect("it opens");
    lock.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let mut ids = goes_on(&office, &admin, &key, 20).await;
    until("health tells", async || {
        let told = health(&office, &admin).await;
        (told["behind"] == 20 && told["last_error"].to_string().contains("locked")).then_some(())
    })
    .await;
    assert!(office.stage.metric("autarky_ledger_behind_rows", &[]).await >= 20.0);
    assert_eq!(office.ask("GET", "/admin/usage", &admin, None).await.status, 200, "what is there can be read");
    // It dies and comes back while the database is still locked.
    office.restart();
    ids.extend(goes_on(&office, &admin, &key, 10).await);
    drop(lock);
    complete(&path, &ids).await;
    product_key(&office, &admin).await;
    assert_eq!(provider.log().len(), 30);
}

#[tokio::test]
async fn a_read_only_database_costs_nothing_but_lag() {
    let provider = provider().await;
    let mut office = Office::start(&format!("{}[product.copilot]\n", leg("one", provider.addr(), 0)));
    let admin = office.key(&[]).await;
    let key = product_key(&office, &admin).await;
    office.stage.process.signal("TERM").expect("told");
    office.stage.process.ended(PATIENCE).await.expect("it ends");
    let folder = office.stage.folder.path().to_owned();
    let path = folder.join("data/ledger.db");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("read-only");
    let mut command = autarky(&folder);
    // Who is root writes whatever the file says; and where the binary was built is perhaps closed to everybody else.
    if fs::metadata("/proc/self").expect("a process").uid() == 0 {
        let binary = folder.join("autarky");
        fs::copy(command.get_program(), &binary).expect("copied");
        command = like(&command, binary.as_os_str());
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(&folder).status().expect("it runs");
        assert!(owned.success());
        command.uid(65_534).gid(65_534);
    }
    command.arg("serve");
    (office.stage.process, office.stage.addr) = listening(command, &folder);
    let ids = goes_on(&office, &admin, &key, 20).await;
    until("health tells", async || {
        let told = health(&office, &admin).await;
        (told["behind"] == 20 && told["failures"].as_u64() > Some(0)).then_some(())
    })
    .await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("writable");
    complete(&path, &ids).await;
    product_key(&office, &admin).await;
}

/// `plain` without its arguments, with another program.
fn like(plain: &Command, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    if let Some(folder) = plain.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A server whose data lie on a small disk of their own, in a namespace of mounts of its own.
struct Small {
    office: Office,
    admin: String,
    /// The data folder, as this process can reach it.
    data: PathBuf,
}

/// `None`: this machine lets nobody mount anything.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn on_a_small_disk(rules: &str) -> Option<Small> {
    let may = |flags: &[&str]| {
        let probe = Command::new("unshare").args(flags).args(["sh", "-c", "mount -t tmpfs none /mnt"]).output();
        probe.is_ok_and(|done| done.status.success())
    };
    let flags = [&["-m"][..], &["-r", "-m"]].into_iter().find(|flags| may(flags));
    let Some(flags) = flags else {
        eprintln!("SKIPPED: nobody may mount a small disk here");
        return None;
    };
    let folder = temp_dir().expect("a folder");
    let port = testkit::process::free_port().expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    configure(folder.path(), &format!("[admin]\nlisten = \"{address}\"\n{rules}"));
    fs::create_dir(folder.path().join("data")).expect("made");
    let script = "mount -t tmpfs -o size=3m none data && \"$0\" keys admin tester --format json > admin.json && exec \"$0\" serve";
    let plain = autarky(folder.path());
    let mut command = like(&plain, "unshare".as_ref());
    command.args(flags).args(["sh", "-c", script]).arg(plain.get_program());
    let (process, addr) = listening(command, folder.path());
    let made = fs::read(folder.path().join("admin.json")).expect("a key was made");
    let made: Value = serde_json::from_slice(&made).expect("json");
    let inside = folder.path().strip_prefix("/").expect("an absolute path").join("data");
    let data = PathBuf::from(format!("/proc/{}/root", process.id())).join(inside);
    let office = Office { stage: Stage { folder, addr, process }, admin: address };
    Some(Small { office, admin: made["secret"].as_str().expect("a secret").to_owned(), data })
}

/// Takes all that is left of a disk.
fn fill(file: &Path) {
    let mut filler = fs::File::create(file).expect("a file");
    for size in [64 * 1024, 4_096, 512, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_costs_no_answer_and_no_row() {
    let provider = provider().await;
    let Some(small) = on_a_small_disk(&format!("{}[product.copilot]\n", leg("one", provider.addr(), 0))) else {
        return;
    };
    let Small { office, admin, data } = small;
    let key = product_key(&office, &admin).await;
    let mut ids = asked(office.stage.addr, &key, 5).await;
    told_of(&office, &admin, &ids).await;
    fill(&data.join("filler"));
    ids.extend(goes_on(&office, &admin, &key, 40).await);
    let held = health(&office, &admin).await["held_rows"].as_u64().expect("a number");
    assert!(held > 0, "the disk is full, so rows wait in memory");
    assert!(office.stage.metric("autarky_journal_held_rows", &[]).await > 0.0);
    let log = office.stage.process.errors();
    assert_eq!(log.matches("rows are held in memory").count(), 1, "told once: {log}");
    fs::remove_file(data.join("filler")).expect("removed");
    told_of(&office, &admin, &ids).await;
    let told = health(&office, &admin).await;
    assert_eq!((&told["held_rows"], &told["lost_rows"]), (&json!(0), &json!(0)), "{told}");
    product_key(&office, &admin).await;
    println!("full disk: {} answers, {held} rows at most in memory, all in the ledger afterwards", ids.len());
}
