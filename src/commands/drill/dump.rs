//! A dump: into a new server, as a restore would do it.

use super::measure::Restored;
use super::record::Record;
use super::workplace::Workplace;
use super::{Job, room, settings};
use crate::catalog::Backup;
use crate::commands::repository::interruptible;
use crate::commands::restore_dump::{self, Confirm, DatabaseTarget};
use crate::commands::{Error, Result, facts};
use crate::format::manifest::{DatabaseFact, DumpFacts};
use crate::postgres::Session;
use crate::postgres::programs::Search;
use crate::postgres::server::{Server, ServerOptions, loading_programs};

/// Databases that every server has.
const TAKEN: [&str; 3] = ["postgres", "template0", "template1"];

impl Job<'_> {
    pub(super) async fn restore_dump(
        &self,
        backup: &Backup,
        record: &mut Record,
        workplace: &mut Option<Workplace>,
    ) -> Result<Restored> {
        let sealing = Box::pin(self.repository.sealed_part(&backup.manifest));
        let recorded = interruptible(self.cancel, async { Ok(sealing.await?) }).await?.dump;
        let no_dump = || Error::NoStream { backup: backup.clear().backup.to_string(), stream: "dump" };
        let recorded = recorded.ok_or_else(no_dump)?;
        let chosen = self.options.programs.chosen.as_deref();
        let bin_dir = loading_programs(recorded.server_version_num / 10_000, chosen).await?;
        let needed = room::of_dump(&recorded, backup.clear().plain_bytes());
        let place = workplace.insert(self.make_place(record, needed)?);

        record.enter("ready");
        let mut options = ServerOptions::new(place.path("server"));
        options.bin_dir = Some(bin_dir.clone());
        options.tcp = false;
        options.fsync = true;
        options.settings = settings::modest(&self.options.limits);
        let server = interruptible(self.cancel, async { Ok(Server::start(&options).await?) }).await?;
        record.reniced(server.renice(self.options.limits.nice));
        let preparing = Box::pin(self.prepare(&server, backup, &recorded, record));
        let database = interruptible(self.cancel, preparing).await?;

        record.enter("fetch");
        (self.tell)(format!("restoring dump {} into database {database}", backup.clear().backup));
        let own = bin_dir.join("psql").is_file();
        let programs = Search { chosen: own.then_some(bin_dir), path: self.options.programs.path.clone() };
        let target = DatabaseTarget {
            info: server.socket_conninfo(&database)?,
            programs,
            confirm: Confirm::Given,
            globals: true,
        };
        let with = (self.progress, self.cancel);
        let loading = restore_dump::load((self.repository, backup), target, self.options.limits.downloads, with);
        let outcome = Box::pin(loading).await?;
        record.loaded(&outcome, (backup, &recorded), &server_version(&server, &database).await?);
        let name = recorded.database.name.clone();
        Ok(Restored { server, database, name, recorded: recorded.into() })
    }

    /// The database, and the tablespaces that its dump names: each a directory of the server's.
    async fn prepare(
        &self,
        server: &Server,
        backup: &Backup,
        recorded: &DumpFacts,
        record: &mut Record,
    ) -> Result<String> {
        let session = Session::connect(&server.socket_conninfo("postgres")?, "stonewal drill").await?;
        let with = (self.progress, self.cancel);
        let missing = restore_dump::missing_tablespaces((self.repository, backup), &session, with).await?;
        drop(session);
        for (number, name) in missing.iter().enumerate() {
            let dir = server.make_dir(&format!("space{number}"))?;
            server.create_tablespace(name, &dir).await?;
        }
        let (database, warning) = create_database(server, &recorded.database).await?;
        record.warnings.extend(warning);
        Ok(database)
    }
}

/// As the source made it; where this host does not know how it sorts, in the C locale, and that is said.
async fn create_database(server: &Server, fact: &DatabaseFact) -> Result<(String, Option<String>)> {
    let name = if TAKEN.contains(&fact.name.as_str()) { "stonewal_drill" } else { &fact.name };
    let mut like = facts::database_facts(fact);
    let Err(refused) = server.execute("postgres", &like.create_sql(name)).await else {
        return Ok((name.to_owned(), None));
    };
    let warning = format!(
        "this host does not sort as the source did ({} / {}); the drill used the C locale: {refused}",
        like.collate, like.ctype
    );
    (like.collate, like.ctype, like.icu_locale) = ("C".into(), "C".into(), None);
    server.execute("postgres", &like.create_sql(name)).await?;
    Ok((name.to_owned(), Some(warning)))
}

async fn server_version(server: &Server, database: &str) -> Result<String> {
    let session = Session::connect(&server.socket_conninfo(database)?, "stonewal drill").await?;
    Ok(session.server_version().await?)
}
