//! Some tables of a dump, and nothing else of it.
//!
//! The stream is read twice: its beginning, to know what there is before anything is asked for or sent, and then as a whole.
//! Although little of it is passed on, everything is read and authenticated before the COMMIT, as in any other restore.

use std::collections::HashSet;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::database::{collation_warning, commit, psql, recorded, restrict};
use super::file::Staged;
use super::{DatabaseTarget, Job, Outcome, RestoreTarget, RestoredTable};
use crate::commands::backup_dump::DUMP_STREAM;
use crate::commands::repository::interruptible;
use crate::commands::{Error, Result};
use crate::observe::{Phase, Progress};
use crate::postgres::load::Load;
use crate::postgres::programs::Program;
use crate::postgres::rows::TableName;
use crate::postgres::tables::{Form, Need, Outline, Picked, Picker, Piece, Rename, Selection};
use crate::postgres::target::version_warning;
use crate::postgres::{self, Session};

/// Which tables, and how.
#[derive(Debug, Default)]
pub struct Tables {
    /// Their names.
    pub names: Vec<TableName>,
    /// Their rows alone, into tables that are there and empty.
    pub data_only: bool,
    /// Another name for the one table that is asked for; in its schema, if none is given.
    pub rename: Option<(Option<String>, String)>,
}

pub(super) async fn restore(job: &Job<'_>, tables: Tables, target: RestoreTarget) -> Result<Outcome> {
    let selection = outline(job).await?.choose(&tables.names)?;
    let form = Form { definition: !tables.data_only, rename: rename(&selection, tables.rename)? };
    let mut work = Work {
        job,
        selection,
        form,
        session: None,
        imported: false,
        dropped: HashSet::new(),
        left_out: Vec::new(),
        warnings: Vec::new(),
    };
    match target {
        RestoreTarget::Plan => Ok(job.outcome(String::new(), 0)),
        RestoreTarget::Database(target) => work.load_into(*target).await,
        RestoreTarget::File { path, .. } => {
            let mut staged = Staged::beside(&path)?;
            let mut out = Out::Writer { writer: staged.writer(), bytes: 0 };
            let picked = work.pick(&mut out).await;
            let bytes = out.finish().await;
            let (picked, bytes) = (picked.map_err(|e| staged.named(e))?, bytes.map_err(|e| staged.named(e))?);
            staged.publish().await?;
            Ok(work.outcome(path.display().to_string(), bytes, picked))
        }
        RestoreTarget::Writer { mut writer, .. } => {
            let mut out = Out::Writer { writer: &mut *writer, bytes: 0 };
            let picked = work.pick(&mut out).await?;
            let bytes = out.finish().await?;
            Ok(work.outcome("-".into(), bytes, picked))
        }
    }
}

/// What stands before the first rows; the rest of the stream is not fetched yet.
async fn outline(job: &Job<'_>) -> Result<Outline> {
    let mut reader = job.reader_seen_by(DUMP_STREAM, &Progress::new())?;
    let mut outline = Outline::default();
    while let Some(plain) = job.next(&mut reader).await? {
        if outline.push(&plain)? {
            break;
        }
    }
    Ok(outline)
}

/// The new name of the one table, if that is possible.
fn rename(selection: &Selection, to: Option<(Option<String>, String)>) -> Result<Option<Rename>> {
    let Some((schema, table)) = to else { return Ok(None) };
    let mut named = selection.named.iter();
    let (Some(from), None) = (named.next(), named.next()) else {
        return Err(Error::Usage("--as gives a new name to one table".into()));
    };
    if let Some((heir, parent)) = selection.inherited.first() {
        let what = format!("{heir} inherits from {parent}: whoever reads {parent} would see the rows of the copy too");
        let way_out = "restore it into another database, without --as".into();
        return Err(postgres::Error::NotPicked { what, way_out }.into());
    }
    let schema = schema.unwrap_or_else(|| from.schema.clone());
    Ok(Some(Rename { from: from.clone(), to: TableName { schema, table } }))
}

/// One restore of tables.
struct Work<'a> {
    job: &'a Job<'a>,
    selection: Selection,
    form: Form,
    /// Looks at the target meanwhile; none if there is no target to look at.
    session: Option<Session>,
    imported: bool,
    /// Parts that were left out, by name.
    dropped: HashSet<String>,
    left_out: Vec<String>,
    warnings: Vec<String>,
}

/// Where the SQL goes.
enum Out<'a> {
    Load(&'a mut Load),
    Writer { writer: &'a mut (dyn AsyncWrite + Send + Unpin), bytes: u64 },
}

impl Out<'_> {
    async fn write(&mut self, sql: &[u8]) -> Result<()> {
        match self {
            Self::Load(load) => Ok(load.write(sql).await?),
            Self::Writer { writer, bytes } => {
                writer.write_all(sql).await.map_err(|error| super::write_failed(*bytes, &error))?;
                *bytes += sql.len() as u64;
                Ok(())
            }
        }
    }

    /// Bytes written, all of them.
    async fn finish(self) -> Result<u64> {
        let Self::Writer { writer, bytes } = self else { return Ok(0) };
        writer.flush().await.map_err(|error| super::write_failed(bytes, &error))?;
        Ok(bytes)
    }
}

