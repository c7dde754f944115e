//! `--json`: one document on standard output, whatever happens, with the fields that scripts rely on.

use stonewal::store::roles::Role;

use super::world::{PASSPHRASE, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_one_document() {
    let Some(world) = World::new("json").await else { return };
    world.target("target").await;
    let backup = "backup cluster source plain_bytes stored_bytes chunks counted digested lock manifest warnings";
    let read = format!("{backup} read_back");
    let restored = "backup target plain_bytes roles_created roles_left_alone warnings findings";
    let opened = "location repository created_bucket created_repository bundle recipients root_writer recovery_file lifecycle warnings";
    for (line, fields) in [
        ("backup dump", backup),
        ("backup dump --verify-after-upload", read.as_str()),
        ("list", "location cluster others backups findings"),
        ("show", "manifest version arrived_at lock copy_of writer clear sealed findings"),
        ("verify --level checksum", "level backups beside"),
        ("doctor", "checks canaries capabilities findings"),
    ] {
        let ended = world.stonewal(&format!("{line} --json")).end().await;
        assert!(matches!(ended.status.code(), Some(0 | 3)), "{line}: {}", ended.stderr);
        assert_fields(line, &ended.json(), fields);
    }
    let passphrase = |line: &str| {
        let run = world.stonewal(line).unset("STONEWAL_KEYS_WRITER_FILE").role(&world, Role::Admin);
        run.env("BACKUP_PASSPHRASE", PASSPHRASE)
    };
    assert_fields("init", &passphrase("init --json").end().await.good().json(), opened);
    let writer = passphrase("keys writer --name db3 --out home/db3 --json").end().await.good();
    assert_fields("keys writer", &writer.json(), "name writer file");
    let ended = world.restore_into("target", "--json").end().await.good();
    assert_fields("restore", &ended.json(), restored);
    let ended = world.restorer("restore dump --to-file app.sql --json").end().await.good();
    assert_fields("restore", &ended.json(), restored);
    let demo = world.stonewal("demo --json").end().await.good();
    assert_fields("demo", &demo.json(), "tables rows attacks_refused attacks_accepted findings seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_prints_one_document_too() {
    let Some(world) = World::new("json_failures").await else { return };
    let off = "http://127.0.0.1:1";
    for line in [
        "init",
        "doctor --no-probe",
        "backup dump",
        "list",
        "show",
        "verify",
        "keys writer --name a --out b",
        "restore dump --to-file x.sql",
    ] {
        let run = world.stonewal(&format!("{line} --json")).unset("STONEWAL_KEYS_WRITER_FILE");
        let run = run.env("BACKUP_PASSPHRASE", PASSPHRASE).env("STONEWAL_S3_ATTEMPTS", "1");
        let ended = run.env("AWS_ENDPOINT_URL_S3", off).end().await;
        let document = ended.json();
        assert_eq!(ended.status.code(), Some(1), "{line}: {}", ended.stderr);
        if line.starts_with("doctor") {
            assert_fields(line, &document, "checks canaries capabilities findings");
            continue;
        }
        assert_fields(line, &document, "error hint exit_code");
        assert_eq!(document["exit_code"], 1, "{line}");
        let (error, hint) = (document["error"].as_str().unwrap(), document["hint"].as_str().unwrap());
        assert_eq!(ended.stderr, format!("error: {error}\n\nhint: {hint}\n"), "{line}");
    }
    for (line, code) in [("restore dump --to-stdout --json", 2), ("list --json --nonsense", 2), ("--json", 2)] {
        let ended = world.restorer(line).end().await;
        assert_eq!(ended.status.code(), Some(code), "{line}");
        assert_fields(line, &ended.json(), "error hint exit_code");
    }
    world.unchanged().await;
}

#[track_caller]
fn assert_fields(line: &str, document: &serde_json::Value, fields: &str) {
    let mut want: Vec<&str> = fields.split(' ').collect();
    let mut got: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    want.sort_unstable();
    got.sort_unstable();
    assert_eq!(got, want, "{line}");
}
