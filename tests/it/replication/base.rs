//! Base backups: what PostgreSQL's own program writes, and what its manifest says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stonewal::format::Lsn;
use stonewal::pipeline::stage::SourceReceipt;
use stonewal::postgres::Error;
use stonewal::postgres::replication::{
    BaseBackup, BaseBackupOptions, BaseEnd, BaseEvent, Fault, ManifestChecksums, Tablespace,
};

use super::{Ground, fault};
use crate::support::majors::postgres_majors;

/// A whole backup: archives by tablespace, the manifest, and the end.
struct Taken {
    archives: BTreeMap<Option<u32>, Vec<u8>>,
    manifest: Vec<u8>,
    tablespaces: Vec<Tablespace>,
    start: Lsn,
    progress: Vec<u64>,
    end: BaseEnd,
}

async fn take(mut backup: BaseBackup) -> Result<Taken, Error> {
    let (mut archives, mut manifest, mut progress) = (BTreeMap::<_, Vec<u8>>::new(), None, Vec::new());
    let (tablespaces, start) = (backup.tablespaces().to_vec(), backup.start_lsn());
    let mut current = None;
    loop {
        match backup.next().await? {
            BaseEvent::Archive { oid } => {
                assert!(archives.insert(oid, Vec::new()).is_none());
                current = archives.get_mut(&oid);
            }
            BaseEvent::Manifest => current = Some(manifest.insert(Vec::new())),
            BaseEvent::Data(bytes) => current.as_mut().unwrap().extend_from_slice(&bytes),
            BaseEvent::Progress(bytes) => progress.push(bytes),
            BaseEvent::End => break,
        }
    }
    let end = backup.finish()?;
    Ok(Taken { archives, manifest: manifest.unwrap_or_default(), tablespaces, start, progress, end })
}

/// Every file of a tar archive.
fn unpack(archive: &[u8], dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let file = dir.with_extension("tar");
    std::fs::write(&file, archive).unwrap();
    untar(&file, dir);
}

fn untar(file: &Path, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let tar = Command::new("tar").arg("-xf").arg(file).arg("-C").arg(dir).output().unwrap();
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
}

/// Contents by relative path; links by where they lead, directories as nothing.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_owned();
            if path.is_symlink() {
                let to = std::fs::read_link(&path).unwrap();
                found.insert(name, to.display().to_string().into_bytes());
            } else if path.is_dir() {
                open.push(path);
                found.insert(name, Vec::new());
            } else {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Checks every file against the server's own manifest; how many there were.
fn check_manifest(taken: &Taken, root: &Path) -> usize {
    let manifest: serde_json::Value = serde_json::from_slice(&taken.manifest).unwrap();
    let all = manifest["Files"].as_array().unwrap();
    for file in all {
        let path = file["Path"].as_str().unwrap();
        let bytes = std::fs::read(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(bytes.len() as u64, file["Size"].as_u64().unwrap(), "{path}");
        let crc = u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes)).unwrap();
        let spelled = format!("{:08x}", crc.swap_bytes());
        assert_eq!(spelled, file["Checksum"].as_str().unwrap(), "{path}");
    }
    let range = &manifest["WAL-Ranges"][0];
    assert_eq!(range["Start-LSN"].as_str().unwrap(), taken.start.to_string());
    assert_eq!(range["End-LSN"].as_str().unwrap(), taken.end.stop_lsn.to_string());
    all.len()
}

/// Two tablespaces with a table each, and one in the data directory. Returns their directories.
async fn fill(ground: &Ground) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for name in ["one", "two"] {
        let dir = ground.server.make_dir(&format!("space {name}")).unwrap();
        ground.execute(&format!("CREATE TABLESPACE {name} LOCATION '{}'", dir.display())).await;
        ground
            .execute(&format!("CREATE TABLE t_{name} TABLESPACE {name} AS SELECT generate_series(1, 20000) AS n"))
            .await;
        dirs.push(dir);
    }
    ground.execute("CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 50000) AS n").await;
    ground.execute("CHECKPOINT").await;
    dirs
}

