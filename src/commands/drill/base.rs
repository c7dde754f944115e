//! A base: into a new data directory, recovered to the target by the WAL of the repository.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::measure::Restored;
use super::record::{Record, Recovered};
use super::workplace::Workplace;
use super::{Job, PATIENCE, room, settings};
use crate::commands::repository::interruptible;
use crate::commands::restore_base::{Action, How, Mapping, Planned, Target, WalSource, carry_out};
use crate::commands::restore_dump::Confirm;
use crate::commands::{Error, Result};
use crate::format::manifest::BaseFacts;
use crate::postgres::Session;
use crate::postgres::server::{OpenOptions, Server, server_programs};
use crate::verify::restored::Recorded;

/// Databases that no one means.
const NOT_MEANT: [&str; 3] = ["postgres", "template0", "template1"];

impl Job<'_> {
    pub(super) async fn restore_base(
        &self,
        planned: &Planned,
        record: &mut Record,
        workplace: &mut Option<Workplace>,
    ) -> Result<Restored> {
        let sealing = Box::pin(self.repository.sealed_part(&planned.backup.manifest));
        let facts = interruptible(self.cancel, async { Ok(sealing.await?) }).await?.base;
        let no_base = || Error::NoStream { backup: planned.plan.backup.to_string(), stream: "base" };
        let facts = facts.ok_or_else(no_base)?;
        let recorded: Vec<String> = facts.databases.iter().map(|database| database.database.clone()).collect();
        // A base that was imported does not tell: then the recovered server does.
        let database = if recorded.is_empty() { None } else { Some(self.database(&recorded)?) };
        let chosen = self.options.programs.chosen.as_deref();
        let bin_dir = server_programs(facts.server_version_num / 10_000, chosen).await?;
        let needed = room::of_base(&facts, planned.plan.wal_bytes);
        record.warnings.extend(room::doubt(self.base, needed, planned.plan.wal_bytes));
        let place = workplace.insert(self.make_place(record, needed)?);

        record.enter("fetch");
        (self.tell)(format!("restoring base {}", planned.plan.backup));
        let data = self.fetch(planned, &facts, place, record).await?;
        record.evidence.recovery_signal = Some(data.join("recovery.signal").is_file());

        record.enter("replay");
        (self.tell)(format!("replaying WAL to {}", told(&planned.plan.goal)));
        let open = self.open_options(&facts, place, &data, bin_dir)?;
        let mut server = interruptible(self.cancel, async { Ok(Server::open(&open).await?) }).await?;
        record.reniced(server.renice(self.options.limits.nice));
        let limit = self.options.limits.timeout.max(PATIENCE);
        interruptible(self.cancel, async { Ok(server.wait_writable(limit).await?) }).await?;

        record.enter("ready");
        let database = match database {
            Some(database) => database,
            None => self.database(&interruptible(self.cancel, databases(&server)).await?)?,
        };
        let name = database.clone();
        let restored = Restored { server, database, name, recorded: Recorded::default() };
        let recovered = interruptible(self.cancel, recovered(&restored)).await?;
        record.recovered(planned, facts.standby, &recovered);
        Ok(restored)
    }

    /// The one that was named; else the only one besides those that every cluster has.
    fn database(&self, all: &[String]) -> Result<String> {
        choose(self.options.database.as_deref(), all).map_err(Error::Usage)
    }

    /// The files, every tablespace in a directory of the drill's.
    async fn fetch(
        &self,
        planned: &Planned,
        facts: &BaseFacts,
        place: &Workplace,
        record: &mut Record,
    ) -> Result<PathBuf> {
        let spaces = place.folder("spaces")?;
        let mapping = |space: &crate::format::manifest::TablespaceFact| Mapping {
            from: space.location.clone(),
            to: spaces.join(space.oid.to_string()),
        };
        let target = Target {
            dir: place.path("data"),
            tablespaces: facts.tablespaces.iter().map(mapping).collect(),
            delta: false,
            confirm: Confirm::Given,
            program: self.options.program.clone(),
            aws: self.options.aws.clone(),
            programs: self.options.programs.clone(),
        };
        let how = How {
            repository: &self.options.repository,
            wal: WalSource::Repository,
            action: Action::Promote,
            archives: false,
            downloads: self.options.limits.downloads,
        };
        let with = (self.progress, self.cancel);
        let (restored, warnings) = carry_out(self.repository, planned, &how, target, with).await?;
        record.evidence.bytes = restored.bytes;
        record.evidence.wal_bytes = planned.plan.wal_bytes;
        record.warnings.extend(warnings);
        Ok(restored.dir)
    }

    fn open_options(&self, facts: &BaseFacts, place: &Workplace, data: &Path, bin_dir: PathBuf) -> Result<OpenOptions> {
        let conf = place.folder("conf")?;
        for (name, text) in [("config_file", ""), ("hba_file", settings::HBA), ("ident_file", "")] {
            let path = conf.join(name);
            let readable = fs::Permissions::from_mode(0o644);
            let written = fs::write(&path, text).and_then(|()| fs::set_permissions(&path, readable));
            written.map_err(|error| Error::File { path: path.clone(), why: error.to_string() })?;
        }
        let mut open = OpenOptions::new(data, place.path("server"));
        open.bin_dir = Some(bin_dir);
        open.user.clone_from(&self.options.user);
        open.tcp = false;
        open.session_options = Some(settings::SESSION_OPTIONS.into());
        open.settings = settings::isolated(facts, &self.options.limits, &conf);
        Ok(open)
    }
}

