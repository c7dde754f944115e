//! Targets of a recovery, and what else a base backup takes, from words to types.

use jiff::Timestamp;
use jiff::civil::DateTime;
use secrecy::{ExposeSecret as _, SecretString};

use super::super::args::RestoreBase;
use super::super::failure::{Failure, Result};
use crate::commands;
use crate::commands::parts::{ConnInfo, Goal, Lsn, Request, Retrieval, Thaw, Timeline, TimelineChoice};
use crate::commands::restore_base::{Action, Mapping, WalSource};
use crate::config::{KmsSettings, Origin, Settings, ThawTier, key};

/// The server to take a base backup of, or to stream from. A variable made for replication wins over the one for everything.
pub(in crate::cli) fn replication(settings: &Settings) -> Result<ConnInfo> {
    const NAME: &str = "REPLICATION_DATABASE_URL";
    let chosen = match settings.origin(&key::POSTGRES_URL) {
        Origin::Flag(_) => false,
        Origin::Variable(name) => name == "DATABASE_URL",
        _ => true,
    };
    match settings.environment.get(NAME) {
        Some(url) if chosen => {
            let environment = super::environment(&settings.environment);
            Ok(ConnInfo::resolve(url, &environment).map_err(commands::Error::from)?)
        }
        _ => super::connection(settings),
    }
}

/// `fast` or `spread`.
pub(in crate::cli) fn fast_checkpoint(text: &str) -> Result<bool> {
    choice("--checkpoint", text, &[("fast", true), ("spread", false)])
}

/// Bytes per second, as PostgreSQL takes them: KiB.
pub(in crate::cli) fn rate(text: &str) -> Result<u32> {
    let way_out = "PostgreSQL takes 32KiB to 1GiB per second";
    let size = text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64());
    let size = size.filter(|bytes| (32 << 10..=1 << 30).contains(bytes));
    let bytes = size.ok_or_else(|| Failure::usage(format!("--max-rate {text:?} is no such rate"), way_out))?;
    Ok(u32::try_from(bytes >> 10).unwrap_or(u32::MAX))
}

/// What PostgreSQL does at the target.
pub(in crate::cli) fn action(text: &str) -> Result<Action> {
    choice("--action", text, &[("promote", Action::Promote), ("pause", Action::Pause), ("shutdown", Action::Shutdown)])
}

/// Where recovery gets its WAL.
pub(in crate::cli) fn wal_source(text: &str) -> Result<WalSource> {
    let choices = [("repository", WalSource::Repository), ("local", WalSource::Local), ("none", WalSource::None)];
    choice("--wal", text, &choices)
}

/// How to ask for what lies in archive tiers, where `thaw` says to.
pub(in crate::cli) fn thaw(settings: &Settings, thaw: bool) -> Option<Thaw> {
    let retrieval = match settings.restore.thaw_tier {
        ThawTier::Standard => Retrieval::Standard,
        ThawTier::Bulk => Retrieval::Bulk,
        ThawTier::Expedited => Retrieval::Expedited,
    };
    thaw.then_some(Thaw { days: settings.restore.thaw_days, retrieval })
}

/// `OLD=NEW`.
pub(in crate::cli) fn mapping(text: &str) -> Result<Mapping> {
    let parts = text.split_once('=').filter(|(from, to)| from.starts_with('/') && to.starts_with('/'));
    let (from, to) = parts.ok_or_else(|| {
        let what = format!("--tablespace {text:?} is not of the form OLD=NEW with two absolute paths");
        Failure::usage(what, "OLD is the directory on the source as \\db shows it, NEW one that is new or empty")
    })?;
    Ok(Mapping { from: from.to_owned(), to: to.into() })
}

/// A moment or a position, whichever is given.
pub(super) fn goal(at: Option<&str>, position: Option<&str>) -> Result<Option<Goal>> {
    if let Some(text) = at {
        return moment("--target-time", text).map(Goal::Time).map(Some);
    }
    let Some(text) = position else { return Ok(None) };
    let lsn: Result<Lsn, _> = text.parse();
    let lsn = lsn.map_err(|e| Failure::usage(format!("--target-lsn: {e}"), "copy it as PostgreSQL prints it"));
    lsn.map(Goal::Lsn).map(Some)
}

/// What a recovery is asked for.
pub(in crate::cli) fn recovery(args: &RestoreBase) -> Result<Request> {
    let goal = if let Some(goal) = goal(args.target_time.as_deref(), args.target_lsn.as_deref())? {
        goal
    } else if let Some(xid) = args.target_xid {
        Goal::Xid(xid)
    } else if let Some(name) = &args.target_name {
        Goal::Name(name.clone())
    } else if args.target_immediate {
        Goal::Immediate
    } else {
        Goal::Latest
    };
    let base = match args.backup.as_str() {
        "auto" | "latest" => None,
        id => match super::which(id)? {
            commands::Which::Id(id) => Some(id),
            commands::Which::Latest => None,
        },
    };
    Ok(Request { goal, inclusive: !args.exclusive, timeline: timeline(&args.target_timeline)?, base })
}

fn timeline(text: &str) -> Result<TimelineChoice> {
    let number = || text.parse().ok().and_then(|number| Timeline::new(number).ok()).map(TimelineChoice::Number);
    Ok(match text {
        "latest" => TimelineChoice::Latest,
        "current" => TimelineChoice::Current,
        _ => number().ok_or_else(|| {
            Failure::usage(format!("--target-timeline {text:?} is no timeline"), "give latest, current or a number")
        })?,
    })
}

