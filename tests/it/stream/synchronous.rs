//! RPO 0: with synchronous_standby_names = 'stonewal', what a client saw committed survives the loss of everything but the
//! bucket.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stonewal::postgres::{ConnInfo, Session};
use tokio::task::JoinSet;

use super::stage::Stage;
use crate::support::rounds;

const SOON: Duration = Duration::from_mins(1);
const CLIENTS: i32 = 4;

/// What the clients know: committed for sure.
type Ledger = Arc<Mutex<BTreeSet<(i32, i32)>>>;

/// Commits rows until the server is gone; each is in the ledger once its COMMIT has returned.
async fn client(info: ConnInfo, number: i32, ledger: Ledger) {
    let Ok(session) = Session::connect(&info, "client").await else { return };
    for sequence in 0.. {
        let sql = format!("INSERT INTO public.ledger VALUES ({number}, {sequence}, repeat(md5('{sequence}'), 20))");
        if session.client().batch_execute(&sql).await.is_err() {
            return;
        }
        ledger.lock().unwrap().insert((number, sequence));
    }
}

async fn become_synchronous(stage: &Stage) {
    stage.server().execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'stonewal'").await.unwrap();
    stage.server().reload();
    let begin = Instant::now();
    let state = "SELECT coalesce(max(sync_state), '') FROM pg_stat_replication WHERE application_name = 'stonewal'";
    while stage.fixture.value("postgres", state) != "sync" {
        assert!(begin.elapsed() < SOON, "the streamer is no synchronous standby");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `STONEWAL_TEST_ROUNDS=50` for the large run.
#[tokio::test(flavor = "multi_thread")]
async fn i08_every_commit_a_client_saw_survives_the_loss_of_host_and_streamer() {
    let mut commits = 0;
    for seed in 0..rounds(3) {
        let Some(mut stage) = Stage::new("synchronous mode", |_| {}).await else { return };
        let mut random = fastrand::Rng::with_seed(u64::from(seed));
        stage.server().execute("postgres", "CREATE TABLE ledger (client int, sequence int, text text)").await.unwrap();
        let streamer = stage.stream("");
        let lsn = stage.write(10).await;
        stage.flushed(lsn, SOON).await;
        stage.base().await;
        become_synchronous(&stage).await;

        let (ledger, mut clients) = (Ledger::default(), JoinSet::new());
        for number in 0..CLIENTS {
            clients.spawn(client(stage.server().conninfo("postgres").unwrap(), number, ledger.clone()));
        }
        tokio::time::sleep(Duration::from_millis(random.u64(500..5000))).await;
        // Both at once, in either order.
        if random.bool() {
            streamer.kill().await;
            tokio::time::sleep(Duration::from_millis(random.u64(0..50))).await;
            stage.fixture.server.kill().await.unwrap();
        } else {
            stage.fixture.server.kill().await.unwrap();
            streamer.kill().await;
        }
        while clients.join_next().await.is_some() {}
        std::fs::remove_dir_all(stage.server().data_dir()).unwrap();

        // As a user would: another directory, the newest base, all WAL there is, by its restore_command.
        stage.restore("restored", &[]).await.good();
        let restored = stage.recovered("restored").await;
        let session = Session::connect(&restored.conninfo("postgres").unwrap(), "judge").await.unwrap();
        let rows = session.client().query("SELECT client, sequence FROM public.ledger", &[]).await.unwrap();
        let there: BTreeSet<(i32, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let seen = ledger.lock().unwrap().clone();
        let lost: Vec<_> = seen.difference(&there).collect();
        assert!(lost.is_empty(), "seed {seed}: {} of {} commits are lost: {lost:?}", lost.len(), seen.len());
        commits += seen.len();
        drop(session);
        restored.stop().await.unwrap();
    }
    println!("{commits} commits were seen");
    assert!(commits > 20, "only {commits} commits were made");
}

/// In the other mode, new bytes are durable within the interval and the time of an upload (PAINS F4).
#[tokio::test(flavor = "multi_thread")]
async fn commits_are_durable_within_the_interval() {
    let Some(stage) = Stage::new("interval", |_| {}).await else { return };
    let streamer = stage.stream("");
    let lsn = stage.write(10).await;
    stage.flushed(lsn, SOON).await;
    for _ in 0..8 {
        let lsn = stage.write(5).await;
        // A second of interval; the rest is for a slow machine.
        stage.flushed(lsn, Duration::from_millis(2500)).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..700))).await;
    }
    streamer.stop().await;
}

/// The segment that a streamer is filling at this very moment has an end that moves; that is no hole.
#[tokio::test(flavor = "multi_thread")]
async fn i10_a_segment_that_grows_is_fetched_as_far_as_it_was() {
    let Some(stage) = Stage::new("growing", |_| {}).await else { return };
    let table = "CREATE TABLE public.ledger (client int, sequence int, body text)";
    stage.server().execute("postgres", table).await.unwrap();
    let _streamer = stage.stream("");
    become_synchronous(&stage).await;
    let (ledger, mut clients) = (Ledger::default(), JoinSet::new());
    for number in 0..CLIENTS {
        clients.spawn(client(stage.server().conninfo("postgres").unwrap(), number, ledger.clone()));
    }
    for round in 0..6 {
        let committed = ledger.lock().unwrap().len();
        while ledger.lock().unwrap().len() < committed + 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let name = stage.fixture.value("postgres", "SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
        let mut fetch = stage.command(&format!("wal fetch {name} fetched"), stonewal::store::roles::Role::Reader);
        fetch.env_remove("STONEWAL_KEYS_WRITER_FILE").env("STONEWAL_KEYS_IDENTITY_FILE", stage.path("home/recovery"));
        let output = fetch.output().await.unwrap();
        assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::metadata(stage.path("fetched")).unwrap().len(), stage.segment().bytes());
    }
}
