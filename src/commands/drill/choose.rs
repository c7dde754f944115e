//! Which backup is restored, and how far a base is recovered.

use super::options::{Options, Pick};
use crate::catalog::plan::{Goal, Refusal, Request, TimelineChoice};
use crate::catalog::{Backup, Error as CatalogError, Finding, Repository};
use crate::commands::restore_base::{Planned, plan_with};
use crate::commands::{Error, Result};
use crate::format::BackupId;
use crate::format::manifest::Kind;
use crate::keys::backup_suffix;

/// What is restored.
pub(super) enum Chosen {
    Dump(Box<Backup>),
    Base(Box<Planned>),
}

impl Chosen {
    pub(super) fn backup(&self) -> &Backup {
        match self {
            Self::Dump(backup) => backup,
            Self::Base(planned) => &planned.backup,
        }
    }
}

pub(super) async fn choose(repository: &Repository, options: &Options) -> Result<(Chosen, Vec<Finding>)> {
    let mut findings = repository.findings().to_vec();
    let recovers = options.goal != Goal::Latest;
    if recovers && options.kind == Some(Kind::Dump) {
        return Err(Error::Usage(
            "a dump cannot be recovered to a moment: leave out --kind dump, or the target".into(),
        ));
    }
    let kind = if recovers { Some(Kind::Base) } else { options.kind };
    let (id, kind) = match &options.pick {
        // The plan knows which base is the nearest to the target.
        Pick::Latest if kind == Some(Kind::Base) => (None, Kind::Base),
        Pick::Latest => {
            let (backup, beside) = repository.latest_of(&options.cluster, kind).await?;
            findings.extend(beside);
            if backup.clear().kind == Kind::Dump {
                return Ok((Chosen::Dump(Box::new(backup)), findings));
            }
            (None, Kind::Base)
        }
        Pick::Random => {
            let (id, kind, beside) = draw(repository, options, kind).await?;
            findings.extend(beside);
            (Some(id), kind)
        }
        Pick::Id(id) => {
            let (backup, beside) = repository.backup(&options.cluster, id).await?;
            findings.extend(beside);
            let found = backup.clear().kind;
            if kind.is_some_and(|kind| kind != found) {
                return Err(Error::Usage(format!("backup {id} is a {found}")));
            }
            (Some(id.clone()), found)
        }
    };
    match (kind, id) {
        (Kind::Dump, Some(id)) => {
            let (backup, beside) = repository.backup(&options.cluster, &id).await?;
            findings.extend(beside);
            Ok((Chosen::Dump(Box::new(backup)), findings))
        }
        (_, id) => {
            let mut planned = plan(repository, options, id).await?;
            findings.append(&mut planned.findings);
            Ok((Chosen::Base(Box::new(planned)), findings))
        }
    }
}

/// One of all backups, each as likely as the others.
async fn draw(
    repository: &Repository,
    options: &Options,
    kind: Option<Kind>,
) -> Result<(BackupId, Kind, Vec<Finding>)> {
    let mut all = Vec::new();
    let findings = repository
        .each_backup(&options.cluster, |backup| {
            let clear = backup.clear();
            all.extend(kind.is_none_or(|kind| kind == clear.kind).then(|| (clear.backup.clone(), clear.kind)));
        })
        .await?;
    let lot = u32::from_be_bytes(backup_suffix()?) as usize;
    match all.len() {
        0 => Err(CatalogError::NoBackup { cluster: options.cluster.clone(), kind }.into()),
        number => {
            let (id, kind) = all.swap_remove(lot % number);
            Ok((id, kind, findings))
        }
    }
}

/// A base that was named may stand on a timeline that was left: then it is recovered to the end of that one.
async fn plan(repository: &Repository, options: &Options, base: Option<BackupId>) -> Result<Planned> {
    let request = |timeline| Request { goal: options.goal.clone(), inclusive: true, timeline, base: base.clone() };
    match plan_with(repository, &options.cluster, &request(TimelineChoice::Latest)).await {
        Err(Error::Unreachable(Refusal::NotOnPath { .. })) if base.is_some() => {
            plan_with(repository, &options.cluster, &request(TimelineChoice::Current)).await
        }
        planned => planned,
    }
}
