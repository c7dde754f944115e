//! Findings, kept within bounds: an attacker can plant a million versions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Finding, FindingKind};
use crate::limits::FINDINGS_MAX;

/// The first findings in full, all of them counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// The first ones.
    pub details: Vec<Finding>,
    /// How many of each kind.
    pub counts: BTreeMap<FindingKind, u64>,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.details.len() < FINDINGS_MAX {
            self.details.push(finding);
        }
    }

    /// Adds all.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// Takes over what another collection has.
    pub fn merge(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        let room = FINDINGS_MAX - self.details.len().min(FINDINGS_MAX);
        self.details.extend(other.details.into_iter().take(room));
    }

    /// Whether there may be more than are counted: whoever looks for findings stops at as many as are told in full.
    pub fn is_cut(&self) -> bool {
        self.details.len() >= FINDINGS_MAX
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Whether a backup cannot be restored because of one.
    pub fn has_damage(&self) -> bool {
        self.counts.keys().any(|kind| kind.is_damage())
    }

    /// Whether one cannot be an accident.
    pub fn has_tampering(&self) -> bool {
        self.counts.keys().any(|kind| kind.is_tampering())
    }
}
