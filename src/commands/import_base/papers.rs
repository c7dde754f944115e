//! What a backup says of itself: `backup_label`, `backup_manifest`, `tablespace_map`, `pg_control`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use super::copies::SegmentRange;
use super::fault::Fault;
use crate::format::{Lsn, Timeline, hex};

/// PostgreSQL before this has no backup manifest.
pub(super) const MAJOR_MIN: u32 = 13;

/// Lines of `backup_label`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) start: Lsn,
    pub(super) timeline: Timeline,
    pub(super) name: String,
    pub(super) standby: bool,
}

impl Label {
    pub(super) fn read(path: &Path, text: &[u8]) -> Result<Self, Fault> {
        let text = String::from_utf8_lossy(text);
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if line("INCREMENTAL FROM LSN").is_some() {
            let way_out = "join it with what it builds on, by PostgreSQL's pg_combinebackup, and import the result";
            let why = "it is an incremental backup".into();
            return Err(Fault::Refused { path: path.to_owned(), why, way_out });
        }
        let wrong = |name: &str| Fault::damaged(path, format!("backup_label has no good line {name:?}"));
        let start = line("START WAL LOCATION").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let timeline = line("START TIMELINE").and_then(|rest| Timeline::new(rest.trim().parse().ok()?).ok());
        Ok(Self {
            start: start.ok_or_else(|| wrong("START WAL LOCATION"))?,
            timeline: timeline.ok_or_else(|| wrong("START TIMELINE"))?,
            name: line("LABEL").unwrap_or_default().to_owned(),
            standby: line("BACKUP FROM").is_some_and(|from| from.trim() == "standby"),
        })
    }
}

/// PostgreSQL's manifest (docs, "Backup Manifest Format").
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) files: HashMap<String, Listed>,
    pub(super) system_identifier: Option<u64>,
    pub(super) timeline: Timeline,
    pub(super) start: Lsn,
    pub(super) stop: Lsn,
    /// SHA-256 of the whole text.
    pub(super) sha256: String,
}

/// One file in it.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Size")]
    pub(super) size: u64,
    #[serde(rename = "Last-Modified")]
    modified: String,
    #[serde(rename = "Checksum-Algorithm")]
    pub(super) algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    pub(super) checksum: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "System-Identifier")]
    system_identifier: Option<u64>,
    #[serde(rename = "Files")]
    files: Vec<Listed>,
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

impl Listed {
    /// Such as `2025-11-03 03:15:00 GMT`.
    pub(super) fn modified(&self) -> Option<Timestamp> {
        let text = self.modified.strip_suffix(" GMT")?;
        format!("{}Z", text.replacen(' ', "T", 1)).parse().ok()
    }
}

impl Manifest {
    /// The WAL that makes the backup consistent.
    pub(super) fn range(&self) -> SegmentRange {
        SegmentRange { timeline: self.timeline, start: self.start, stop: self.stop }
    }

    pub(super) fn read(path: &Path, text: &[u8]) -> Result<Self, Fault> {
        let damaged = |why: &str| Fault::damaged(path, why);
        check_sum(text).ok_or_else(|| damaged("its own checksum is wrong: it is cut off or altered"))?;
        let parsed: Text = serde_json::from_slice(text).map_err(|error| damaged(&error.to_string()))?;
        let [range] = &parsed.ranges[..] else {
            return Err(damaged("it spans several timelines: a standby followed a promotion during the backup"));
        };
        let at = |text: &str| text.parse::<Lsn>().map_err(|_| damaged("a position in WAL-Ranges is none"));
        let (start, stop) = (at(&range.start)?, at(&range.end)?);
        let timeline = Timeline::new(range.timeline).map_err(|_| damaged("a timeline in WAL-Ranges is none"))?;
        let mut files = HashMap::new();
        for mut file in parsed.files {
            let name = file.path.take().ok_or_else(|| damaged("a file name in it is not UTF-8"))?;
            if let Some(name) = files.contains_key(&name).then_some(&name) {
                return Err(damaged(&format!("{name} stands in it twice")));
            }
            files.insert(name, file);
        }
        let sha256 = hex(digest(&SHA256, text).as_ref());
        Ok(Self { files, system_identifier: parsed.system_identifier, timeline, start, stop, sha256 })
    }
}

/// The last line has the SHA-256 of everything before it.
fn check_sum(text: &[u8]) -> Option<()> {
    const LINE: &[u8] = b"\"Manifest-Checksum\": \"";
    let at = memchr::memmem::rfind(text, LINE)?;
    let sum = text.get(at + LINE.len()..at + LINE.len() + 64)?;
    (hex(digest(&SHA256, &text[..at]).as_ref()).as_bytes() == sum).then_some(())
}

/// Tablespaces by OID: lines `OID path`, with backslashes before what would end a line.
pub(super) fn tablespace_map(text: &[u8]) -> BTreeMap<u32, String> {
    let text = String::from_utf8_lossy(text);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(oid, path)| Some((oid.parse().ok()?, path.replace('\\', "")))).collect()
}

/// The system identifier in `pg_control`, whose checksum is where the fields of its version end.
pub(super) fn system_identifier(control: &[u8]) -> Option<u64> {
    let whole = (64..=512).step_by(4).any(|end| {
        let sum = control.get(end..end + 4).and_then(|sum| Some(u32::from_ne_bytes(sum.try_into().ok()?)));
        sum.is_some_and(|sum| crc32c(&control[..end]) == u64::from(sum))
    });
    let identifier = u64::from_ne_bytes(control.get(..8)?.try_into().ok()?);
    whole.then_some(identifier)
}

fn crc32c(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes)
}