impl Work<'_> {
    async fn load_into(&mut self, target: DatabaseTarget) -> Result<Outcome> {
        let job = self.job;
        let (session, program) = interruptible(job.cancel, Box::pin(self.check(target))).await?;
        let (info, database) = (session.info().clone(), session.info().redacted());
        self.session = Some(session);
        job.progress.set_phase(Phase::Streaming);
        let mut load = Load::start(&info, &program, job.cancel).await?;
        let picked = match self.load(&mut load).await {
            Ok(picked) => picked,
            Err(error) => {
                load.abort().await;
                return Err(error);
            }
        };
        let receipt = commit(load, job.progress, job.cancel).await?;
        Ok(self.outcome(database, receipt.bytes(), picked))
    }

    async fn load(&mut self, load: &mut Load) -> Result<Picked> {
        if self.imported {
            load.lock().await?;
        }
        self.pick(&mut Out::Load(load)).await
    }

    /// Looks at the target; changes nothing.
    async fn check(&mut self, target: DatabaseTarget) -> Result<(Session, Program)> {
        let recorded = recorded(self.job).await?;
        let session = Session::connect(&target.info, "stonewal restore check").await?;
        for table in &self.selection.tables {
            let name = self.form.rename.as_ref().map_or_else(|| table.clone(), |rename| rename.apply(table));
            self.check_place(&session, &name).await?;
        }
        for (heir, parent) in self.selection.inherited.iter().filter(|_| self.form.definition) {
            if !session.has_table(parent).await? {
                let what = format!("{heir} inherits from {parent}, which the target has not");
                let way_out = format!("restore both: --table {heir} --table {parent}");
                return Err(postgres::Error::NotPicked { what, way_out }.into());
            }
        }
        let (needs_restrict, why) = restrict(&recorded);
        let program = psql(&session, &target.programs, needs_restrict, &why).await?;
        self.imported = recorded.imported.is_some();
        self.warnings.extend(version_warning(recorded.server_version_num / 10_000, session.major()));
        self.warnings.extend(collation_warning(&session, &recorded).await?);
        target.confirm.demand(&session.info().redacted())?;
        Ok((session, program))
    }

    /// A table to be created must not be there; one that gets rows must be there, and empty.
    async fn check_place(&self, session: &Session, name: &TableName) -> Result<()> {
        let refuse =
            |what: String, way_out: &str| Err(postgres::Error::NotPicked { what, way_out: way_out.into() }.into());
        let there = session.has_table(name).await?;
        match (self.form.definition, there) {
            (true, true) => refuse(
                format!("the target has {name} already; nothing is written over"),
                "give the copy another name with --as, or restore into another database",
            ),
            (true, false) if !session.has_schema(&name.schema).await? => {
                refuse(format!("the target has no schema {}", name.schema), "create it first: CREATE SCHEMA")
            }
            (false, false) => {
                refuse(format!("the target has no {name} to put the rows into"), "leave out --data-only to create it")
            }
            (false, true) if session.has_rows(name).await? => refuse(
                format!("{name} is not empty: its rows would be mixed with those of the backup"),
                "restore beside it with --as, and compare",
            ),
            _ => Ok(()),
        }
    }

    /// Everything but the COMMIT.
    async fn pick(&mut self, out: &mut Out<'_>) -> Result<Picked> {
        let job = self.job;
        let mut picker = Picker::new(self.selection.clone(), self.form.clone());
        let mut reader = job.reader(DUMP_STREAM)?;
        while let Some(plain) = job.next(&mut reader).await? {
            for piece in picker.push(&plain)? {
                if let Some(sql) = self.keep(piece).await? {
                    out.write(&sql).await?;
                }
            }
        }
        let _receipt = reader.finish()?;
        let done = picker.finish()?;
        self.look_for_rows(&done)?;
        out.write(done.sequences.as_bytes()).await?;
        Ok(done)
    }

    /// The SQL of a piece, unless the target lacks something that it needs.
    async fn keep(&mut self, piece: Piece) -> Result<Option<Vec<u8>>> {
        let (sql, part, needs) = match piece {
            Piece::Sql(sql) => return Ok(Some(sql)),
            Piece::Needy { sql, part, needs } => (sql, part, needs),
        };
        // Said once, however many statements it takes.
        if self.dropped.contains(&part) {
            return Ok(None);
        }
        for need in needs {
            let lack = match (&need, &self.session) {
                (Need::Kept(other), _) if self.dropped.contains(other) => return Ok(None),
                (Need::Never(why), _) => {
                    self.left_out.push(format!("{part}: {why}"));
                    self.dropped.insert(part);
                    return Ok(None);
                }
                (Need::Elsewhere(why), _) => Some(why.clone()),
                (_, Some(session)) => session.lacks(&need).await?,
                (_, None) => None,
            };
            if let Some(lack) = lack {
                self.warnings.push(format!("{part} is left out: {lack}"));
                self.dropped.insert(part);
                return Ok(None);
            }
        }
        Ok(Some(sql.into_bytes()))
    }

    /// A dump may hold the definition of a table and none of its rows.
    fn look_for_rows(&mut self, picked: &Picked) -> Result<()> {
        for (name, _) in picked.tables.iter().filter(|(_, rows)| rows.is_none()) {
            let what = format!("the backup holds the definition of {name} and none of its rows");
            if !self.form.definition {
                let way_out =
                    "they were left out when it was taken (dump.exclude_table_data), or it had no partition; use another backup".into();
                return Err(postgres::Error::NotPicked { what, way_out }.into());
            }
            self.warnings.push(what);
        }
        Ok(())
    }

    fn outcome(&mut self, target: String, bytes: u64, picked: Picked) -> Outcome {
        let mut outcome = self.job.outcome(target, bytes);
        let restored = picked.tables.into_iter().map(|(name, rows)| RestoredTable { name: name.to_string(), rows });
        outcome.tables = restored.collect();
        outcome.left_out = std::mem::take(&mut self.left_out);
        outcome.warnings = std::mem::take(&mut self.warnings);
        outcome
    }
}
