//! Keys that are missing, wrong, or somebody else's.

use std::os::unix::fs::PermissionsExt as _;

use stonewal::store::roles::Role;

use super::world::{PASSPHRASE, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_the_right_keys_writes_nothing() {
    let Some(world) = World::new("keys").await else { return };
    let before = world.objects("").await.len();
    let run = |line| world.stonewal(line).unset("STONEWAL_KEYS_WRITER_FILE");
    let missing = "
error: there is neither a passphrase nor a writer file

hint: set BACKUP_PASSPHRASE, or keys.passphrase_file or keys.writer_file to a file that only you may read";
    run("backup dump").end().await.is(2, missing);
    let wrong = "
error: the passphrase does not open the identity bundle

hint: check BACKUP_PASSPHRASE (a trailing newline counts); the recovery file made by `stonewal init` opens every backup without it";
    let wrong_passphrase = "not the SENTINEL-passphrase";
    run("backup dump").env("BACKUP_PASSPHRASE", wrong_passphrase).end().await.is(4, wrong);
    run("init").role(&world, Role::Admin).env("BACKUP_PASSPHRASE", wrong_passphrase).end().await.is(4, wrong);
    run("restore dump --to-stdout").env("BACKUP_PASSPHRASE", wrong_passphrase).end().await.is(4, wrong);

    std::fs::write(world.path("open"), PASSPHRASE).unwrap();
    std::fs::set_permissions(world.path("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = "
error: open holds a secret and may be read by others (mode 0644)

hint: chmod 600 open";
    run("backup dump --passphrase-file open").end().await.is(2, open);
    std::fs::set_permissions(world.path("home/writer"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = "
error: [DIR]/home/writer holds a secret and may be read by others (mode 0640)

hint: chmod 600 [DIR]/home/writer";
    world.stonewal("backup dump").end().await.is(2, open);
    std::fs::set_permissions(world.path("home/writer"), std::fs::Permissions::from_mode(0o600)).unwrap();

    assert_eq!(world.objects("").await.len(), before, "nothing was written");
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_file_of_another_repository_or_a_damaged_one_is_refused() {
    let Some(world) = World::new("writer_files").await else { return };
    let other = |line| {
        let run = world.stonewal(line).unset("STONEWAL_KEYS_WRITER_FILE").role(&world, Role::Admin);
        run.env("BACKUP_PASSPHRASE", PASSPHRASE).env("STONEWAL_REPOSITORY", "s3://backups/other")
    };
    let made = other("init").end().await;
    made.is_warned("there is one recipient only");
    other("keys writer --name db2 --out home/other").end().await.good();
    let before = world.objects("").await.len();
    let foreign = "
error: the keys are for repository [..], but the bucket holds another one: [..]

hint: use the keys of this repository, or another prefix";
    world.stonewal("backup dump --writer-file home/other").end().await.is(1, foreign);

    let writer = std::fs::read_to_string(world.path("home/writer")).unwrap();
    let cut = &writer[..writer.len() / 2];
    std::fs::write(world.path("home/cut"), cut).unwrap();
    std::fs::set_permissions(world.path("home/cut"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let damaged = "
error: home/cut: writer file: [..]

hint: `stonewal keys writer` writes writer files, `stonewal init --recovery-file` recovery files";
    world.stonewal("backup dump --writer-file home/cut").end().await.is(2, damaged);
    assert_eq!(world.objects("").await.len(), before, "nothing was written");
    world.unchanged().await;
}
