//! What a retention plan says of real backups and real WAL, by the store's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Entry, ListQuery, ObjectKey, Prune as _, Put, Read as _, Retain as _, S3};

use super::archive::archiving;
use super::world::{World, usual};
use crate::support::host;

const DAY: Duration = Duration::from_hours(24);

/// Ten days, and nothing else.
const POLICY: &str = "[retention]\nwindow = \"10d\"\nkeep_last_dumps = 0\nkeep_last_bases = 0\n";

impl World {
    pub(super) async fn s3(&self, role: Role) -> S3 {
        host::client(&self.store, role).await
    }

    pub(super) async fn versions(&self, part: &str) -> Vec<Entry> {
        let query = ListQuery { prefix: "prod/".into(), by_folder: false };
        let page = self.s3(Role::Admin).await.list_page(&query, None).await.unwrap();
        assert!(page.next.is_none());
        page.entries.into_iter().filter(|entry| entry.key.as_str().contains(part)).collect()
    }

    pub(super) async fn is_held(&self, entry: &Entry) -> bool {
        self.s3(Role::Admin).await.hold_of(&entry.key, &entry.version).await.unwrap()
    }

    async fn plant(&self, key: &str) {
        let put = Put { key: ObjectKey::new(key), body: Bytes::from_static(b"junk"), lock: None };
        self.s3(Role::Attacker).await.put(put).await.unwrap();
    }

    fn policy(&self, text: &str) {
        std::fs::write(self.path("stonewal.toml"), text).unwrap();
    }

    /// The only cluster's plan, as an auditor gets it.
    async fn plan(&self, flags: &str, code: i32) -> Value {
        let told = self.run_as(Role::Auditor, &format!("retention plan --json {flags}")).await.ends(code);
        told.json()["clusters"][0].clone()
    }
}

/// Verdict and rule by backup.
fn verdicts(plan: &Value) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = ["backups", "unfinished"].into_iter().flat_map(|list| plan[list].as_array().unwrap());
    rows.map(|row| (text(&row["backup"]), (text(&row["verdict"]), text(&row["why"]["rule"])))).collect()
}

fn wal(plan: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    plan["wal"].as_array().unwrap().iter().map(|row| (text(&row["verdict"]), text(&row["why"]["rule"]))).collect()
}

fn pair(verdict: &str, rule: &str) -> (String, String) {
    (verdict.into(), rule.into())
}

