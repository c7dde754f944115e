//! Repositories with a replica: other bucket, other credentials, other version ids (PAINS F3).

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use stonewal::catalog::each_entry;
use stonewal::postgres::server::Phase;
use stonewal::store::embedded;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Entry, Put, Read as _, S3};
use tokio::process::Command;

use super::archive::archiving;
use super::world::{Finished, PATIENCE, World, finished, names, usual, value};
use crate::support::options;
use crate::support::proxy::{Proxy, Weather};

const SUM: &str = "SELECT count(*) || ' ' || sum(length(body)) FROM ledger";
/// About 15 MB that do not compress.
const LEDGER: &str = "CREATE TABLE ledger AS SELECT i, md5(i::text) || md5((-i)::text) || md5((i * 7)::text) || md5((i * 11)::text) AS body FROM generate_series(1, 100000) i";

/// A world with a second store, and a proxy before the first one.
pub(super) struct Pair {
    pub(super) world: World,
    pub(super) far: embedded::Server,
    pub(super) proxy: Proxy,
}

impl Pair {
    pub(super) async fn around(world: World) -> Self {
        let mut options = embedded::Options::new(world.path("far"));
        options.page_size = 7;
        let far = embedded::Server::start(options).await.unwrap();
        let upstream = world.store.endpoint().trim_start_matches("http://").parse().unwrap();
        let proxy = Proxy::start(upstream, Weather::Fair).await;
        let pair = Self { world, far, proxy };
        pair.far_bucket(Role::Admin).await.create_bucket(true).await.unwrap();
        pair.configure(Role::Reader, &pair.far.endpoint());
        pair
    }

    /// Names the replica in the configuration, with the credentials of a role in a profile of its own.
    pub(super) fn configure(&self, role: Role, endpoint: &str) {
        let credentials = self.far.credentials(role).unwrap();
        let profile = format!(
            "[far]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            credentials.access_key,
            credentials.secret_key.expose_secret()
        );
        // Where the AWS tools look by themselves, and PostgreSQL's user does not.
        let folder = self.world.path(".aws");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
        std::fs::write(folder.join("credentials"), profile).unwrap();
        let section = format!(
            "[replica.far]\nrepository = \"s3://far/prod\"\nendpoint = \"{endpoint}\"\nregion = \"{}\"\nprofile = \"far\"\n",
            self.far.region()
        );
        std::fs::write(self.world.path("stonewal.toml"), section).unwrap();
    }

    /// The program on a host whose way to the first store leads through the proxy.
    pub(super) fn command(&self, role: Role, line: &str) -> Command {
        let mut command = self.world.command(role, line);
        command.env("AWS_ENDPOINT_URL_S3", self.proxy.endpoint());
        command
    }

    pub(super) async fn run(&self, role: Role, line: &str) -> Finished {
        finished(self.command(role, line).spawn().unwrap()).await
    }

    /// The same on a host that knows nothing but the far side.
    pub(super) async fn run_far(&self, line: &str) -> Finished {
        let mut command = self.command(Role::Reader, line);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"] {
            command.env_remove(name);
        }
        finished(command.spawn().unwrap()).await
    }

    pub(super) async fn far_bucket(&self, role: Role) -> S3 {
        let credentials = self.far.credentials(role).unwrap();
        let secret = credentials.secret_key.expose_secret();
        S3::connect(options(&self.far.endpoint(), "far", &credentials.access_key, secret)).await.unwrap()
    }

    pub(super) async fn bucket(&self) -> S3 {
        let credentials = self.world.store.credentials(Role::Admin).unwrap();
        let secret = credentials.secret_key.expose_secret();
        S3::connect(options(&self.world.store.endpoint(), "backups", &credentials.access_key, secret)).await.unwrap()
    }

    /// What the provider's replication does, under version ids of the far side; `planted` lies before each.
    pub(super) async fn replicate(&self, planted: &[u8], wanted: impl Fn(&str) -> bool) {
        let (from, to) = (self.bucket().await, self.far_bucket(Role::Admin).await);
        let mut firsts: BTreeMap<String, Entry> = BTreeMap::new();
        each_entry(&from, "prod/", |entry| drop(firsts.insert(entry.key.to_string(), entry))).await.unwrap();
        let mut entries: Vec<Entry> = firsts.into_values().filter(|entry| wanted(entry.key.as_str())).collect();
        entries.sort_by_key(|entry| entry.last_modified);
        for entry in entries {
            let body = from.get(&entry.key, &entry.version, 0..entry.bytes).await.unwrap();
            let lock = from.head(&entry.key, &entry.version).await.unwrap().lock;
            for body in [planted.to_vec().into(), body].into_iter().filter(|body: &bytes::Bytes| !body.is_empty()) {
                to.put(Put { key: entry.key.clone(), body, lock }).await.unwrap();
            }
        }
    }
}

