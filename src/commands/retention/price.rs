//! What storing costs: estimates for people.

use jiff::Timestamp;

const MONTH_SECONDS: f64 = 365.25 / 12.0 * 24.0 * 3600.0;
const GIB: f64 = 1_073_741_824.0;

/// So many GiB.
#[expect(clippy::cast_precision_loss, reason = "an estimate of a price")]
pub(in crate::commands) fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

/// So many GiB for so many months.
pub(in crate::commands) fn gib_months(bytes: u64, from: Timestamp, until: Timestamp) -> f64 {
    gib(bytes) * from.duration_until(until).as_secs_f64() / MONTH_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gib_for_a_year_is_twelve_gib_months() {
        let (from, until) = ("2027-01-01T00:00:00Z".parse().unwrap(), "2028-01-01T06:00:00Z".parse().unwrap());
        assert!((gib_months(3 << 30, from, until) - 36.0).abs() < 1e-9);
        assert!((gib(1 << 29) - 0.5).abs() < 1e-12);
    }
}
