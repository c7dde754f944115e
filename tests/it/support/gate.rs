//! A loopback proxy that holds requests until the test has done something.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const METHODS: [&[u8]; 5] = [b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE "];

/// The proxy; dropping it closes everything.
pub(crate) struct Gate {
    address: SocketAddr,
    watchman: Arc<Watchman>,
    _tasks: JoinSet<()>,
}

type Asked = Box<dyn FnMut(&str) -> bool + Send>;

/// Holds requests of which `asked`, which gets their first lines, says so.
struct Watchman {
    asked: Mutex<Asked>,
    held: watch::Sender<Vec<String>>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Passes on to `endpoint`, and holds the requests of which `asked` says so until the gate is open.
    pub(crate) async fn start(endpoint: String, asked: impl FnMut(&str) -> bool + Send + 'static) -> Self {
        let upstream: SocketAddr = endpoint.strip_prefix("http://").expect("endpoint").parse().expect("address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (held, open) = (watch::Sender::new(Vec::new()), watch::Sender::new(false));
        let watchman = Arc::new(Watchman { asked: Mutex::new(Box::new(asked)), held, open });
        let (standing, mut tasks) = (watchman.clone(), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let watchman = standing.clone();
                connections.spawn(async move { drop(pass(client, upstream, &watchman).await) });
            }
        });
        Self { address, watchman, _tasks: tasks }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many requests are held, and tells their first lines.
    pub(crate) async fn held(&self, count: usize) -> Vec<String> {
        let mut held = self.watchman.held.subscribe();
        let enough = held.wait_for(|held| held.len() >= count);
        tokio::time::timeout(Duration::from_mins(1), enough).await.expect("never asked").expect("held").clone()
    }

    /// Lets them go on, and all that come.
    pub(crate) fn open(&self) {
        self.watchman.open.send_replace(true);
    }
}

impl Watchman {
    async fn hold(&self, line: String) {
        if *self.open.borrow() || !self.asked.lock().expect("asked")(&line) {
            return;
        }
        self.held.send_modify(|held| held.push(line));
        drop(self.open.subscribe().wait_for(|open| *open).await);
    }
}

async fn pass(client: TcpStream, upstream: SocketAddr, watchman: &Watchman) -> std::io::Result<()> {
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = TcpStream::connect(upstream).await?.into_split();
    let up = async {
        let mut piece = vec![0; 16 << 10];
        loop {
            let length = client_read.read(&mut piece).await?;
            if length == 0 {
                return Ok::<_, std::io::Error>(());
            }
            if METHODS.iter().any(|method| piece[..length].starts_with(method)) {
                let line = piece[..length].split(|byte| *byte == b'\r').next().unwrap_or_default();
                watchman.hold(String::from_utf8_lossy(line).into_owned()).await;
            }
            server_write.write_all(&piece[..length]).await?;
        }
    };
    tokio::select! {
        ended = up => ended,
        ended = tokio::io::copy(&mut server_read, &mut client_write) => ended.map(drop),
    }
}
