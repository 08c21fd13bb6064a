//! A small HTTP/1.1 client: one connection, one request at a time, requests built beforehand, answers hardly parsed. The load
//! shares the machine with the programs that are measured, so it must use little processor time.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A larger head is an error.
const MAX_HEAD: usize = 16 * 1024;
const ROOM: usize = 4 * 1024;

/// A connection, made when it is first needed.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    /// How often a connection broke and the client reconnected.
    pub reconnects: u64,
}

/// An answer that lives until the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its head as it came.
    pub head: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

impl Client {
    /// A client without a connection yet.
    #[must_use]
    pub fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, buffer: Vec::with_capacity(ROOM), reconnects: 0 }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    /// When the server does not listen.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends a request and reads its answer. After a connection that the server has closed, it reconnects once.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let reused = self.stream.is_some();
        let (status, head, end) = match self.exchange(request).await {
            Err(_) if reused && self.buffer.is_empty() => {
                self.stream = None;
                self.reconnects += 1;
                self.exchange(request).await?
            }
            done => done?,
        };
        Ok(Answer { status, head: &self.buffer[..head], body: &self.buffer[head..end] })
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, usize, usize)> {
        self.connect().await?;
        self.buffer.clear();
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        stream.write_all(request).await?;
        loop {
            if let Some(head) = parse_head(&self.buffer)? {
                while self.buffer.len() < head.end + head.length {
                    read(stream, &mut self.buffer).await?;
                }
                if head.closes {
                    self.stream = None;
                }
                return Ok((head.status, head.end, head.end + head.length));
            }
            read(stream, &mut self.buffer).await?;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    if stream.read_buf(buffer).await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    end: usize,
    length: usize,
    closes: bool,
}

/// The head, once all of it is there. None of the servers here sends chunks.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD { Err(bad("a head without an end")) } else { Ok(None) };
    };
    let head = &bytes[..end];
    if !head.starts_with(b"HTTP/1.1 ") || head.len() < 12 {
        return Err(bad("no HTTP/1.1"));
    }
    let status = number(&head[9..12]).ok_or_else(|| bad("no status"))?;
    let status = u16::try_from(status).map_err(|_| bad("no status"))?;
    let length = match header(head, b"content-length") {
        Some(value) => number(value).ok_or_else(|| bad("no length"))?,
        None if status == 204 || status == 304 => 0,
        None => return Err(bad("no length")),
    };
    let length = if status == 304 { 0 } else { length };
    let closes = header(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    Ok(Some(Head { status, end: end + 4, length, closes }))
}

/// The value of a header, without the spaces around it.
#[must_use]
pub fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (given, value) = (line.get(..name.len())?, line.get(name.len()..)?);
        let value = value.strip_prefix(b":")?;
        given.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// The text of the first JSON member `name`, when it is a plain string.
#[must_use]
pub fn member<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let start = find(body, format!("\"{name}\":\"").as_bytes())? + name.len() + 4;
    let value = &body[start..];
    Some(&value[..value.iter().position(|byte| *byte == b'"')?])
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Type: x\r\ncontent-length:  5\r\n\r\nhello";
        assert_eq!(
            parse_head(answer).unwrap(),
            Some(Head { status: 202, end: answer.len() - 5, length: 5, closes: false })
        );
        for cut in 0..answer.len() - 5 {
            assert_eq!(parse_head(&answer[..cut]).unwrap(), None, "{cut}");
        }
        let unchanged = b"HTTP/1.1 304 Not Modified\r\netag: \"3\"\r\nConnection: close\r\n\r\n";
        let head = parse_head(unchanged).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.closes), (304, 0, true));
        for wrong in
            ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "x\r\n\r\n"]
        {
            assert!(parse_head(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn members_and_headers_are_found() {
        let body = br#"{"id":"01a2","phone":"+977","client_token":"vt_x"}"#;
        assert_eq!(member(body, "id"), Some(&b"01a2"[..]));
        assert_eq!(member(body, "client_token"), Some(&b"vt_x"[..]));
        assert_eq!(member(body, "code"), None);
        let head = b"HTTP/1.1 200 OK\r\nETag: \"3\"\r\nx-etag: no";
        assert_eq!(header(head, b"etag"), Some(&b"\"3\""[..]));
        assert_eq!(header(head, b"e"), None);
    }

    #[tokio::test]
    async fn a_client_reconnects_after_its_connection_was_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            for body in ["one", "two"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(&request, b"?");
                // In two pieces, so that a body arrives after its head.
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n").await.unwrap();
                stream.flush().await.unwrap();
                stream.write_all(body.as_bytes()).await.unwrap();
            }
        });
        let mut client = Client::new(server);
        assert_eq!(client.call(b"?").await.unwrap().body, b"one");
        assert_eq!(client.call(b"?").await.unwrap().body, b"two");
        assert_eq!(client.reconnects, 1);
        serving.await.unwrap();
    }
}
