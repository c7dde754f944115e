//! Real PostgreSQL: sessions, dump, globals, load.

mod connect;
mod dump;
mod ledger;
mod load;
mod roundtrip;
mod servers;
mod wal_facts;

use std::time::{Duration, Instant};

use stonewal::postgres::dump::{Dump, DumpOptions, DumpReceipt};
use stonewal::postgres::{Error, Session};
use tokio_util::sync::CancellationToken;

use crate::support::fixture::Fixture;

/// Reads a dump to its end.
async fn drain(mut dump: Dump) -> Result<(Vec<u8>, DumpReceipt), Error> {
    let (mut text, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match dump.read(&mut buffer).await? {
            0 => return Ok((text, dump.finish().await?)),
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A whole dump of the fixture's database.
async fn dumped(fixture: &Fixture, options: DumpOptions) -> (Vec<u8>, DumpReceipt) {
    let cancel = CancellationToken::new();
    drain(Dump::start(&fixture.source(), options, &fixture.search(), &cancel).await.unwrap()).await.unwrap()
}

/// How many sessions bear a name that begins so.
async fn sessions(fixture: &Fixture, prefix: &str) -> i64 {
    let session = Session::connect(&fixture.server.conninfo("postgres").unwrap(), "watch").await.unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, $1)";
    session.client().query_one(sql, &[&prefix]).await.unwrap().get(0)
}

/// Waits until no such session is left, at most as long as invariants allow.
async fn assert_sessions_end(fixture: &Fixture, prefix: &str) {
    let begin = Instant::now();
    while sessions(fixture, prefix).await > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "{prefix} is still there after 10 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