/// One of these databases, or why none is taken.
fn choose(named: Option<&str>, all: &[String]) -> std::result::Result<String, String> {
    if let Some(named) = named {
        if all.iter().any(|name| name == named) {
            return Ok(named.to_owned());
        }
        return Err(format!("the backup has no database {named} (drill.database); it has {}", all.join(", ")));
    }
    let meant: Vec<&str> = all.iter().map(String::as_str).filter(|name| !NOT_MEANT.contains(name)).collect();
    match meant.as_slice() {
        [] => Ok("postgres".into()),
        [one] => Ok((*one).to_owned()),
        several => Err(format!(
            "the backup has several databases ({}): name the one to check with --database (drill.database)",
            several.join(", ")
        )),
    }
}

/// The databases of a server that takes connections.
async fn databases(server: &Server) -> Result<Vec<String>> {
    let session = Session::connect(&server.socket_conninfo("postgres")?, "stonewal drill").await?;
    Ok(session.databases().await?)
}

/// What the server says of its recovery.
async fn recovered(restored: &Restored) -> Result<Recovered> {
    let session = Session::connect(&restored.info()?, "stonewal drill").await?;
    let (lsn, committed) = session.recovered_to().await?;
    Ok(Recovered {
        server_version: session.server_version().await?,
        lsn: lsn.and_then(|text| text.parse().ok()),
        committed_at: committed.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
    })
}

fn told(goal: &crate::catalog::plan::Goal) -> String {
    use crate::catalog::plan::Goal;
    match goal {
        Goal::Time(time) => time.to_string(),
        Goal::Lsn(lsn) => lsn.to_string(),
        _ => "its end".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_that_is_there_is_checked_and_never_one_of_several_by_chance() {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let choose = |named, names: &[&str]| choose(named, &all(names));
        assert_eq!(choose(None, &["postgres", "app"]).as_deref(), Ok("app"));
        assert_eq!(choose(None, &["postgres", "template1"]).as_deref(), Ok("postgres"));
        assert_eq!(choose(Some("shop"), &["postgres", "app", "shop"]).as_deref(), Ok("shop"));
        assert!(choose(None, &["app", "shop"]).is_err_and(|why| why.contains("several databases (app, shop)")));
        assert!(
            choose(Some("x"), &["app", "shop"])
                .is_err_and(|why| why.contains("no database x") && why.contains("app, shop"))
        );
    }
}
