//! An HTTP server that answers what a test tells it to, and remembers what it was asked.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Whole,
    /// The connection closes after this many bytes of the body; the length was announced for all.
    CutAfter(usize),
    /// A body without announced length that ends properly after this many bytes.
    EndAfter(usize),
    /// The connection closes without any answer.
    NoAnswer,
    /// Nothing is answered and the connection stays open.
    Silence,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), ending: Ending::Whole }
    }

    /// An error document as S3 sends it.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>says the script.</Message></Error>"
        );
        Self::new(status).with("content-type", "application/xml").with_body(body)
    }

    /// A PUT that worked.
    pub(crate) fn stored(version: &str) -> Self {
        Self::new(200).with("etag", "\"0123\"").with("x-amz-version-id", version)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        Self { ending: Ending::CutAfter(bytes), ..self }
    }

    pub(crate) fn end_after(self, bytes: usize) -> Self {
        Self { ending: Ending::EndAfter(bytes), ..self }
    }

    pub(crate) fn reset() -> Self {
        Self { ending: Ending::NoAnswer, ..Self::new(200) }
    }

    pub(crate) fn silence() -> Self {
        Self { ending: Ending::Silence, ..Self::new(200) }
    }

    /// The object's bytes asked for by `Range`, as a store sends them.
    pub(crate) fn range_of(object: &[u8], request: &Request) -> Self {
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let (first, last) = range.and_then(|range| range.split_once('-')).expect("a Range header");
        let (first, last) = (first.parse::<usize>().expect("first"), last.parse::<usize>().expect("last"));
        let last = last.min(object.len() - 1);
        let span = format!("bytes {first}-{last}/{}", object.len());
        Self::new(206).with("content-range", &span).with_body(&object[first..=last])
    }
}

type Script = dyn Fn(usize, &Request) -> Reply + Send + Sync;

/// The server; dropping it closes everything.
pub(crate) struct Scripted {
    endpoint: String,
    seen: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    /// Starts a server which answers the n-th request (from 0) with `script(n, request)`.
    pub(crate) async fn start(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (seen.clone(), Arc::new(script));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (log, script) = (log.clone(), script.clone());
                connections.spawn(async move { drop(serve(stream, &log, &*script).await) });
            }
        });
        Self { endpoint, seen, _tasks: tasks }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("log").clone()
    }
}

async fn serve(mut stream: TcpStream, log: &Mutex<Vec<Request>>, script: &Script) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        let reply = {
            let mut log = log.lock().expect("log");
            log.push(request.clone());
            script(log.len() - 1, &request)
        };
        match reply.ending {
            Ending::NoAnswer => return Ok(()),
            Ending::Silence => std::future::pending().await,
            _ => {}
        }
        let keep = write_reply(&mut stream, &request, &reply).await?;
        if !keep {
            return Ok(());
        }
    }
    Ok(())
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while buffer.len() < head_end + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let rest = buffer.split_off(head_end + length);
    let body = buffer[head_end..].to_vec();
    *buffer = rest;
    Ok(Some(Request { method, target, headers, body }))
}

/// Writes the answer; true if the connection can go on.
async fn write_reply(stream: &mut TcpStream, request: &Request, reply: &Reply) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    match reply.ending {
        Ending::EndAfter(_) => head.push_str("transfer-encoding: chunked\r\n\r\n"),
        _ => drop(write!(head, "content-length: {}\r\n\r\n", reply.body.len())),
    }
    stream.write_all(head.as_bytes()).await?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    match reply.ending {
        Ending::CutAfter(bytes) => {
            stream.write_all(&reply.body[..bytes]).await?;
            Ok(false)
        }
        Ending::EndAfter(bytes) => {
            stream.write_all(format!("{bytes:x}\r\n").as_bytes()).await?;
            stream.write_all(&reply.body[..bytes]).await?;
            stream.write_all(b"\r\n0\r\n\r\n").await?;
            Ok(true)
        }
        _ => {
            stream.write_all(&reply.body).await?;
            Ok(true)
        }
    }
}