#[tokio::test]
async fn a_plan_tells_of_every_backup_and_all_wal_what_becomes_of_it_and_why() {
    let Some(installed) = usual("retention_plan") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    let mut bases = Vec::new();
    for _ in 0..3 {
        bases.push(world.good_backup().await);
        world.archived().await;
        world.store.advance_clock(8 * DAY);
    }
    world.policy(POLICY);
    let plan = world.plan("", 0).await;
    let told = verdicts(&plan);
    assert_eq!(told[&bases[0]], pair("expire", "no-rule"), "{plan:#}");
    assert_eq!(told[&bases[1]], pair("keep", "window"));
    assert_eq!(told[&bases[2]], pair("keep", "window"));
    assert_eq!(wal(&plan), [pair("expire", "unneeded"), pair("keep", "window"), pair("keep", "window")]);
    let later =
        jiff::Timestamp::from_second(plan["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second());
    let later = later.unwrap() + jiff::SignedDuration::from_hours(24 * 9);
    let ahead = world.plan(&format!("--at {later}"), 0).await;
    assert_eq!(verdicts(&ahead)[&bases[1]], pair("expire", "no-rule"), "the third one has taken over by then");

    // A legal hold on the manifest keeps the base and its WAL up to the next one.
    let manifest = world.versions(&format!("{}/manifest-", bases[0])).await.remove(0);
    world.s3(Role::Admin).await.set_hold(&manifest.key, &manifest.version, true).await.unwrap();
    let plan = world.plan("", 0).await;
    assert_eq!(verdicts(&plan)[&bases[0]], pair("keep", "hold"));
    assert!(wal(&plan).contains(&pair("keep", "hold")), "{plan:#}");
    world.s3(Role::Admin).await.set_hold(&manifest.key, &manifest.version, false).await.unwrap();

    // For people: every backup has a line, and the sums are below.
    let text = world.run_as(Role::Auditor, "retention plan").await.good().stdout;
    for words in
        [&bases[0], "expire", "no rule keeps it", "recovery window of 10 d", "until base", "kept:    2 backups"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    // What is asked for must make sense.
    let past = world.run_as(Role::Auditor, "retention plan --at 2020-01-01T00:00:00Z").await.ends(2);
    past.says(&["is over"]);
    world.run_as(Role::Auditor, "retention plan --at tomorrow").await.ends(2).says(&["--at", "with Z for UTC"]);
    world.policy("[retention]\nwindow = \"500d\"\n");
    world.run_as(Role::Auditor, "retention plan").await.ends(2).says(&["retention.window", "retention.max = \"500d\""]);
    world.policy(&format!("{POLICY}keep = [\"20200101T000000Z-00000000\", \"{}\"]\n", bases[0]));
    let marked = world.run_as(Role::Auditor, "retention plan").await.ends(3);
    marked.says(&["20200101T000000Z-00000000 is marked keep", "marked keep"]);
}

/// PAINS A8, A17: what is damaged, unfinished or planted decides nothing, and what cannot be read is not given up.
#[tokio::test]
async fn what_is_broken_unfinished_or_planted_pushes_nothing_out() {
    let Some(world) = World::new("retention_junk").await else { return };
    world.policy(POLICY);
    let good = world.good_backup().await;
    let broken = world.good_backup().await;
    let admin = world.s3(Role::Admin).await;
    let chunk = world.versions(&format!("{broken}/base/0-")).await.remove(0);
    admin.delete_version(&chunk.key, &chunk.version, true).await.unwrap();
    let (left, forged) = ("20260101T000000Z-00000001", "20260101T000000Z-00000002");
    world.plant(&format!("prod/main/backups/{left}/base/0-0707070707070707")).await;
    world.plant(&format!("prod/main/backups/{forged}/manifest-0707070707070707")).await;
    let plan = world.plan("", 3).await;
    let told = verdicts(&plan);
    assert_eq!(told[&good], pair("keep", "window"), "{plan:#}");
    assert_eq!(told[&broken], pair("keep", "window"), "as long as its moment is in the window");
    assert_eq!(told[left], pair("keep", "unfinished"));
    assert_eq!(told[forged], pair("leave", "unread"));
    world.store.advance_clock(30 * DAY);
    let plan = world.plan("", 3).await;
    let told = verdicts(&plan);
    assert_eq!(told[&good], pair("keep", "window"), "the only one that is whole");
    assert_eq!(told[&broken], pair("expire", "not-whole"));
    assert!(plan["backups"][1]["why"]["text"].as_str().unwrap().contains("missing: prod/main/backups/"), "{plan:#}");
    assert_eq!(told[left], pair("expire", "abandoned"));
    assert_eq!(told[forged], pair("leave", "unread"));
    // Dumps: a policy that leaves none is refused.
    let dumped = world.run_as(Role::Writer, &format!("backup dump --from {}", world.url())).await;
    dumped.good();
    world.store.advance_clock(30 * DAY);
    assert_eq!(verdicts(&world.plan("", 3).await).values().filter(|(_, rule)| rule == "min-redundancy").count(), 1);
    world.policy(&format!("{POLICY}min_redundancy = 0\n"));
    let refused = world.run_as(Role::Auditor, "retention plan").await.ends(2);
    refused.says(&["would let every verified dump of cluster main expire", "nothing was changed"]);
    // What is only named like a whole piece takes no partial's place.
    world.policy(POLICY);
    world.plant("prod/main/wal/00000001/0000000003000000-0000000004000000").await;
    world.plant("prod/main/wal/00000001/partial/0000000003000000-0000000003100000-0707070707070707").await;
    let plan = world.plan("", 3).await;
    assert_eq!(plan["superseded"]["objects"], 0, "{plan:#}");
}
