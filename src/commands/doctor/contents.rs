//! What lies in the repository that does not belong there.

use super::{Outcome, Status};
use crate::catalog::{self, Repository};
use crate::commands::Error;

pub(super) async fn check(repository: &Repository, outcome: &mut Outcome) {
    outcome.findings.extend(repository.findings().iter().cloned());
    match repository.examine_certificates().await {
        Ok(findings) => outcome.findings.extend(findings),
        Err(error) => outcome.fail("certificates", &Error::from(error)),
    }
    match count(repository, outcome).await {
        Ok((clusters, backups)) => {
            outcome.add(
                "backups",
                Status::Ok,
                format!("{backups} backups of {clusters} clusters are signed by trusted writers"),
            );
        }
        Err(error) => outcome.fail("backups", &Error::from(error)),
    }
    let kinds: Vec<_> = outcome.findings.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if kinds.is_empty() {
        outcome.add("tampering", Status::Ok, "nothing was written over keys and manifests");
    } else {
        let hint =
            "restores ignore all of it; `stonewal verify` tells every object. Find out whose credentials wrote it";
        outcome.advise("tampering", Status::Warn, kinds.join(", "), hint);
    }
}

async fn count(repository: &Repository, outcome: &mut Outcome) -> catalog::Result<(usize, u64)> {
    let clusters = repository.clusters().await?;
    let mut backups = 0;
    for cluster in &clusters {
        let findings = repository.each_backup(cluster, |_| backups += 1).await?;
        outcome.findings.extend(findings);
    }
    Ok((clusters.len(), backups))
}
