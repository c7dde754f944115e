//! What is not ready is named with its remedy, before anything is written.

use super::stage::{Stage, url};

async fn refused(stage: &Stage, flags: &str, code: i32, what: &str, remedy: &str) {
    let mut streamer = stage.stream(flags);
    let status = streamer.end().await;
    let said = streamer.said();
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(said.contains(what) && said.contains(&format!("hint: {remedy}")), "{said}");
    assert!(stage.objects().await.is_empty(), "{said}");
}

/// PAINS C2.
#[tokio::test(flavor = "multi_thread")]
async fn an_unlimited_slot_is_refused_unless_asked_for() {
    let Some(stage) = Stage::new("unlimited slot", |options| {
        options.settings.push(("max_slot_wal_keep_size".into(), "-1".into()));
    })
    .await
    else {
        return;
    };
    refused(&stage, "", 2, "max_slot_wal_keep_size of the server is unlimited", "ALTER SYSTEM SET max_slot").await;
    assert_eq!(stage.restart_lsn("stonewal").await, None);
    let streamer = stage.stream("--unbounded-slot");
    let lsn = stage.write(10).await;
    stage.flushed(lsn, std::time::Duration::from_secs(20)).await;
    streamer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_and_roles_that_do_not_do_are_named() {
    let Some(stage) = Stage::new("slots", |options| {
        options.settings.push(("wal_level".into(), "logical".into()));
    })
    .await
    else {
        return;
    };
    let mut without = stage.command("wal stream", stonewal::store::roles::Role::Writer);
    let output = without.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the server has no replication slot stonewal") && said.contains("CREATE_WAL_SLOT=true"),
        "{said}"
    );

    let logical = "SELECT pg_create_logical_replication_slot('stonewal', 'pgoutput')";
    stage.server().execute("postgres", logical).await.unwrap();
    refused(&stage, "", 2, "the replication slot stonewal is a logical one", "choose another name").await;

    stage.server().execute("postgres", "CREATE ROLE plain LOGIN").await.unwrap();
    let plain_url = url(stage.server()).replace("postgres@", "plain@");
    let mut plain = stage.stream_with("--slot other", |command| {
        command.env("REPLICATION_DATABASE_URL", plain_url);
    });
    assert_eq!(plain.end().await.code(), Some(1), "{}", plain.said());
    assert!(plain.said().contains("ALTER ROLE name REPLICATION"), "{}", plain.said());
}