#[tokio::test]
async fn everything_is_there_and_as_the_manifest_says() {
    for installed in postgres_majors("base_backup") {
        let ground = Ground::new(&installed, |_| {}).await;
        let dirs = fill(&ground).await;
        let client = ground.client().await;
        let backup = client.base_backup(&BaseBackupOptions::new("it's \"one\"")).await.unwrap();
        let taken = take(backup).await.unwrap();
        let oids: Vec<u32> = taken.tablespaces.iter().filter_map(|space| space.oid).collect();
        assert_eq!(taken.tablespaces.len(), 3);
        assert_eq!(taken.tablespaces[2].oid, None, "the data directory is the last");
        assert!(taken.tablespaces.iter().all(|space| space.size_bytes.is_some()));
        let locations: Vec<_> = taken.tablespaces[..2].iter().map(|space| PathBuf::from(&space.location)).collect();
        assert!(dirs.iter().all(|dir| locations.contains(dir)), "{locations:?}");
        // Receipts are for what came.
        let lengths: Vec<u64> = taken.tablespaces.iter().map(|space| taken.archives[&space.oid].len() as u64).collect();
        assert_eq!(taken.end.archives.iter().map(SourceReceipt::bytes).collect::<Vec<_>>(), lengths);
        assert_eq!(taken.end.manifest.as_ref().unwrap().bytes(), taken.manifest.len() as u64);
        assert_eq!(taken.progress.is_empty(), installed.major < 15);
        assert!(taken.end.stop_lsn > taken.start && taken.end.timeline.get() == 1);
        // Unpacked as a restore would, links of tablespaces included.
        let root = ground.path("unpacked");
        unpack(&taken.archives[&None], &root);
        for oid in oids {
            let link = root.join("pg_tblspc").join(oid.to_string());
            assert!(std::fs::read_link(&link).unwrap().starts_with(ground.server.dir()));
            std::fs::remove_file(&link).unwrap();
            unpack(&taken.archives[&Some(oid)], &link);
        }
        assert!(check_manifest(&taken, &root) > 900, "PostgreSQL {}", installed.major);
        let label = std::fs::read_to_string(root.join("backup_label")).unwrap();
        assert!(label.contains("LABEL: it's \"one\"") && label.contains(&taken.start.to_string()), "{label}");
        let wal: Vec<_> = std::fs::read_dir(root.join("pg_wal")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(wal.iter().any(|name| name.to_string_lossy().starts_with("0000000100")), "the WAL is included");
        let mut client = taken.end.client;
        client.identify_system().await.unwrap();
        // Without manifest, WAL, progress; with a map of the tablespaces; slowly.
        let mut bare = BaseBackupOptions::new("bare");
        (bare.include_wal, bare.manifest, bare.progress, bare.wait) = (false, None, false, false);
        (bare.tablespace_map, bare.max_rate_kib) = (true, Some(1 << 20));
        let taken = take(client.base_backup(&bare).await.unwrap()).await.unwrap();
        assert!(taken.manifest.is_empty() && taken.end.manifest.is_none());
        assert!(taken.tablespaces.iter().all(|space| space.size_bytes.is_none()));
        assert!(taken.archives[&None].windows(14).any(|name| name == b"tablespace_map"));
    }
}

#[tokio::test]
async fn contents_are_those_of_pg_basebackup() {
    let all = postgres_majors("pg_basebackup");
    let Some(program) = all.iter().rev().find(|i| i.bin_dir.join("pg_basebackup").is_file()) else {
        crate::support::skip("pg_basebackup", "the program is not installed");
        return;
    };
    // It takes older servers, but no newer ones.
    for installed in all.iter().filter(|installed| installed.major <= program.major) {
        let ground = Ground::new(installed, |_| {}).await;
        fill(&ground).await;
        let theirs = ground.path("theirs");
        let mut command = Command::new(program.bin_dir.join("pg_basebackup"));
        ground.server.conninfo("postgres").unwrap().child_env("pg_basebackup").apply(&mut command);
        let output = command.args(["-Ft", "-X", "none", "-c", "fast", "-D"]).arg(&theirs).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut options = BaseBackupOptions::new("pg_basebackup base backup");
        (options.include_wal, options.tablespace_map) = (false, true);
        options.manifest = Some(ManifestChecksums::Sha256);
        let taken = take(ground.client().await.base_backup(&options).await.unwrap()).await.unwrap();
        for (oid, archive) in &taken.archives {
            let name = oid.map_or_else(|| "base".to_owned(), |oid| oid.to_string());
            let (ours, other) = (ground.path(&format!("ours-{name}")), ground.path(&format!("theirs-{name}")));
            unpack(archive, &ours);
            untar(&theirs.join(format!("{name}.tar")), &other);
            let (ours, other) = (files(&ours), files(&other));
            assert_eq!(ours.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{name}");
            for (path, bytes) in &ours {
                // These tell of the moment; the checkpoints of both backups are two.
                if ["backup_label", "global/pg_control"].iter().all(|moving| path != Path::new(moving)) {
                    assert!(bytes == &other[path], "{name}: {} differs", path.display());
                }
            }
        }
    }
}

/// Overwrites a few bytes in the middle of a page.
fn corrupt(file: &Path, page: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(b"stone", page * 8192 + 4000).unwrap();
}

#[tokio::test]
async fn a_corrupted_page_fails_the_backup_and_names_the_file() {
    for installed in postgres_majors("corrupted_page") {
        let mut ground = Ground::new(&installed, |options| options.data_checksums = Some(true)).await;
        ground.execute("CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 50000) AS n").await;
        let file = ground.value("SELECT pg_catalog.pg_relation_filepath('public.t')").await;
        ground.server.shut_down(stonewal::postgres::server::Stop::Fast).await.unwrap();
        corrupt(&ground.server.data_dir().join(&file), 3);
        ground.server.restart().await.unwrap();
        ground.server.wait_writable(Duration::from_mins(1)).await.unwrap();
        let backup = ground.client().await.base_backup(&BaseBackupOptions::new("corrupt")).await.unwrap();
        let error = take(backup).await.map(|taken| taken.end).unwrap_err();
        assert_eq!(fault(&error), Fault::Checksums);
        let text = error.to_string();
        assert!(text.contains(&file) && text.contains("block 3"), "{}: {text}", installed.major);
        assert!(error.hint().unwrap().contains("damaged"));
        // Whoever wants it all the same says so.
        let mut options = BaseBackupOptions::new("unchecked");
        options.verify_checksums = false;
        take(ground.client().await.base_backup(&options).await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_that_is_not_over_has_no_receipt() {
    let Some(installed) = postgres_majors("no_receipt").pop() else { return };
    let ground = Ground::new(&installed, |_| {}).await;
    let mut backup = ground.client().await.base_backup(&BaseBackupOptions::new("cut")).await.unwrap();
    for _ in 0..100 {
        backup.next().await.unwrap();
    }
    assert!(matches!(backup.finish().unwrap_err(), Error::Incomplete { .. }));
    let refused = ground.client().await.base_backup(&BaseBackupOptions::new("x".repeat(2000))).await.unwrap_err();
    assert!(matches!(refused.error, Error::Setting { .. }));
    let mut options = BaseBackupOptions::new("slow");
    options.max_rate_kib = Some(1);
    let refused = refused.client.unwrap().base_backup(&options).await.unwrap_err();
    assert!(matches!(refused.error, Error::Replication { .. }), "{}", refused.error);
    refused.client.unwrap().identify_system().await.unwrap();
}
