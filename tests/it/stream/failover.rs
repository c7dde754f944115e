//! Real standbys that are promoted.

use std::process::Command;
use std::time::Duration;

use stonewal::format::{Lsn, Timeline};
use stonewal::postgres::Session;
use stonewal::postgres::server::{OpenOptions, Server, hand_over, make_standby};

use super::stage::{Stage, flushed, timeline, url, write};

const SOON: Duration = Duration::from_mins(1);

/// A standby of the stage's server.
pub(super) async fn standby(stage: &Stage, name: &str) -> Server {
    let data = stage.fixture.server.dir().join(name);
    let mut copy = Command::new(stage.server().bin_dir().join("pg_basebackup"));
    stage.server().conninfo("postgres").unwrap().child_env("standby").apply(&mut copy);
    copy.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync", "--pgdata"]).arg(&data);
    let output = copy.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    hand_over(&data).unwrap();
    make_standby(&data, stage.server(), name, None).unwrap();
    let mut options = OpenOptions::new(&data, stage.fixture.server.dir().join(format!("{name}-run")));
    options.bin_dir = Some(stage.server().bin_dir().into());
    options.settings = vec![("wal_keep_size".into(), "10GB".into()), ("fsync".into(), "off".into())];
    let mut server = Server::open(&options).await.unwrap();
    server.wait_open(SOON).await.unwrap();
    server
}

async fn value(server: &Server, sql: &str) -> String {
    let session = Session::connect(&server.conninfo("postgres").unwrap(), "stage").await.unwrap();
    session.client().query_one(sql, &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or_default()
}

/// Waits until a standby has everything up to `lsn`.
pub(super) async fn caught_up(server: &Server, lsn: Lsn) {
    let begin = std::time::Instant::now();
    let at =
        || async { value(server, "SELECT pg_last_wal_replay_lsn()::text").await.parse::<Lsn>().unwrap_or_default() };
    while at().await < lsn {
        assert!(begin.elapsed() < SOON, "the standby does not reach {lsn}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where `next` branches off from `of`, by the history in the bucket.
async fn switch(stage: &Stage, of: Timeline, next: Timeline) -> Lsn {
    let coverage = stage.coverage(next).await;
    let history = coverage.history.expect("the history file is stored");
    history.ancestors.iter().find(|entry| entry.timeline == of).expect("it leads through").switch
}

/// PAINS A19 and B2. Two failovers, both inside one segment, with a streamer that knows all three servers.
#[tokio::test(flavor = "multi_thread")]
async fn two_failovers_inside_one_segment_are_followed() {
    let Some(mut stage) = Stage::new("failovers", |_| {}).await else { return };
    let mut second = standby(&stage, "s2").await;
    let mut third = standby(&stage, "s3").await;
    let ports = [stage.server().port(), second.port(), third.port()];
    let hosts = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let url = format!("postgres://postgres@{hosts}/postgres?sslmode=disable&target_session_attrs=read-write");
    let mut streamer = stage.stream_with("", |command| {
        command.env("REPLICATION_DATABASE_URL", &url);
    });
    let on_first = stage.write(500).await;
    stage.flushed(on_first, SOON).await;
    caught_up(&second, on_first).await;
    caught_up(&third, on_first).await;
    stage.fixture.server.kill().await.unwrap();

    second.promote().await.unwrap();
    let follow = format!("host={} port={} user=postgres application_name=s3", second.dir().display(), second.port());
    third.execute("postgres", &format!("ALTER SYSTEM SET primary_conninfo = '{follow}'")).await.unwrap();
    third.reload();
    let on_second = write(&second, 500).await;
    flushed(&second, on_second, SOON).await;
    caught_up(&third, on_second).await;
    second.kill().await.unwrap();
    third.promote().await.unwrap();
    let on_third = write(&third, 500).await;
    flushed(&third, on_third, SOON).await;
    assert!(streamer.is_running(), "{}", streamer.said());
    let said = streamer.stop().await;

    let [one, two, three] = [1, 2, 3].map(timeline);
    let (left_one, left_two) = (switch(&stage, one, two).await, switch(&stage, two, three).await);
    let segment = 16 << 20;
    assert_eq!(left_one.floor(segment), left_two.floor(segment), "both inside one segment:\n{said}");
    assert!(left_one >= on_first && left_two >= on_second, "{said}");
    let first = stage.coverage(one).await.windows[0].start;
    // The stage's own server is down; its files are what they were.
    stage.assert_stored(stage.server(), one, first, left_one).await;
    stage.assert_stored(&second, two, left_one.floor(segment), left_two).await;
    stage.assert_stored(&third, three, left_two.floor(segment), on_third).await;
    for of in [one, two, three] {
        assert!(stage.coverage(of).await.gaps.is_empty(), "{said}");
    }
}

/// PAINS A7.
/// A streamer that was down during a failover finishes the old timeline, as far as the new server has it, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_while_no_streamer_ran_is_caught_up() {
    let Some(mut stage) = Stage::new("failover unseen", |options| options.wal_segment_mib = Some(1)).await else {
        return;
    };
    let mut second = standby(&stage, "s2").await;
    let streamer = stage.stream("");
    let seen = stage.write(3000).await;
    stage.flushed(seen, SOON).await;
    streamer.kill().await;
    let unseen = stage.write(30_000).await;
    caught_up(&second, unseen).await;
    stage.fixture.server.kill().await.unwrap();
    second.promote().await.unwrap();
    let last = write(&second, 3000).await;
    let url = url(&second);
    let streamer = stage.stream_with("", |command| {
        command.env("REPLICATION_DATABASE_URL", &url);
    });
    flushed(&second, last, SOON).await;
    let said = streamer.stop().await;
    let [one, two] = [1, 2].map(timeline);
    let left = switch(&stage, one, two).await;
    let first = stage.coverage(one).await.windows[0].start;
    stage.assert_stored(&second, one, first, left.floor(1 << 20)).await;
    stage.assert_stored(&second, two, left.floor(1 << 20), last).await;
    assert!(stage.coverage(one).await.gaps.is_empty() && stage.coverage(two).await.gaps.is_empty(), "{said}");
}
