//! A base backup, sans I/O: messages in, events out (PostgreSQL docs 55.4, `BASE_BACKUP`; before 15 as docs 14 say).

use bytes::{Buf as _, Bytes};

use super::super::server_message::{Notice, ServerMessage};
use super::super::wire::{Malformed, Message};
use crate::format::{Lsn, Timeline};
use crate::limits::{NOTICES_MAX, TABLESPACES_MAX};

/// One tablespace of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// Its OID; `None` for the data directory itself.
    pub oid: Option<u32>,
    /// Its directory on the server; empty for the data directory.
    pub location: String,
    /// Estimated size, if progress was asked for.
    pub size_bytes: Option<u64>,
}

/// What the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseEvent {
    /// A tar archive begins: of a tablespace, or (`None`) of the data directory.
    Archive {
        /// See [`Tablespace::oid`].
        oid: Option<u32>,
    },
    /// Bytes of what began last: a slice of the read buffer; copy them to keep them for long.
    Data(Bytes),
    /// The backup manifest begins.
    Manifest,
    /// Bytes that the server has read so far, its own count.
    Progress(u64),
    /// Everything was sent, and the server said that the command succeeded.
    End,
}

/// What one message led to.
#[derive(Debug, PartialEq, Eq)]
pub enum BaseStep {
    /// Nothing to tell.
    More,
    /// Start position and tablespaces are known: the data follows.
    Begun,
    /// Something to tell.
    Event(BaseEvent),
    /// The server broke off.
    Failed(Box<ServerMessage>),
}

/// How the archives come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// PostgreSQL 13 and 14: one copy per archive, the manifest last.
    CopyPerArchive,
    /// PostgreSQL 15 and newer: one copy with messages of several kinds.
    OneCopy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Tablespaces,
    /// Outside of any copy, before the last one.
    Between,
    Copy,
    Stop,
    /// The stop position was read; the command itself is to be completed.
    Closing,
    Complete,
    Ready,
    Failed,
}

/// The state of one base backup.
#[derive(Debug)]
pub struct BaseCore {
    style: Style,
    manifest_wanted: bool,
    phase: Phase,
    /// Rows of the result being read.
    rows: usize,
    start: Option<(Lsn, Timeline)>,
    stop: Option<(Lsn, Timeline)>,
    tablespaces: Vec<Tablespace>,
    /// Bytes of every archive that has begun.
    archives: Vec<u64>,
    manifest_begun: bool,
    manifest_bytes: u64,
    notices: Vec<Notice>,
    error: Option<Box<ServerMessage>>,
}

impl BaseCore {
    /// Waits for the answer to `BASE_BACKUP`.
    pub fn new(style: Style, manifest_wanted: bool) -> Self {
        Self {
            style,
            manifest_wanted,
            phase: Phase::Start,
            rows: 0,
            start: None,
            stop: None,
            tablespaces: Vec::new(),
            archives: Vec::new(),
            manifest_begun: false,
            manifest_bytes: 0,
            notices: Vec::new(),
            error: None,
        }
    }

    /// Where recovery begins, and on which timeline.
    pub fn start(&self) -> Option<(Lsn, Timeline)> {
        self.start
    }

    /// Where the backup is consistent. Known at the end.
    pub fn stop(&self) -> Option<(Lsn, Timeline)> {
        self.stop
    }

    /// The tablespaces, in the order of their archives.
    pub fn tablespaces(&self) -> &[Tablespace] {
        &self.tablespaces
    }

    /// Bytes of each archive handed out so far, in the order of the tablespaces.
    pub fn archive_bytes(&self) -> &[u64] {
        &self.archives
    }

    /// Bytes of the manifest handed out so far; `None` if none was asked for.
    pub fn manifest_bytes(&self) -> Option<u64> {
        self.manifest_wanted.then_some(self.manifest_bytes)
    }

    /// Whether everything was sent and the command succeeded.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether data is coming, so that a long silence means a dead connection.
    pub fn is_copying(&self) -> bool {
        self.phase == Phase::Copy
    }

