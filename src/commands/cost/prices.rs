//! What storing costs, by storage class, as far as somebody said.

use std::collections::BTreeMap;

/// The class of what is listed without one.
pub(super) const USUAL: &str = "STANDARD";

/// Prices of a GiB and month.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    /// Of the usual class.
    pub usual: Option<f64>,
    /// Of others, by name.
    pub by_class: BTreeMap<String, f64>,
}

impl Prices {
    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.usual.is_some() || !self.by_class.is_empty()
    }

    /// That of a class.
    pub(super) fn of(&self, class: &str) -> Option<f64> {
        self.by_class.get(class).copied().or(self.usual.filter(|_| class == USUAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_its_own_price_or_none() {
        let prices = Prices { usual: Some(0.02), by_class: [("GLACIER".to_owned(), 0.004)].into() };
        let of = |prices: &Prices| ["STANDARD", "GLACIER", "DEEP_ARCHIVE"].map(|class| prices.of(class));
        assert_eq!(of(&prices), [Some(0.02), Some(0.004), None]);
        assert!(prices.any() && !Prices::default().any());
        let all = Prices { usual: None, by_class: [("STANDARD".to_owned(), 0.03)].into() };
        assert_eq!(of(&all), [Some(0.03), None, None]);
    }
}
