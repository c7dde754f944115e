//! The quick start of README.md, run as it is printed there: what a new user types works.

use std::process::Stdio;

use secrecy::ExposeSecret as _;
use stonewal::store::roles::Role;
use tokio::process::Command;

use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_works_as_it_is_printed() {
    let Some(world) = World::new("readme").await else { return };
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("## Quick start").nth(1).unwrap().split("\n`stonewal COMMAND --help`").next().unwrap();
    let lines: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let commands = lines.iter().filter(|line| line.starts_with("stonewal ")).count();
    assert!(commands >= 6 && lines.len() >= commands + 3, "the quick start was found: {lines:?}");
    for sql in [
        "CREATE ROLE backup SUPERUSER LOGIN",
        "CREATE ROLE admin SUPERUSER LOGIN",
        "CREATE DATABASE app_restored TEMPLATE template0",
    ] {
        world.fixture.server.execute("postgres", sql).await.unwrap();
    }
    // The hosts of the example are all this one; AWS is the embedded store, where an administrator has made the bucket and
    // the user may do what the table of permissions grants to a writer.
    let credentials = world.store.credentials(Role::Writer).unwrap();
    let bucket = world.stonewal("init --repository s3://my-backups/elsewhere").role(&world, Role::Admin);
    let bucket = bucket.unset("STONEWAL_KEYS_WRITER_FILE").env("BACKUP_PASSPHRASE", super::world::PASSPHRASE);
    bucket.end().await.is_warned("there is one recipient only");
    let mut script = String::from("trap '' EXIT\n");
    for line in &lines {
        script.push_str(line);
        script.push_str("\ncode=$?; [ $code = 0 ] || echo \"exit code $code: \" '");
        script.push_str(&line.replace('\'', ""));
        script.push_str("'\n");
    }
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_stonewal")).parent().unwrap();
    let output = Command::new("/bin/sh")
        .args(["-u", "-c", &script])
        .env_clear()
        .current_dir(world.path(""))
        .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
        .env("HOME", world.home())
        .env("PGHOSTADDR", "127.0.0.1")
        .env("PGPORT", world.fixture.server.port().to_string())
        .env("AWS_ENDPOINT_URL_S3", world.store.endpoint())
        .env("AWS_REGION", world.store.region())
        .env("AWS_ACCESS_KEY_ID", credentials.access_key)
        .env("AWS_SECRET_ACCESS_KEY", credentials.secret_key.expose_secret())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let odd: Vec<&str> = out.lines().filter(|line| line.starts_with("exit code ")).collect();
    assert!(odd.is_empty(), "{odd:?}\n{out}\n{err}");
    for text in ["is complete", "1 of 1 backup whole as far as level decrypt can tell", "is restored"] {
        assert!(out.contains(text), "{text:?} is missing in\n{out}\n{err}");
    }
    world.assert_restored("app_restored");
}
