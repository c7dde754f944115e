//! A loopback TCP proxy that behaves as badly as told, and can be told otherwise while it runs.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How connections are treated. A change applies to open connections too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    /// Everything passes.
    Fair,
    /// Every piece waits this long in each direction.
    Slow(Duration),
    /// A connection is cut when the server has sent this many bytes over it.
    CutAfterDown(u64),
    /// A connection is cut when the client has sent this many bytes over it.
    CutAfterUp(u64),
    /// Connections are taken and nothing passes.
    Blackhole,
    /// Connections are closed as soon as they come.
    Refuse,
}

/// The proxy; dropping it closes everything.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    trips: Trips,
    _tasks: JoinSet<()>,
}

/// Requests with their answers: from the first byte of the one to the last byte of the other.
type Trips = Arc<Mutex<Vec<(Instant, Instant)>>>;

impl Proxy {
    /// Listens on a free port and passes on to `upstream`.
    pub(crate) async fn start(upstream: SocketAddr, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (sender, receiver) = watch::channel(weather);
        let (mut tasks, trips) = (JoinSet::new(), Trips::default());
        let noted = trips.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (weather, noted) = (receiver.clone(), noted.clone());
                connections.spawn(async move { drop(pass(client, upstream, weather, &noted).await) });
            }
        });
        Self { address, weather: sender, trips, _tasks: tasks }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The longest chain of requests so far of which each waited for the answer to the one before: what a long line costs.
    /// Begins to count anew.
    pub(crate) fn turns(&self) -> usize {
        let mut trips = std::mem::take(&mut *self.trips.lock().expect("trips"));
        trips.sort_by_key(|(_, end)| *end);
        let (mut turns, mut last) = (0, None);
        for (begin, end) in trips {
            if last.is_none_or(|last| begin >= last) {
                (turns, last) = (turns + 1, Some(end));
            }
        }
        turns
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn pass(
    mut client: TcpStream,
    upstream: SocketAddr,
    weather: watch::Receiver<Weather>,
    trips: &Trips,
) -> io::Result<()> {
    if *weather.borrow() == Weather::Refuse {
        return Ok(());
    }
    let mut server = TcpStream::connect(upstream).await?;
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let trip = Mutex::new(Trip::default());
    let passed = |up: bool| trip.lock().expect("trip").passed(up, &mut trips.lock().expect("trips"));
    // Either direction's end is the end: half-open connections are not what S3 clients use.
    tokio::select! {
        result = pump(&mut client_read, &mut server_write, weather.clone(), true, &passed) => result,
        result = pump(&mut server_read, &mut client_write, weather, false, &passed) => result,
    }
}

/// Where a connection is between request and answer.
#[derive(Default)]
struct Trip {
    number: usize,
    asking: bool,
}

impl Trip {
    fn passed(&mut self, up: bool, trips: &mut Vec<(Instant, Instant)>) {
        let now = Instant::now();
        if up && !self.asking {
            self.number = trips.len();
            trips.push((now, now));
        } else if let Some(trip) = trips.get_mut(self.number) {
            trip.1 = now;
        }
        self.asking = up;
    }
}

async fn pump(
    from: &mut tokio::net::tcp::ReadHalf<'_>,
    to: &mut tokio::net::tcp::WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
    up: bool,
    noted: &impl Fn(bool),
) -> io::Result<()> {
    let mut piece = vec![0; 16 << 10];
    let mut passed = 0;
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        // What arrives in a blackhole waits there until the weather changes.
        let Ok(now) = weather.wait_for(|weather| *weather != Weather::Blackhole).await.map(|now| *now) else {
            return Ok(());
        };
        if up {
            noted(true);
        }
        let limit = match now {
            Weather::Refuse => return Ok(()),
            Weather::Slow(pause) => {
                tokio::time::sleep(pause).await;
                u64::MAX
            }
            Weather::CutAfterDown(limit) if !up => limit,
            Weather::CutAfterUp(limit) if up => limit,
            _ => u64::MAX,
        };
        let allowed = usize::try_from(limit.saturating_sub(passed)).unwrap_or(usize::MAX).min(length);
        to.write_all(&piece[..allowed]).await?;
        if !up {
            noted(false);
        }
        passed += allowed as u64;
        if passed >= limit {
            return Ok(());
        }
    }
}
