//! A base backup of a whole cluster, as tar archives (PostgreSQL docs 55.4, `BASE_BACKUP`).

use std::time::Duration;

use super::super::{Error, Result};
use super::client::{Client, Refused};
use super::failure::Failure;
use super::server_message::Notice;
use crate::format::{Lsn, Timeline};
use crate::limits::BASE_BACKUP_SILENCE_SECONDS;
use crate::pipeline::stage::SourceReceipt;

mod command;
pub mod core;

use self::core::{BaseCore, BaseStep, Style};
pub use command::{BaseBackupOptions, ManifestChecksums};
pub use core::{BaseEvent, Tablespace};

impl Client {
    /// Starts a base backup and reads up to its first byte: the checkpoint, which may take minutes if it is not a fast
    /// one, is over then. Drop the future to give up.
    pub async fn base_backup(mut self, options: &BaseBackupOptions) -> Result<BaseBackup, Refused> {
        let style = if self.server_version_num() < 150_000 { Style::CopyPerArchive } else { Style::OneCopy };
        if options.label.contains('\0') || options.label.len() > 1023 {
            let what = "is longer than 1023 bytes, or holds a zero byte".into();
            return Err(self.refused(Error::Setting { name: "label of the base backup".into(), what }));
        }
        let command = options.command(self.server_version_num());
        if let Err(error) = self.send(&command).await {
            return Err(self.refused(error));
        }
        let core = BaseCore::new(style, options.manifest.is_some());
        let mut backup = BaseBackup { client: self, core, silence: Duration::from_secs(BASE_BACKUP_SILENCE_SECONDS) };
        loop {
            match backup.step().await {
                Ok(BaseStep::Begun) => return Ok(backup),
                Ok(_) => {}
                Err(error) => return Err(backup.client.refused(error)),
            }
        }
    }
}

/// A running base backup. Dropping it closes the connection, and the server gives up.
#[derive(Debug)]
pub struct BaseBackup {
    client: Client,
    core: BaseCore,
    silence: Duration,
}

/// How a base backup ended: with the proof that it is whole.
#[derive(Debug)]
pub struct BaseEnd {
    /// One receipt per archive, in the order of [`BaseBackup::tablespaces`]. All of them or none are earned.
    pub archives: Vec<SourceReceipt>,
    /// That of the server's manifest, if one was asked for.
    pub manifest: Option<SourceReceipt>,
    /// Recovery must reach this position before the cluster is consistent.
    pub stop_lsn: Lsn,
    /// Timeline of that position.
    pub timeline: Timeline,
    /// What the server had to say on the way.
    pub notices: Vec<Notice>,
    /// The connection, ready for the next command.
    pub client: Client,
}

impl BaseBackup {
    /// Where recovery begins.
    pub fn start_lsn(&self) -> Lsn {
        self.core.start().map_or(Lsn::default(), |(lsn, _)| lsn)
    }

    /// The timeline it begins on.
    pub fn timeline(&self) -> Result<Timeline> {
        self.core.start().map(|(_, timeline)| timeline).ok_or_else(|| self.unfinished())
    }

    /// The tablespaces, in the order of their archives; the data directory is the last of them.
    pub fn tablespaces(&self) -> &[Tablespace] {
        self.core.tablespaces()
    }

    /// How long the server may be silent while it sends archives before the connection counts as dead.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// The next event. Cancel-safe. After [`BaseEvent::End`] call [`BaseBackup::finish`].
    ///
    /// While the server waits for WAL to be archived, at the end, it may be silent for long: watch it by another
    /// connection.
    pub async fn next(&mut self) -> Result<BaseEvent> {
        if self.core.is_complete() {
            return Ok(BaseEvent::End);
        }
        loop {
            if let BaseStep::Event(event) = self.step().await? {
                return Ok(event);
            }
        }
    }

    /// The receipts, and the position from which the backup is consistent. Only after [`BaseEvent::End`]: the copies were
    /// done, the stop position was read, and the server said that the command succeeded.
    pub fn finish(mut self) -> Result<BaseEnd> {
        let Some((stop_lsn, timeline)) = self.core.stop().filter(|_| self.core.is_complete()) else {
            return Err(self.unfinished());
        };
        self.client.in_step();
        Ok(BaseEnd {
            archives: self.core.archive_bytes().iter().copied().map(SourceReceipt::earned).collect(),
            manifest: self.core.manifest_bytes().map(SourceReceipt::earned),
            stop_lsn,
            timeline,
            notices: self.core.take_notices(),
            client: self.client,
        })
    }

    fn unfinished(&self) -> Error {
        Error::Incomplete { program: "BASE_BACKUP".into(), bytes: self.core.archive_bytes().iter().sum() }
    }

    async fn step(&mut self) -> Result<BaseStep> {
        let reader = &mut self.client.link().reader;
        let message = if self.core.is_copying() { reader.next_within(self.silence).await } else { reader.next().await };
        let step = match message {
            Ok(Some(message)) => self.core.on(message).map_err(|e| self.client.malformed(&e))?,
            Ok(None) => {
                let lost = self.client.link().reader.lost("the server closed it");
                return Err(self.core.on_end().map_or(lost, |step| self.failure(step)));
            }
            // The last words before the end say more than the end.
            Err(lost @ Error::Lost { .. }) => return Err(self.core.on_end().map_or(lost, |step| self.failure(step))),
            Err(error) => return Err(error),
        };
        if matches!(step, BaseStep::Failed(_)) {
            self.client.in_step();
            return Err(self.failure(step));
        }
        Ok(step)
    }

    fn failure(&mut self, step: BaseStep) -> Error {
        let notices = self.core.take_notices();
        match step {
            BaseStep::Failed(error) => Error::Replication {
                action: "take a base backup".into(),
                failure: Box::new(Failure::new(*error, notices)),
            },
            _ => self.unfinished(),
        }
    }
}
