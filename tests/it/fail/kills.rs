//! Deaths at random moments: of pg_dump, of stonewal. Afterwards there is a whole backup or none, a whole database or an
//! empty one (invariants I1 and I2).

use std::time::Duration;

use rustix::process::Signal;
use stonewal::store::roles::Role;

use super::process::no_descendants;
use super::programs;
use super::world::World;
use crate::support::rounds;

/// `STONEWAL_TEST_ROUNDS=50` for the large run.
const KILLS: u32 = 8;

/// The same numbers in every run.
struct Random(u64);

impl Random {
    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i01_pg_dump_killed_at_any_byte_makes_no_backup() {
    let Some(world) = World::new("i01_killed").await else { return };
    let whole = world.restorer("restore dump --to-stdout").end().await.good().stdout.len() as u64;
    let mut random = Random(11);
    let mut offsets: Vec<u64> = (2..rounds(KILLS)).map(|_| random.below(whole)).collect();
    // Also before the first byte, and after the last.
    offsets.extend([0, whole + 1000]);
    for bytes in offsets {
        // `$$` is the process that stonewal waits for; exactly so many bytes come out of it before it dies.
        let body = format!("\"$REAL\" \"$@\" | head -c {bytes}; kill -9 $$");
        let programs = programs::running(&world, "pg_dump", &body);
        let ended = world.stonewal("backup dump").env("STONEWAL_POSTGRES_BIN_DIR", programs).end().await;
        let killed = "
error: pg_dump was killed by signal 9

hint: nothing was published; mend what the program complains about and run the command again";
        ended.is(1, killed);
        assert_eq!(world.objects("/manifest-").await.len(), 1, "killed after {bytes} bytes");
    }
    world.unchanged().await;
}

/// PAINS A14, E3: no unfinished upload is left either, since none is ever begun and no part can be sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn i02_stonewal_killed_at_any_moment_leaves_a_whole_backup_or_none() {
    let Some(world) = World::new("i02_backup").await else { return };
    let took = world.stonewal("backup dump").end().await.good().took;
    let mut random = Random(22);
    let (kills, mut cut_short) = (rounds(KILLS), 0);
    for round in 0..kills {
        let before = world.objects("/manifest-").await.len();
        let mut running = world.stonewal("backup dump").start();
        tokio::time::sleep(moment(took, (round, kills), &mut random)).await;
        running.child.start_kill().unwrap();
        running.child.wait().await.unwrap();
        no_descendants(&world.home()).await;
        world.no_sessions().await;
        cut_short += u32::from(world.objects("/manifest-").await.len() == before);
    }
    let admin = world.store.credentials(Role::Admin).unwrap();
    let raw = crate::support::raw_client(&world.store.endpoint(), &admin);
    let uploads = raw.list_multipart_uploads().bucket("backups").send().await.unwrap();
    assert!(uploads.uploads().is_empty(), "{uploads:?}");
    let listed = world.backups().await;
    assert_eq!(listed.len(), world.objects("/manifest-").await.len(), "what has a manifest is a backup");
    let verified = world.restorer("verify --level decrypt --json").end().await;
    let document = verified.json();
    let backups = document["backups"].as_array().unwrap();
    assert!(backups.len() == listed.len() && backups.iter().all(|backup| backup["whole"] == true), "{document}");
    world.target("target").await;
    world.restore_into("target", "").end().await.good();
    world.assert_restored("target");
    assert!(cut_short >= kills / 2, "only {cut_short} kills came before the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_stonewal_killed_at_any_moment_leaves_a_whole_database_or_an_empty_one() {
    let Some(world) = World::new("i02_restore").await else { return };
    world.target("target").await;
    let took = world.restore_into("target", "").end().await.good().took;
    world.assert_restored("target");
    let mut random = Random(33);
    let (kills, mut cut_short, mut whole) = (rounds(KILLS), 0, true);
    for round in 0..kills {
        if whole {
            world.fixture.server.execute("postgres", "DROP DATABASE target").await.unwrap();
            world.target("target").await;
        }
        let mut running = world.restore_into("target", "").start();
        tokio::time::sleep(moment(took, (round, kills), &mut random)).await;
        running.signal(Signal::KILL);
        running.child.wait().await.unwrap();
        no_descendants(&world.home()).await;
        world.no_sessions().await;
        whole = world.fixture.value("target", "SELECT to_regclass('ledger') IS NOT NULL") == "t";
        if whole {
            world.assert_restored("target");
        } else {
            world.assert_empty("target").await;
            cut_short += 1;
        }
    }
    assert!(cut_short >= kills / 2, "only {cut_short} kills came before the end");
}

/// One moment in each of as many parts of a run as there are rounds, so that early and late ones come.
fn moment(took: Duration, (round, kills): (u32, u32), random: &mut Random) -> Duration {
    let part = took / kills;
    part * round + Duration::from_micros(random.below(u64::try_from(part.as_micros()).unwrap().max(1)))
}