    /// The warnings and notices so far.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes one message.
    pub fn on(&mut self, message: Message) -> Result<BaseStep, Malformed> {
        match (message, self.phase) {
            (Message::Notice(notice), _) => {
                if self.notices.len() < NOTICES_MAX {
                    self.notices.push(*notice);
                }
                Ok(BaseStep::More)
            }
            (Message::Parameter(..) | Message::Other, _) => Ok(BaseStep::More),
            (Message::Error(error), _) => {
                self.error.get_or_insert(error);
                Ok(BaseStep::More)
            }
            (Message::Ready, _) if self.error.is_some() => Ok(self.failed()),
            (Message::Columns(_), Phase::Start | Phase::Tablespaces | Phase::Between | Phase::Stop) => self.columns(),
            (Message::Row(row), Phase::Start | Phase::Tablespaces | Phase::Stop) => self.row(&row),
            (Message::Complete, _) => self.completed(),
            (Message::CopyOut, Phase::Between) => self.copy_begins(),
            (Message::CopyData(bytes), Phase::Copy) => self.data(bytes),
            (Message::CopyDone, Phase::Copy) => self.copy_ends(),
            (Message::Ready, Phase::Complete) => {
                self.phase = Phase::Ready;
                Ok(BaseStep::Event(BaseEvent::End))
            }
            (other, phase) => Err(Malformed::new(format!("{} in phase {phase:?} of a base backup", other.kind()))),
        }
    }

    /// The connection ended. `None` if nothing explains it.
    pub fn on_end(&mut self) -> Option<BaseStep> {
        self.error.is_some().then(|| self.failed())
    }

    fn failed(&mut self) -> BaseStep {
        self.phase = Phase::Failed;
        self.error.take().map_or(BaseStep::More, BaseStep::Failed)
    }

    fn columns(&mut self) -> Result<BaseStep, Malformed> {
        self.rows = 0;
        if self.phase == Phase::Between {
            self.everything_came()?;
            self.phase = Phase::Stop;
        }
        Ok(BaseStep::More)
    }

    fn row(&mut self, row: &[Option<Bytes>]) -> Result<BaseStep, Malformed> {
        self.rows += 1;
        match self.phase {
            Phase::Tablespaces if self.rows <= TABLESPACES_MAX => self.tablespaces.push(tablespace(row)?),
            Phase::Start if self.rows == 1 => self.start = Some(position(row)?),
            Phase::Stop if self.rows == 1 => self.stop = Some(position(row)?),
            _ => return Err(Malformed::new("more rows than a base backup has")),
        }
        Ok(BaseStep::More)
    }

    fn completed(&mut self) -> Result<BaseStep, Malformed> {
        self.phase = match self.phase {
            Phase::Start if self.start.is_some() => Phase::Tablespaces,
            Phase::Tablespaces if self.tablespaces.iter().filter(|space| space.oid.is_none()).count() == 1 => {
                Phase::Between
            }
            Phase::Stop if self.stop.is_some() => Phase::Closing,
            Phase::Closing => Phase::Complete,
            phase => return Err(Malformed::new(format!("the end of a command in phase {phase:?} of a base backup"))),
        };
        Ok(if self.phase == Phase::Between { BaseStep::Begun } else { BaseStep::More })
    }

    fn copy_begins(&mut self) -> Result<BaseStep, Malformed> {
        self.phase = Phase::Copy;
        match self.style {
            Style::OneCopy if !self.archives.is_empty() => Err(Malformed::new("a second copy")),
            Style::OneCopy => Ok(BaseStep::More),
            Style::CopyPerArchive if self.archives.len() == self.tablespaces.len() => self.manifest_begins(),
            Style::CopyPerArchive => self.archive_begins(self.tablespaces[self.archives.len()].oid),
        }
    }

    fn copy_ends(&mut self) -> Result<BaseStep, Malformed> {
        self.phase = Phase::Between;
        if self.style == Style::OneCopy {
            self.everything_came()?;
        }
        Ok(BaseStep::More)
    }

