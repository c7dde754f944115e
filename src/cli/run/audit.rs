//! Audit records around the commands that touch what is stored.

use std::cell::{OnceCell, RefCell};
use std::fmt::Display;

use super::Run;
use crate::cli::Exit;
use crate::cli::failure::{Failure, Result};
use crate::cli::resolve::{self, Recording};
use crate::commands::audit::{Deed, Ending, Recorder, recordable};
use crate::commands::parts::{ClusterName, Thaw};
use crate::commands::{self, Which};
use crate::config::AuditMode;
use crate::observe::chain;

/// What is recorded of a command. Named before it begins as far as it is known, and added to while more becomes known.
#[derive(Debug)]
pub(super) struct Notes {
    deed: RefCell<Deed>,
    record: OnceCell<commands::parts::AuditId>,
}

impl Notes {
    /// Of the deed with this name: lower-case words with dots between them, such as `backup.dump`.
    pub(super) fn of(name: &'static str) -> Self {
        Self { deed: RefCell::new(Deed::named(name)), record: OnceCell::new() }
    }

    /// The cluster.
    pub(super) fn cluster(mut self, cluster: &ClusterName) -> Self {
        self.deed.get_mut().cluster = Some(cluster.clone());
        self
    }

    /// The backup that was asked for by its id.
    pub(super) fn chosen(self, which: &Which) -> Self {
        match which {
            Which::Id(id) => self.with("backup", id),
            Which::Latest => self,
        }
    }

    /// One more object, known beforehand.
    pub(super) fn with(self, kind: &'static str, name: impl Display) -> Self {
        self.object(kind, name);
        self
    }

    /// How archive tiers are asked, if they are: that is billed.
    pub(super) fn thawing(self, thaw: Option<Thaw>) -> Self {
        match thaw {
            Some(Thaw { days, retrieval }) => self.with("thaw", format!("{retrieval} for {days} days")),
            None => self,
        }
    }

    /// One more object: `backup` and its id, `database` and its URL without a password, `directory`, `file`, `writer`.
    pub(super) fn object(&self, kind: &'static str, name: impl Display) {
        self.deed.borrow_mut().object(kind, &name.to_string());
    }

    /// How much of something there was, such as `stored_bytes`.
    pub(super) fn number(&self, name: &'static str, number: u64) {
        self.deed.borrow_mut().numbers.insert(name, number);
    }

    /// How much of it there was.
    pub(super) fn counts(&self, name: &'static str) -> u64 {
        self.deed.borrow().numbers.get(name).copied().unwrap_or(0)
    }

    /// The record that says that it began, by which incident notes name it; `None` where none is wanted or could be written.
    pub(super) fn record(&self) -> Option<commands::parts::AuditId> {
        self.record.get().cloned()
    }

    fn read(&self) -> Deed {
        self.deed.borrow().clone()
    }
}

/// Who writes the records of this run.
enum Scribe {
    /// None are wanted, or there is no repository to put them into.
    Nobody,
    /// They are wanted, and no key here can sign one.
    Unable,
    /// One that may have begun.
    Ready(Box<Recorder>),
}