/// Lets a recovery go on with the far side alone.
fn give_up(data: &Path) {
    let path = data.join("pg_wal/stonewal.recovery/stonewal.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("from_replica = \"far\"\n{text}")).unwrap();
}

fn dir(data: &Path) -> String {
    format!("--dir {}", data.display())
}

/// Runs one command to its end, and the other until it has made half as many requests: then the bucket dies.
async fn die_half_way(pair: &Pair, [whole, cut]: [&str; 2]) {
    let before = pair.world.requests();
    pair.run(Role::Reader, whole).await.good();
    let (before, half) = (pair.world.requests(), (pair.world.requests() - before) / 2);
    pair.proxy.set(Weather::Slow(std::time::Duration::from_millis(1)));
    let restoring = pair.command(Role::Reader, cut).spawn().unwrap();
    while pair.world.requests() < before + half {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    pair.proxy.set(Weather::Refuse);
    finished(restoring).await.ends(3).says(&["s3://backups/prod failed", "so other sides were asked"]);
}

/// The bucket dies when half of the base has been read: the rest comes from the replica. What PostgreSQL must not believe then is
/// that a timeline or the end of the WAL is absent (invariant I10); told to give the bucket up, it completes.
#[tokio::test]
async fn f03_the_bucket_dies_in_the_middle_of_a_base_restore() {
    let Some(world) = World::new("f03_the_bucket_dies").await else { return };
    world.sql(LEDGER).await;
    world.good_backup().await;
    let expected = world.value(SUM).await;
    let pair = Pair::around(world).await;
    pair.replicate(b"planted by someone faster", |_| true).await;
    let world = &pair.world;
    let data = world.path("second");
    let restore = |data: &Path| format!("restore base --jobs 1 {}", dir(data));
    die_half_way(&pair, [&restore(&world.path("first")), &restore(&data)]).await;
    world.verify_files(&data);

    World::hurry(&data);
    let stopped = world.open(&data, "log1").await.wait_writable(PATIENCE).await.unwrap_err();
    let log = std::fs::read_to_string(world.path("log1")).unwrap_or_default();
    assert!(format!("{stopped} {log}").contains("was not heard"), "{stopped} {log}");
    give_up(&data);
    let server = world.recover(&data, "log2").await;
    assert_eq!(value(&server, SUM).await, expected);
}

/// The bucket dies in the middle of a replay: it completes, up to a target that the replica reaches.
#[tokio::test]
async fn f03_the_bucket_dies_in_the_middle_of_a_replay() {
    let Some(installed) = usual("f03_the_bucket_dies_replay") else { return };
    let smaller = |options: &mut stonewal::postgres::server::ServerOptions| {
        archiving(options);
        options.wal_segment_mib = Some(1);
    };
    let world = World::on(&installed, smaller).await;
    world.archive().await;
    world.good_backup().await;
    world.sql(LEDGER).await;
    let (expected, at) = (world.value(SUM).await, world.value("SELECT pg_current_wal_lsn()").await);
    // The server reads ahead: what follows the target's segment must be there, too.
    for table in ["later", "latest"] {
        world.sql(&format!("CREATE TABLE {table} AS SELECT 1 AS n")).await;
        world.archived().await;
    }
    let pair = Pair::around(world).await;
    pair.replicate(b"", |_| true).await;
    let (world, data) = (&pair.world, pair.world.path("restored"));
    let flags = format!("restore base --target-lsn {at} --action pause {}", dir(&data));
    pair.run(Role::Reader, &flags).await.good();

    let before = world.requests();
    pair.proxy.set(Weather::Slow(std::time::Duration::from_millis(1)));
    let mut server = world.open(&data, "log").await;
    while world.requests() < before + 15 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    pair.proxy.set(Weather::Refuse);
    server.wait_for(|phase| *phase == Phase::Paused, PATIENCE).await.unwrap();
    assert_eq!(value(&server, SUM).await, expected);
    assert_eq!(value(&server, "SELECT to_regclass('later') IS NULL").await, "true");
}

/// With that side's credentials and nothing else, under other version ids, behind planted versions, seven keys a page; and half of a
/// dump, when the bucket has died.
#[tokio::test]
async fn f03_a_replica_restores_alone() {
    let Some(world) = World::new("f03_a_replica_restores").await else { return };
    world.sql("CREATE TABLE ledger AS SELECT i, md5(i::text) AS body FROM generate_series(1, 1000) i").await;
    world.run_as(Role::Writer, &format!("backup dump --from {}", world.url())).await.good();
    world.good_backup().await;
    let expected = world.value(SUM).await;
    let pair = Pair::around(world).await;
    pair.replicate(b"planted by someone faster", |_| true).await;
    let world = &pair.world;
    die_half_way(&pair, ["restore dump latest --to-file a.sql", "restore dump latest --to-file b.sql"]).await;
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    assert!(read("a.sql") == read("b.sql") && read("a.sql").contains("CREATE TABLE public.ledger"));
    pair.run_far("list --from-replica far").await.ends(3);
    pair.run_far("show latest --from-replica far").await.ends(3);
    pair.run_far("verify --level decrypt --from-replica far").await.ends(3).says(&["versions"]);
    pair.run_far("wal verify --level full --from-replica far").await.good();
    let by_name = world.path("by-name");
    pair.run_far(&format!("restore base --from-replica far {}", dir(&by_name))).await.good();
    let server = world.recover(&by_name, "log1").await;
    assert_eq!(value(&server, SUM).await, expected);

    // The same as an ordinary repository, as someone would who has only its address.
    let by_address = world.path("by-address");
    let line = format!(
        "restore base --repository s3://far/prod --endpoint {} --profile far {}",
        pair.far.endpoint(),
        dir(&by_address)
    );
    std::fs::write(world.path("stonewal.toml"), "").unwrap();
    pair.run_far(&line).await.good();
    world.verify_files(&by_address);
}

/// The chunks here cannot be read; what the drill proved stands here all the same, and names the side.
async fn a_drill_from_the_replica_leaves_its_evidence_here(pair: &Pair) {
    use std::os::unix::fs::PermissionsExt as _;
    let room = pair.world.path("drills");
    std::fs::create_dir(&room).unwrap();
    std::fs::set_permissions(&room, std::fs::Permissions::from_mode(0o711)).unwrap();
    let drill = async |line: &str, away: bool| {
        let mut command = pair.command(Role::Writer, line);
        command.env("STONEWAL_KEYS_IDENTITY_FILE", pair.world.path("recovery"));
        command.env("STONEWAL_DRILL_DIR", &room).env("STONEWAL_VERIFY_TABLES", "ledger");
        if away {
            command.env("STONEWAL_AUDIT_MODE", "off").env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1");
        }
        finished(command.spawn().unwrap()).await
    };
    let drilled = drill("drill --from-replica far --json", false).await.good().json();
    let evidence = &drilled["evidence"];
    assert_eq!(evidence["result"], "passed", "{drilled}");
    assert!(drilled["stored"].is_string() && drilled.to_string().contains("replica far alone"), "{drilled}");
    let listed = pair.run(Role::Reader, "drill list --json").await.good().json();
    assert_eq!(listed["drills"], serde_json::json!([evidence]), "in the repository");
    // Nobody asks for the repository's chunks; without it there is a result, and no evidence.
    let alone = drill("drill --from-replica far", true).await.ends(3);
    alone.says(&["the evidence will not be stored", "the evidence was not stored", "passed"]);
    let keys = pair.run_far("keys check --from-replica far").await.good();
    keys.says(&["s3://far/prod"]);
    assert_eq!(names(&room), [""; 0]);
}

/// Chunks that rotted in the bucket come from the replica, and the operator is told.
#[tokio::test]
async fn f03_rotten_objects_come_from_the_replica() {
    let Some(world) = World::new("f03_rotten_objects").await else { return };
    world.sql(LEDGER).await;
    world.good_backup().await;
    let pair = Pair::around(world).await;
    pair.replicate(b"", |_| true).await;
    super::delta::bend_chunks(&pair.world);
    let data = pair.world.path("restored");
    let told = pair.run(Role::Reader, &format!("restore base {}", dir(&data))).await.ends(3);
    told.says(&["gave other bytes, so other sides were asked"]);
    pair.world.verify_files(&data);
    a_drill_from_the_replica_leaves_its_evidence_here(&pair).await;
    // Where there is no other side, it is damage.
    std::fs::write(pair.world.path("stonewal.toml"), "").unwrap();
    pair.run(Role::Reader, &format!("restore base {}", dir(&pair.world.path("none")))).await.ends(4);
}

/// PAINS D9, A5: what the replica lacks is absent only if the bucket says so too; that it was not heard, or denies, is no answer.
#[tokio::test]
async fn i10_a_silent_bucket_and_an_empty_replica_are_no_absence() {
    let Some(installed) = usual("i10_a_silent_bucket") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.archived().await;
    let name = world.value("SELECT last_archived_wal FROM pg_stat_archiver").await;
    let pair = Pair::around(world).await;
    let world = &pair.world;
    let to = |name: &str| -> PathBuf { world.path(name) };
    let fetch = async |role: Role, name: &str, silent: bool| {
        pair.proxy.set(if silent { Weather::Refuse } else { Weather::Fair });
        let mut command = pair.command(role, &format!("wal fetch {name} {}", to("fetched").display()));
        command.env("STONEWAL_KEYS_IDENTITY_FILE", world.path("recovery"));
        // Whoever is refused at once need not be asked for long.
        command.env("STONEWAL_WAL_DEADLINE", if silent { "3s" } else { "8s" });
        finished(command.spawn().unwrap()).await
    };
    // Nothing is there yet but the cluster's record: the replica lags.
    pair.replicate(b"", |key| !key.contains("/wal/")).await;
    let (later, history) = ("000000010000000000000099", "00000002.history");
    fetch(Role::Reader, &name, false).await.ends(0);
    for absent in [later, history] {
        fetch(Role::Reader, absent, false).await.ends(1);
    }
    for unknown in [&*name, later, history] {
        fetch(Role::Reader, unknown, true).await.ends(126).says(&["s3://backups/prod was not heard"]);
    }
    // Credentials that may list and not read, and some that are not known at all.
    fetch(Role::Retainer, &name, false).await.ends(126).says(&["s3:GetObject"]);
    let mut stranger = pair.command(Role::Reader, &format!("wal fetch {later} {}", to("fetched").display()));
    stranger.env("AWS_ACCESS_KEY_ID", "STRANGER").env("STONEWAL_WAL_DEADLINE", "8s");
    finished(stranger.spawn().unwrap()).await.ends(126);
    // The bucket says that there is none, the replica is the silent one.
    pair.configure(Role::Reader, "http://127.0.0.1:9");
    fetch(Role::Reader, history, false).await.ends(126).says(&["replica far was not heard"]);
    fetch(Role::Reader, &name, false).await.ends(0);
    // What the replica has is given, whatever becomes of the bucket.
    pair.configure(Role::Reader, &pair.far.endpoint());
    pair.replicate(b"", |key| key.contains("/wal/")).await;
    fetch(Role::Reader, &name, true).await.ends(0);
    // Also when it takes connections and never answers: no longer than that leaves time to ask the replica.
    pair.proxy.set(Weather::Blackhole);
    let mut patient = pair.command(Role::Reader, &format!("wal fetch {name} {}", to("fetched").display()));
    patient.env("STONEWAL_WAL_DEADLINE", "8s").env("STONEWAL_KEYS_IDENTITY_FILE", world.path("recovery"));
    finished(patient.spawn().unwrap()).await.ends(0);
}

/// A replica is named rightly or not at all.
#[tokio::test]
async fn replicas_are_configured_in_words_that_are_checked() {
    let Some(world) = World::new("replicas_are_configured").await else { return };
    let ask = async |text: &str, line: &str| {
        std::fs::write(world.path("stonewal.toml"), text).unwrap();
        world.run_as(Role::Reader, line).await
    };
    let far = "[replica.far]\nrepository = \"s3://far/prod\"\n";
    // The same bucket by another spelling of its endpoint, and under another region.
    let endpoint = world.store.endpoint();
    let itself = format!(
        "[replica.far]\nrepository = \"s3://backups/prod\"\nendpoint = \"{endpoint}/\"\nregion = \"elsewhere-1\"\n"
    );
    for (text, line, words) in [
        ("[replica.far]\nregion = \"x\"\n", "list", "replica.far.repository: is missing"),
        ("[replica.far]\nrepository = \"s3://far/other\"\n", "list", "another prefix than the repository"),
        ("[replica.far]\nrepository = \"s3://backups/prod\"\n", "list", "is the repository itself"),
        (&itself, "restore base --plan", "is the repository itself"),
        (&itself, "replica verify far", "is the repository itself"),
        (far, "list --from-replica near", "is none of far"),
        ("", "list --from-replica far", "there is no section replica.far"),
        (far, "status --from-replica far", "works on the repository itself"),
    ] {
        ask(text, line).await.ends(2).says(&[words]);
    }
    std::fs::write(world.path("stonewal.toml"), "").unwrap();
}
