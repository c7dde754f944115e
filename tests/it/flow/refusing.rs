//! A store that is too busy every now and then: a proxy that answers some requests with 503 itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BUSY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// The proxy; dropping it closes everything.
pub(super) struct Refusing {
    address: SocketAddr,
    refused: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Refusing {
    /// Refuses one request in five, by a fixed pattern that no retry can fall in step with.
    pub(super) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (refused, count) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counter = refused.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // The golden ratio spreads evenly: fractional parts below 0.2 are every fifth on average.
                let turn = count.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let refuse = turn < u64::MAX / 5;
                counter.fetch_add(u64::from(refuse), Ordering::SeqCst);
                connections.spawn(async move { drop(serve(client, upstream, refuse).await) });
            }
        });
        Self { address, refused, _tasks: tasks }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }
}

/// One request per connection, so that every request gets its own turn.
async fn serve(mut client: TcpStream, upstream: SocketAddr, refuse: bool) -> io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        if let Some(at) = memchr::memmem::find(&head, b"\r\n\r\n") {
            break at + 2;
        }
    };
    let body = head.split_off(end);
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<u64>().ok());
    if refuse {
        // The whole request is taken first, as a closed connection would look like another fault.
        let left = length.unwrap_or(0).saturating_sub(body.len() as u64 - 2);
        tokio::io::copy(&mut (&mut client).take(left), &mut tokio::io::sink()).await?;
        let answer = format!(
            "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{BUSY}",
            BUSY.len()
        );
        return client.write_all(answer.as_bytes()).await;
    }
    let mut server = TcpStream::connect(upstream).await?;
    head.extend_from_slice(b"connection: close\r\n");
    head.extend_from_slice(&body);
    server.write_all(&head).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
