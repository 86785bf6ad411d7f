//! Writes the beginnings of every target, from the fixtures: `seed FOLDER`.

use std::path::Path;
use std::{env, fs, io};
use testkit::fixtures;

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).ok_or_else(|| io::Error::other("usage: seed FOLDER"))?;
    let frames = Path::new(&folder).join("frames");
    fs::create_dir_all(&frames)?;
    for dialect in canon::wire::dialects() {
        let wire = dialect.id().name();
        let to = Path::new(&folder).join(wire);
        fs::create_dir_all(&to)?;
        let found = fixtures::of(wire);
        let write =
            |kind: u8, name: &str, body: &[u8]| fs::write(to.join(format!("{kind}-{name}")), [&[kind], body].concat());
        for request in &found.requests {
            write(0, &request.name, request.body.to_string().as_bytes())?;
        }
        for answer in &found.answers {
            write(1, &answer.name, answer.body.to_string().as_bytes())?;
        }
        for stream in &found.streams {
            write(2, &stream.name, &stream.body)?;
            fs::write(frames.join(format!("{wire}-{}", stream.name)), [&[7], stream.body.as_slice()].concat())?;
        }
        write(
            3,
            "error",
            br#"{"type":"error","error":{"type":"x","message":"m","code":"c","status":"S","details":[]}}"#,
        )?;
    }
    Ok(())
}
