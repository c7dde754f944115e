//! Real input out and back: schema, rows, counts, globals, byte for byte.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use stonewal::commands::{Which, restore_dump};
use stonewal::format::Codec;
use stonewal::observe::Progress;
use stonewal::postgres::Session;
use stonewal::postgres::programs::Search;
use stonewal::store::roles::Role;
use tokio_util::sync::CancellationToken;

use super::stage::{Stage, encoding, id, run_backup};
use crate::support::compare::{assert_same_database, assert_same_globals};
use crate::support::fixture::Fixture;

/// The other server's tablespace, which no restore may invent.
async fn make_tablespace(other: &Fixture) {
    let space = other.server.make_dir("space").unwrap();
    for sql in [
        format!("CREATE TABLESPACE \"Raum; 1\" LOCATION '{}'", space.display()),
        "ALTER TABLESPACE \"Raum; 1\" SET (seq_page_cost = 2)".into(),
        "COMMENT ON TABLESPACE \"Raum; 1\" IS 'fast; disk'".into(),
    ] {
        other.server.execute("postgres", &sql).await.unwrap();
    }
}

/// The sealed counts are those of the source, table by table.
async fn assert_counts(stage: &Stage, which: Which) {
    let shown = stage.show(Role::Reader, Stage::passphrase(), which).await;
    let counts = shown.sealed.unwrap().dump.unwrap().counts.unwrap();
    assert!(counts.len() > 1);
    let session = Session::connect(&stage.database, "counts").await.unwrap();
    for count in counts {
        let name = format!("\"{}\".\"{}\"", count.schema.replace('"', "\"\""), count.table.replace('"', "\"\""));
        let row = session.client().query_one(&format!("SELECT count(*) FROM ONLY {name}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), i64::try_from(count.rows).unwrap(), "{name}");
    }
}

/// PAINS B9.
#[tokio::test]
async fn an_awkward_database_and_its_globals_come_back_on_another_server_through_gzip_and_zstd() {
    let test = "an_awkward_database";
    let Some(stage) = Stage::awkward(test, 1).await else { return };
    for codec in [Codec::Gzip, Codec::Zstd] {
        let Some(other) = Fixture::empty(test).await else { return };
        make_tablespace(&other).await;
        let target = other.target("restored").await;
        let made =
            run_backup(stonewal_options(&stage, codec)).await.unwrap_or_else(|error| panic!("{codec:?}: {error}"));
        let shown = stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await;
        assert_eq!(shown.clear.backup, made.backup);
        assert!(shown.clear.streams.iter().all(|stream| stream.codec == codec));
        assert!(made.stored_bytes < made.plain_bytes / 2, "{codec:?} compresses: {made:?}");
        let done = stage.restore_into(&other, &target).await.unwrap();
        assert_eq!((done.backup, done.roles_created.len()), (made.backup.clone(), 3));
        let owner = "ALTER TABLESPACE \"Raum; 1\" OWNER TO \"Röle \"\"x\"\"; --\"";
        other.server.execute("postgres", owner).await.unwrap();
        assert_same_database(&stage.source.server, &stage.database, &target).await;
        assert_same_globals(&stage.source.server, &other.server);
        Box::pin(assert_counts(&stage, id(&made.backup))).await;
    }
}

fn stonewal_options(stage: &Stage, codec: Codec) -> stonewal::commands::backup_dump::Options {
    let mut options = stage.backup_options();
    options.encoding = encoding(codec);
    options
}

#[tokio::test]
async fn a_larger_database_comes_back_from_many_chunks() {
    let test = "a_larger_database";
    let Some(stage) = Stage::awkward(test, 8).await else { return };
    let Some(other) = Fixture::empty(test).await else { return };
    make_tablespace(&other).await;
    let made = run_backup(stonewal_options(&stage, Codec::None)).await.unwrap();
    assert!(made.plain_bytes > 60 << 20 && made.chunks > 8, "{made:?}");
    let target = other.target("restored").await;
    stage.restore_into(&other, &target).await.unwrap();
    assert_same_database(&stage.source.server, &stage.database, &target).await;
}

/// A pg_dump that keeps a copy of what it delivers.
fn teeing(stage: &Stage) -> (Search, PathBuf) {
    let (bin, copy) = (stage.dir.path().join("bin"), stage.dir.path().join("pg_dump.out"));
    std::fs::create_dir(&bin).unwrap();
    let real = stage.source.server.bin_dir();
    let script = format!(
        "#!/bin/bash\nset -o pipefail\n[ \"$1\" != --version ] || exec {0}/pg_dump --version\n{0}/pg_dump \"$@\" | tee {1}\n",
        real.display(),
        copy.display()
    );
    std::fs::write(bin.join("pg_dump"), script).unwrap();
    std::fs::set_permissions(bin.join("pg_dump"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(real.join("pg_dumpall"), bin.join("pg_dumpall")).unwrap();
    (Search { chosen: Some(bin), path: Vec::new() }, copy)
}

#[tokio::test]
async fn every_codec_gives_back_what_pg_dump_wrote_byte_for_byte() {
    let Some(stage) = Stage::new("every_codec", |_| ()).await else { return };
    let (programs, copy) = teeing(&stage);
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Lz4] {
        let mut options = stonewal_options(&stage, codec);
        options.programs = programs.clone();
        let made = run_backup(options).await.unwrap();
        let dumped = std::fs::read(&copy).unwrap();
        assert!(dumped.len() > 20 << 20);
        if codec == Codec::None {
            assert!(made.chunks > 3 && made.stored_bytes > dumped.len() as u64, "several chunks and a seal: {made:?}");
        }
        assert!(stage.bytes(Which::Latest).await == dumped, "to a writer, {codec:?}");
        let path = stage.dir.path().join(format!("{}.sql", codec.name()));
        let target = restore_dump::RestoreTarget::File { path: path.clone(), globals: false };
        let options = stage.restore_options(id(&made.backup), target);
        restore_dump::run(options, &Progress::new(), &CancellationToken::new()).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == dumped, "to a file, {codec:?}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
