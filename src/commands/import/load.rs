//! Straight into an empty database, as a restore of a dump.

use tokio_util::sync::CancellationToken;

use super::artifact::{Artifact, ArtifactOptions};
use super::{Facts, Outcome, outcome};
use crate::commands::Result;
use crate::commands::repository::interruptible;
use crate::commands::restore_dump::{DatabaseTarget, LOCKS_IMPORTS, commit, psql};
use crate::observe::{Phase, Progress};
use crate::postgres::load::Load;
use crate::postgres::programs::Program;
use crate::postgres::target::{ensure_empty, version_warning};
use crate::postgres::{ConnInfo, Session};

/// What has to be known before the first byte is sent.
struct Checked {
    info: ConnInfo,
    database: String,
    program: Program,
    warnings: Vec<String>,
}

pub(super) async fn run(
    file: &ArtifactOptions,
    target: DatabaseTarget,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Outcome> {
    let mut artifact = interruptible(cancel, Artifact::open(file)).await?;
    let facts = Facts::of(&artifact);
    let checked = interruptible(cancel, Box::pin(check(target, &facts))).await?;
    progress.set_phase(Phase::Streaming);
    let mut load = Load::start(&checked.info, &checked.program, cancel).await?;
    if let Err(error) = send(&mut artifact, &mut load, progress, cancel).await {
        load.abort().await;
        return Err(error);
    }
    let (sha256, source) = match artifact.finish() {
        Ok(finished) => finished,
        Err(error) => {
            load.abort().await;
            return Err(error);
        }
    };
    let _receipt = commit(load, progress, cancel).await?;
    let mut outcome = outcome(facts, sha256, source.bytes());
    outcome.target = Some(checked.database);
    outcome.warnings = checked.warnings;
    Ok(outcome)
}

/// Looks at the target; changes nothing.
async fn check(target: DatabaseTarget, facts: &Facts) -> Result<Checked> {
    let session = Session::connect(&target.info, "stonewal import check").await?;
    ensure_empty(&session).await?;
    let program = psql(&session, &target.programs, true, LOCKS_IMPORTS).await?;
    let warnings = version_warning(facts.server_version_num() / 10_000, session.major()).into_iter().collect();
    let database = session.info().redacted();
    target.confirm.demand(&database)?;
    Ok(Checked { info: session.info().clone(), database, program, warnings })
}

/// Everything but the COMMIT. Nothing tells who wrote the file.
async fn send(artifact: &mut Artifact, load: &mut Load, progress: &Progress, cancel: &CancellationToken) -> Result<()> {
    load.lock().await?;
    while let Some(piece) = interruptible(cancel, artifact.next()).await? {
        load.write(&piece).await?;
        progress.add_plain_bytes(piece.len() as u64);
    }
    Ok(())
}
