//! Slots that are gone, gaps that they leave, and planted objects, as `status` sees them.

use std::time::Duration;

use bytes::Bytes;
use stonewal::format::Lsn;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Prune as _, Put};

use super::stage::Stage;

const SOON: Duration = Duration::from_secs(20);

/// A server that keeps no more WAL for a slot than one segment.
async fn stingy(test: &str) -> Option<Stage> {
    let stage = Stage::new(test, |options| {
        options.wal_segment_mib = Some(1);
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        // The last setting of a name wins.
        options.settings.extend([
            set("wal_keep_size", "0"),
            set("max_slot_wal_keep_size", "2MB"),
            set("min_wal_size", "2MB"),
            set("max_wal_size", "2MB"),
        ]);
    });
    stage.await
}

#[tokio::test(flavor = "multi_thread")]
async fn i09_a_lost_slot_is_red_and_the_gap_that_it_leaves_until_the_next_base() {
    let Some(stage) = stingy("a lost slot").await else { return };
    let streamer = stage.stream("");
    let lsn = stage.write(100).await;
    stage.flushed(lsn, SOON).await;
    stage.base().await;
    stage.flushed(stage.write(100).await, SOON).await;
    streamer.stop().await;
    for _ in 0..8 {
        stage.write(20_000).await;
        stage.sql("SELECT pg_switch_wal()").await;
        stage.sql("CHECKPOINT").await;
    }
    let lost = stage.status("--max-lag 1s").await;
    assert!(lost.reasons("red").contains(&"slot-lost"), "{:#}", lost.document);
    let streamer = stage.stream("");
    stage.flushed(stage.write(100).await, SOON).await;
    let gap = stage.until("gap", "", SOON).await;
    gap.is(&["gap"], &[]);
    let timelines = gap.document["bucket"]["timelines"].as_array().unwrap();
    let gaps = timelines[0]["gaps"].as_array().unwrap();
    assert_eq!((gaps.len(), &gaps[0]["recorded"], &gaps[0]["matters"]), (1, &true.into(), &true.into()), "{gaps:?}");
    // What can be restored ends where the gap begins.
    assert_eq!(gap.document["bucket"]["window"]["end"], gaps[0]["start"], "{:#}", gap.document);
    stage.base().await;
    stage.flushed(stage.write(100).await, SOON).await;
    stage.status("").await.is(&[], &["old-gap"]);
    streamer.kill().await;
}

/// PAINS C2.
#[tokio::test(flavor = "multi_thread")]
async fn slots_that_are_missing_logical_or_nearly_full() {
    let Some(stage) =
        Stage::new("slots", |options| options.settings.push(("wal_level".into(), "logical".into()))).await
    else {
        return;
    };
    let streamer = stage.stream("");
    stage.flushed(stage.write(100).await, SOON).await;
    stage.base().await;
    stage.flushed(stage.write(100).await, SOON).await;
    stage.status("").await.is(&[], &[]);
    streamer.stop().await;
    stage.sql("SELECT pg_drop_replication_slot('stonewal')").await;
    stage.status("").await.is(&["no-slot"], &[]);
    stage.sql("SELECT pg_create_logical_replication_slot('stonewal', 'pgoutput')").await;
    assert!(stage.status("").await.reasons("red").contains(&"no-slot"));
    stage.sql("SELECT pg_drop_replication_slot('stonewal')").await;
    stage.sql("SELECT pg_create_physical_replication_slot('stonewal', true)").await;
    // The larger of both is what a slot may keep.
    stage.sql("ALTER SYSTEM SET wal_keep_size = 0").await;
    stage.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '80MB'").await;
    stage.sql("SELECT pg_reload_conf()").await;
    for _ in 0..4 {
        stage.write(1000).await;
        stage.sql("SELECT pg_switch_wal()").await;
    }
    let full = stage.until("slot-headroom", "", SOON).await;
    assert!(full.reasons("yellow").contains(&"slot-idle"), "{:#}", full.document);
    assert!(full.document["headroom"]["seconds"].as_u64().is_some(), "{:#}", full.document);
}

/// Invariant I4: who plants objects, lays delete markers over ours or writes over them changes nothing of the figures.
#[tokio::test(flavor = "multi_thread")]
async fn i04_what_is_planted_moves_no_figure() {
    let Some(stage) = stingy("planted WAL").await else { return };
    let streamer = stage.stream("");
    stage.base().await;
    for _ in 0..3 {
        stage.write(5000).await;
        stage.sql("SELECT pg_switch_wal()").await;
    }
    stage.flushed(stage.write(100).await, SOON).await;
    streamer.stop().await;
    let before = stage.status("--offline").await;
    let attacker = stage.s3(Role::Attacker).await;
    let objects = stage.objects().await;
    let pieces: Vec<_> = objects.iter().filter(|entry| !entry.key.as_str().contains("partial")).collect();
    for entry in &pieces {
        let put = Put { key: entry.key.clone(), body: Bytes::from_static(b"planted"), lock: None };
        attacker.put(put).await.unwrap();
    }
    for entry in &objects {
        attacker.hide(&entry.key).await.unwrap();
    }
    let beyond = "prod/main/wal/00000001/00000000FF000000-00000000FF100000";
    let put = |key: &str| Put { key: ObjectKey::new(key), body: Bytes::from_static(b"stwlwal1"), lock: None };
    attacker.put(put(beyond)).await.unwrap();
    attacker.put(put("prod/main/wal/00000009/0000000001000000-0000000001100000")).await.unwrap();
    let after = stage.status("--offline").await;
    for figure in ["durable", "window", "locks"] {
        assert_eq!(after.document["bucket"][figure], before.document["bucket"][figure], "{figure}");
    }
    assert_eq!(after.reasons("red"), before.reasons("red"));

    // Where a piece is not there, with newer ones behind it, junk under its name does not stand for it.
    let admin = stage.s3(Role::Admin).await;
    let mut names: Vec<&str> = pieces.iter().map(|entry| entry.key.as_str()).collect();
    names.retain(|name| name.ends_with("00000"));
    names.sort_unstable();
    let lost = names[names.len() - 2];
    let start_of = |key: &str| {
        let name = key.rsplit('/').next().unwrap();
        u64::from_str_radix(&name[..16], 16).unwrap()
    };
    let start = start_of(lost);
    for entry in stage.objects().await {
        let name = entry.key.as_str().rsplit('/').next().unwrap();
        let is_range = name.len() >= 33 && name.as_bytes()[16] == b'-';
        if is_range && (start..start + (1 << 20)).contains(&start_of(entry.key.as_str())) {
            admin.delete_version(&entry.key, &entry.version, true).await.unwrap();
        }
    }
    attacker.put(put(lost)).await.unwrap();
    let without = stage.status("--offline --max-lag 1h").await;
    let durable = &without.document["bucket"]["durable"]["lsn"];
    assert_eq!(*durable, serde_json::json!(Lsn::new(start)), "{:#}", without.document);
}
