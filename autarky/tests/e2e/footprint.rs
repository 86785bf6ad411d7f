//! What the idle binary takes: memory without weights, and the time from its start to its first answer. Measured and
//! told, not judged: builds and machines differ.

use crate::stage::{ANONYMOUS, autarky, leg};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::process::{Client, Process, free_port, temp_dir, usage};

#[tokio::test]
async fn idle_memory_and_cold_start() {
    let folder = temp_dir().expect("a folder");
    let nobody: SocketAddr = ([127, 0, 0, 1], 9).into();
    let rules = format!("{}[deployment.house]\nengine = \"embedded\"\norder = 1\n{ANONYMOUS}", leg("one", nobody, 0));
    let file = folder.path().join("autarky.toml");
    std::fs::write(&file, format!("[server]\ndata = {:?}\n{rules}", folder.path().join("data"))).expect("written");
    let mut starts = Vec::new();
    let (mut memory, mut threads) = (u64::MAX, 0);
    for _ in 0..5 {
        let addr: SocketAddr = ([127, 0, 0, 1], free_port().expect("a port")).into();
        let mut command = autarky(folder.path());
        command.args(["serve", "--listen", &addr.to_string()]);
        let began = Instant::now();
        let mut process = Process::start(command, Some(&folder.path().join("err"))).expect("it starts");
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            assert!(process.is_running().expect("known"), "{}", process.errors());
            assert!(began.elapsed() < Duration::from_secs(20), "it listens: {}", process.errors());
        }
        assert_eq!(Client::new(addr).get("/healthz").await.expect("healthy").status, 200);
        starts.push(began.elapsed());
        let used = usage(process.id()).expect("measured");
        (memory, threads) = (memory.min(used.memory), used.threads);
        process.signal("TERM").expect("told");
        assert!(process.ended(Duration::from_secs(20)).await.expect("it ends").success());
    }
    starts.sort();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!(
        "footprint ({build} build): idle memory {:.1} MiB, {threads} threads; start to first answer {:?} median, {:?} \
         best of 5",
        memory as f64 / 1_048_576.0,
        starts[2],
        starts[0]
    );
}