    fn data(&mut self, mut bytes: Bytes) -> Result<BaseStep, Malformed> {
        if self.style == Style::CopyPerArchive {
            return self.payload(bytes);
        }
        let short = |_| Malformed::new("a message of the base backup is cut short");
        match bytes.try_get_u8().map_err(short)? {
            b'n' => {
                let name = bytes.split(|byte| *byte == 0).next().and_then(|name| std::str::from_utf8(name).ok());
                self.archive_begins(archive_oid(name.unwrap_or_default())?)
            }
            b'm' => self.manifest_begins(),
            b'd' => self.payload(bytes),
            b'p' => Ok(BaseStep::Event(BaseEvent::Progress(bytes.try_get_u64().map_err(short)?))),
            kind => {
                Err(Malformed::new(format!("a message of kind {} in a base backup", char::from(kind).escape_default())))
            }
        }
    }

    fn archive_begins(&mut self, oid: Option<u32>) -> Result<BaseStep, Malformed> {
        let expected = self.tablespaces.get(self.archives.len()).map(|space| space.oid);
        if expected != Some(oid) || self.manifest_begun {
            return Err(Malformed::new("an archive out of turn"));
        }
        self.archives.push(0);
        Ok(BaseStep::Event(BaseEvent::Archive { oid }))
    }

    fn manifest_begins(&mut self) -> Result<BaseStep, Malformed> {
        if !self.manifest_wanted || self.manifest_begun || self.archives.len() != self.tablespaces.len() {
            return Err(Malformed::new("a manifest out of turn"));
        }
        self.manifest_begun = true;
        Ok(BaseStep::Event(BaseEvent::Manifest))
    }

    fn payload(&mut self, bytes: Bytes) -> Result<BaseStep, Malformed> {
        let counter = if self.manifest_begun { Some(&mut self.manifest_bytes) } else { self.archives.last_mut() };
        *counter.ok_or_else(|| Malformed::new("data of no archive"))? += bytes.len() as u64;
        Ok(if bytes.is_empty() { BaseStep::More } else { BaseStep::Event(BaseEvent::Data(bytes)) })
    }

    fn everything_came(&self) -> Result<(), Malformed> {
        if self.archives.len() == self.tablespaces.len() && self.manifest_begun == self.manifest_wanted {
            return Ok(());
        }
        let (came, want) = (self.archives.len(), self.tablespaces.len());
        Err(Malformed::new(format!("{came} of {want} archives came, manifest: {}", self.manifest_begun)))
    }
}

/// `base.tar`, or `<oid>.tar`.
fn archive_oid(name: &str) -> Result<Option<u32>, Malformed> {
    let stem = name.strip_suffix(".tar");
    match stem {
        Some("base") => Ok(None),
        _ => stem
            .and_then(|stem| stem.parse().ok())
            .map(Some)
            .ok_or_else(|| Malformed::new(format!("an archive named {}", name.escape_debug()))),
    }
}

fn text(row: &[Option<Bytes>], at: usize) -> Option<&str> {
    row.get(at)?.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
}

fn position(row: &[Option<Bytes>]) -> Result<(Lsn, Timeline), Malformed> {
    let lsn = text(row, 0).and_then(|text| text.parse().ok());
    let timeline = text(row, 1).and_then(|text| text.parse().ok()).and_then(|number| Timeline::new(number).ok());
    lsn.zip(timeline).ok_or_else(|| Malformed::new("a position that is none"))
}

fn tablespace(row: &[Option<Bytes>]) -> Result<Tablespace, Malformed> {
    let wrong = || Malformed::new("a tablespace that makes no sense");
    let number = |at: usize| text(row, at).map(|text| text.parse::<u64>().map_err(|_| wrong())).transpose();
    let oid = number(0)?.map(u32::try_from).transpose().map_err(|_| wrong())?;
    let size_bytes = number(2)?.map(|kib| kib.checked_mul(1024).ok_or_else(wrong)).transpose()?;
    Ok(Tablespace { oid, location: text(row, 1).unwrap_or_default().to_owned(), size_bytes })
}