/// A moment given as a flag, with its offset. Without one it could be meant in any time zone, so both likely readings are shown
/// (PAINS B4).
pub(in crate::cli) fn moment(flag: &'static str, text: &str) -> Result<Timestamp> {
    // RFC 3339, the offsets that PostgreSQL prints (+00, +05:30, +0530), and UTC by its name.
    let text = text.trim();
    let in_utc = text.strip_suffix("UTC").map(|moment| format!("{}Z", moment.trim_end()));
    if let Ok(at) = in_utc.as_deref().unwrap_or(text).parse() {
        return Ok(at);
    }
    let naive: Option<DateTime> = text.parse().ok();
    let Some(naive) = naive else {
        let way_out = "write it as 2026-11-24T17:59:30+01:00, or with Z for UTC";
        return Err(Failure::usage(format!("{flag} {text:?} is not a moment"), way_out));
    };
    let plain = naive.strftime("%Y-%m-%dT%H:%M:%S%.f");
    let what = format!("{flag} {text:?} has no offset from UTC, so it could mean different moments");
    let here = jiff::tz::TimeZone::system().to_zoned_datetime(naive).ok();
    let here =
        here.map_or_else(String::new, |zoned| format!(", or {plain}{} for this host's time", zoned.strftime("%:z")));
    Err(Failure::Usage { what, way_out: Some(format!("give {plain}Z for UTC{here}").into()) })
}

/// `AWS_*` variables and how to reach KMS, for a process that will fetch WAL later.
pub(in crate::cli) fn aws_variables(settings: &Settings) -> Vec<(String, SecretString)> {
    let KmsSettings { endpoint, region, profile } = &settings.kms;
    let kms = [(&key::KMS_ENDPOINT, endpoint), (&key::KMS_REGION, region), (&key::KMS_PROFILE, profile)];
    let kms = kms.into_iter().filter_map(|(key, value)| Some((key.variable, value.as_deref()?)));
    let aws = settings.environment.with_prefix("AWS_").map(|(name, value)| (name, value.expose_secret()));
    let mut all: Vec<(String, SecretString)> =
        aws.chain(kms).map(|(name, value)| (name.to_owned(), SecretString::from(value.to_owned()))).collect();
    // Where these lie if nobody says so, depends on whose process it is.
    if let Some(home) = settings.environment.get("HOME") {
        for (name, file) in [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")] {
            let path = std::path::Path::new(home).join(".aws").join(file);
            if settings.environment.get(name).is_none() && path.is_file() {
                all.push((name.to_owned(), SecretString::from(path.display().to_string())));
            }
        }
    }
    all
}

pub(super) fn choice<T: Copy>(flag: &str, text: &str, choices: &[(&'static str, T)]) -> Result<T> {
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        Failure::Usage { what: format!("{flag} {text:?} is none of {}", names.join(", ")), way_out: None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b04_every_spelling_of_a_moment_means_the_same() {
        let at: Timestamp = "2026-11-24T12:30:00Z".parse().unwrap();
        for text in [
            "2026-11-24T12:30:00Z",
            "2026-11-24 12:30:00Z",
            "2026-11-24 12:30:00+00",
            "2026-11-24 12:30:00 UTC",
            "2026-11-24 12:30:00.000+00",
            "2026-11-24 18:00:00+05:30",
            "2026-11-24 18:00:00+0530",
            "2026-11-24 04:30:00-08",
            " 2026-11-24 13:30:00+01:00 ",
        ] {
            assert_eq!(moment("--since", text).unwrap(), at, "{text}");
        }
    }

    #[test]
    fn b04_a_moment_without_offset_is_refused_with_both_readings() {
        for text in ["2026-11-24 12:30:00", "2026-11-24T12:30:00.5", "2026-11-24"] {
            let failure = moment("--since", text).unwrap_err();
            let told = failure.to_string();
            assert!(told.starts_with("--since") && told.contains("has no offset"), "{failure}");
            let hint = failure.hint().unwrap();
            assert!(hint.contains("Z for UTC") && hint.contains("for this host's time"), "{hint}");
        }
        for text in ["", "yesterday", "17:00", "2026-13-01T00:00:00Z"] {
            assert!(moment("--at", text).unwrap_err().to_string().contains("is not a moment"), "{text}");
        }
    }

    #[test]
    fn a_recovery_reaches_kms_as_this_process_does() {
        let given = [("AWS_REGION", "eu-west-1"), ("PGHOST", "db"), ("STONEWAL_KMS_PROFILE", "keyholder")];
        let environment = crate::config::Environment::from_pairs(given).unwrap();
        let settings = crate::config::isolated(&crate::config::Flags::default(), environment).unwrap();
        let carried = aws_variables(&settings);
        let carried: Vec<_> = carried.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(carried, [given[0], given[2]]);
    }

    #[test]
    fn mappings_are_two_absolute_paths() {
        assert_eq!(mapping("/a=/b").unwrap(), Mapping { from: "/a".into(), to: "/b".into() });
        for bad in ["", "/a", "a=/b", "/a=b", "=/b"] {
            assert!(mapping(bad).is_err(), "{bad}");
        }
    }
}
