//! A server that believes everything: it keeps what it hears, byte for byte, and says what it was told to say. For what a
//! strict provider would refuse, and for servers that are no model's.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is said to every request.
#[derive(Clone, Default)]
pub(crate) struct Say {
    pub(crate) mime: &'static str,
    /// In these pieces; several: as a stream.
    pub(crate) pieces: Vec<Bytes>,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Mirror {
    pub(crate) addr: SocketAddr,
    said: Arc<Mutex<Say>>,
    heard: Arc<Mutex<Vec<Bytes>>>,
}

impl Mirror {
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    pub(crate) async fn start(say: Say) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let mirror = Self { addr, said: Arc::new(Mutex::new(say)), heard: Arc::default() };
        let serving = mirror.clone();
        drop(tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                drop(tokio::spawn(serving.clone().converse(socket)));
            }
        }));
        mirror
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, say: Say) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = say;
    }

    /// The bodies heard so far, which are forgotten.
    pub(crate) fn heard(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn converse(self, mut socket: TcpStream) {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0_u8; 64 * 1024]);
        while let Ok(read @ 1..) = socket.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
            while let Some((head, body)) = request(&bytes) {
                self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(body.clone());
                bytes.drain(..head + body.len());
                let say = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if answer(&mut socket, &say).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Length of the head and body of a request that is there whole.
fn request(bytes: &[u8]) -> Option<(usize, Bytes)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(Some(0), |text| text.parse().ok())?;
    Some((head, Bytes::copy_from_slice(bytes.get(head..head + length)?)))
}

async fn answer(socket: &mut TcpStream, say: &Say) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n", say.mime);
    if let [whole] = say.pieces.as_slice() {
        let head = format!("{head}content-length: {}\r\n\r\n", whole.len());
        socket.write_all(&[head.as_bytes(), whole].concat()).await?;
        return socket.flush().await;
    }
    socket.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
    for piece in say.pieces.iter().filter(|piece| !piece.is_empty()) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        socket.write_all(&chunk).await?;
        socket.flush().await?;
        tokio::task::yield_now().await;
    }
    socket.write_all(b"0\r\n\r\n").await?;
    socket.flush().await
}
