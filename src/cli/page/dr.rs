//! The table of objectives and what drills measured, for a document on disaster recovery.

use std::fmt::Write as _;

use super::drills::{fine, word};
use super::markdown::{Plain, table};
use super::words::short;
use crate::commands::parts::evidence::Evidence;
use crate::commands::report::{ClusterReport, Outcome};

/// Drills that the worst is taken of.
const NEWEST: usize = 12;

/// The table.
pub(in crate::cli) fn dr(outcome: &Outcome) -> String {
    let mut out = String::new();
    let headings = [
        "Cluster",
        "RTO objective",
        "RTO, last drill",
        "RTO, worst",
        "RPO objective",
        "RPO, last drill",
        "RPO, worst",
        "Last drill (UTC)",
        "Result",
        "Backup",
    ];
    table(&mut out, &headings, outcome.clusters.iter().map(row));
    let _ = write!(
        out,
        "\nMeasured by `stonewal drill`; worst of the newest {NEWEST} drills of each cluster. Refreshed by stonewal {} as of {} UTC.\n",
        Plain(&outcome.stonewal),
        short(outcome.at)
    );
    out
}

fn row(cluster: &ClusterReport) -> Vec<String> {
    let Some(last) = cluster.own_drills().next() else {
        let mut row = vec!["–".to_owned(); 10];
        (row[0], row[8]) = (
            cluster.cluster.to_string(),
            if cluster.archive { "archive of imported backups" } else { "never drilled" }.into(),
        );
        return row;
    };
    let told = |milliseconds: Option<u64>| milliseconds.map_or_else(|| "–".into(), fine);
    let worst = |of: fn(&Evidence) -> Option<u64>| told(cluster.own_drills().take(NEWEST).filter_map(of).max());
    vec![
        cluster.cluster.to_string(),
        told(last.objectives.rto_milliseconds),
        told(last.rto_milliseconds),
        worst(|drill| drill.rto_milliseconds),
        told(last.objectives.rpo_milliseconds),
        told(last.rpo_milliseconds),
        worst(|drill| drill.rpo_milliseconds),
        short(last.started_at),
        word(last.result).1.to_owned(),
        last.backup.as_ref().map_or_else(|| "–".into(), |backup| backup.id.to_string()),
    ]
}
