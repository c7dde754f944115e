//! Bounds of what `stonewal cost` counts apart.

/// Clusters told one by one; what lies in the folders of more is counted together.
pub const COST_CLUSTERS_MAX: usize = 1000;
/// Storage classes told apart; stores know a dozen.
pub const COST_CLASSES_MAX: usize = 64;
/// Copies of WAL and what they took the place of, told from what somebody planted; beyond that nobody looks. Each takes some ten bytes.
pub const COST_COPIES_MAX: usize = 1 << 20;
