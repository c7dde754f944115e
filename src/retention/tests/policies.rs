//! Policies as they may be.

use proptest::prelude::*;

use super::world::*;
use crate::retention::{Own, Policy};

/// With every rule there is, but marks, which name backups.
pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let counts = (0..3_u32, 0..3_u32, 0..3_u32, 0..3_u32, 0..2_u32, 0..3_u32);
    (1..20_i64, counts, own(), own()).prop_map(|(window, counts, dumps, bases)| {
        let (last, daily, weekly, monthly, yearly, min_redundancy) = counts;
        Policy {
            window: days(window),
            keep_last_bases: last,
            keep_last_dumps: last,
            daily,
            weekly,
            monthly,
            yearly,
            min_redundancy,
            dumps,
            // Their window is that of the policy.
            bases: Own { window: None, ..bases },
            ..policy()
        }
    })
}

/// What one kind has of its own, most often nothing.
fn own() -> impl Strategy<Value = Own> {
    let rare = |most: u32| prop::option::weighted(0.2, 0..most);
    let window = prop::option::weighted(0.2, (1..20_i64).prop_map(days));
    (window, rare(3), rare(3), rare(3), rare(2), rare(3)).prop_map(
        |(window, daily, weekly, monthly, yearly, min_redundancy)| Own {
            window,
            daily,
            weekly,
            monthly,
            yearly,
            min_redundancy,
        },
    )
}