impl Run<'_> {
    /// Runs `job` between two audit records: one before it begins, one when it has ended, well or not. For every command that
    /// creates, reads, restores, extends, holds, deletes or rotates what is stored; not for dry runs, plans and listings.
    ///
    /// `notes` says what is done, as far as that is known by now; the job adds to it (ids of backups it made or chose, sizes).
    /// Nothing secret may go into it, nor anything that a database said.
    ///
    /// A record that cannot be written is a warning, and exit code 3 where it would be 0: something is to be mended. Where no key
    /// can sign one, as with nothing but a recovery file, that is told too, and the exit code is the job's own. With
    /// `audit.mode = "required"` the job does not even begin without its first record.
    ///
    /// ```ignore
    /// self.audited(Notes::of("backup.dump").cluster(&cluster), async |notes| {
    ///     let outcome = self.in_good_order(&progress, job).await?;
    ///     notes.object("backup", &outcome.backup);
    ///     notes.number("stored_bytes", outcome.stored_bytes);
    ///     Ok(self.screen.deliver(&outcome))
    /// })
    /// .await
    /// ```
    pub(super) async fn audited(&self, notes: Notes, job: impl AsyncFnOnce(&Notes) -> Result<Exit>) -> Result<Exit> {
        let begun = tokio::select! {
            biased;
            () = self.cancel().cancelled() => return Err(commands::Error::Interrupted.into()),
            begun = Box::pin(self.begin(&notes)) => begun,
        };
        let missing = match &begun {
            Ok(Scribe::Unable) => Some(chain(&commands::Error::NoAudit { why: resolve::UNSIGNED.into() })),
            Ok(_) => None,
            Err(why) => Some(chain(why)),
        };
        if let (AuditMode::Required, Some(why)) = (self.settings.audit.mode, missing) {
            return Err(commands::Error::NotAudited { why }.into());
        }
        let done = Box::pin(job(&notes)).await;
        let unrecorded = match begun {
            Ok(Scribe::Nobody) => None,
            Ok(Scribe::Unable) => return self.told_unsigned(done),
            Ok(Scribe::Ready(recorder)) => Box::pin(self.end(*recorder, &notes, &done)).await.err(),
            Err(why) => Some(why),
        };
        self.told(done, unrecorded)
    }

    /// Records what was done before there was a place for a record, or before it was known that there was something to record.
    pub(super) async fn audited_afterwards(&self, notes: Notes, exit: Exit) -> Result<Exit> {
        let recorded = async {
            match Box::pin(self.recorder()).await? {
                Scribe::Ready(recorder) => Box::pin(self.end(*recorder, &notes, &Ok(exit))).await,
                Scribe::Nobody | Scribe::Unable => Ok(()),
            }
        };
        let unrecorded = recorded.await.err();
        self.told(Ok(exit), unrecorded)
    }

    async fn recorder(&self) -> Result<Scribe> {
        let options = match resolve::recording(self.settings)? {
            Recording::Off => return Ok(Scribe::Nobody),
            Recording::Unsigned => return Ok(Scribe::Unable),
            Recording::To(options) => options,
        };
        let recorder = Box::pin(Recorder::open(*options)).await?;
        Ok(recorder.map_or(Scribe::Nobody, |recorder| Scribe::Ready(Box::new(recorder))))
    }

    async fn begin(&self, notes: &Notes) -> Result<Scribe> {
        let mut scribe = self.recorder().await?;
        if let Scribe::Ready(recorder) = &mut scribe {
            let id = recorder.begin(&notes.read()).await?;
            let _ = notes.record.set(id);
        }
        Ok(scribe)
    }

    async fn end(&self, mut recorder: Recorder, notes: &Notes, done: &Result<Exit>) -> Result<()> {
        let ending = match done {
            Ok(exit) => Ending { exit: exit.code(), error: None },
            Err(_) if self.cancel().is_cancelled() => {
                Ending { exit: Exit::Interrupted.code(), error: Some("interrupted".into()) }
            }
            Err(failure) => Ending { exit: failure.exit().code(), error: Some(words(failure)) },
        };
        Ok(recorder.end(&notes.read(), &ending).await?)
    }

    /// Whoever has nothing but a recovery file can change nothing about that, least of all while a restore is under way.
    fn told_unsigned(&self, done: Result<Exit>) -> Result<Exit> {
        if done.is_ok() {
            self.screen.say(&format!("warning: this is not in the audit log: {}", resolve::UNSIGNED));
        }
        done
    }

    fn told(&self, done: Result<Exit>, unrecorded: Option<Failure>) -> Result<Exit> {
        let Some(why) = unrecorded else { return done };
        if done.is_err() && self.settings.audit.mode == AuditMode::On {
            // One reason is enough; that it began is recorded, or could not be either.
            return done;
        }
        let why = chain(&why);
        let why = why.strip_prefix("no audit record: ").unwrap_or(&why);
        let why = match &self.settings.from_replica {
            Some(name) => format!("replica {name} is read alone, and the repository takes no record: {why}"),
            None => why.to_owned(),
        };
        self.screen.say(&format!("warning: this is not in the audit log: {why}"));
        done.map(|exit| if exit == Exit::Done { Exit::Warnings } else { exit })
    }
}

/// A failure in words that a record may hold.
fn words(failure: &Failure) -> String {
    match failure {
        Failure::Command(error) => recordable(error),
        Failure::System { .. } => "the system refused what every run needs".into(),
        _ => "the arguments or the configuration are wrong".into(),
    }
}
