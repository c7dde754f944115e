//! What is imported is what was checked, although somebody changes it between the two readings (decision 0024).

use std::path::Path;

use stonewal::store::roles::Role;

use super::world::{World, finished, names};
use crate::support::gate::Gate;

impl World {
    /// Imports, and changes a byte of a file when all has been checked and no more than a data key is about to be stored.
    async fn import_altered(&self, from: &Path, file: &Path, at: usize) {
        let gate =
            Gate::start(self.store.endpoint(), |line| line.starts_with("PUT ") && line.contains("/prod/keys/")).await;
        let mut command = self.command(Role::Writer, &format!("import base {}", from.display()));
        let child = command.env("AWS_ENDPOINT_URL_S3", gate.endpoint()).spawn().unwrap();
        gate.held(1).await;
        let whole = std::fs::read(file).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(file, bytes).unwrap();
        gate.open();
        let name = file.file_name().unwrap().to_str().unwrap();
        let ended = finished(child).await.ends(4);
        assert!(ended.stderr.contains(name) || name == "base.tar", "{ended:?}");
        let listed = self.run_as(Role::Reader, "list --json").await.good().json();
        assert_eq!(listed["backups"].as_array().unwrap().len(), 0, "{listed}");
        std::fs::write(file, whole).unwrap();
    }
}

#[tokio::test]
async fn i02_what_changes_between_the_two_readings_is_not_imported() {
    let Some(world) = World::new("altered").await else { return };
    world.sql("CREATE TABLE kept AS SELECT generate_series(1, 5000) AS n").await;
    let (plain, tars) = (world.old_base("plain", "-Fp -X stream"), world.old_base("tars", "-Ft -X stream"));
    let file = plain.join("PG_VERSION");
    world.import_altered(&plain, &file, 0).await;
    // Behind the page headers, where only the whole content tells.
    let segment = names(&plain.join("pg_wal")).into_iter().find(|name| name.len() == 24).unwrap();
    world.import_altered(&plain, &plain.join("pg_wal").join(segment), 5000).await;
    let middle = std::fs::metadata(tars.join("base.tar")).unwrap().len() / 2;
    world.import_altered(&tars, &tars.join("base.tar"), usize::try_from(middle).unwrap()).await;
    world.run_as(Role::Writer, &format!("import base {}", plain.display())).await.good();
}
