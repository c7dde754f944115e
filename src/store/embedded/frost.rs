//! An archive tier to try clients on: what lies there is listed as GLACIER, and refused until it is thawed.

use std::sync::{Mutex, PoisonError};

/// Which keys are frozen: those that contain a text.
#[derive(Debug, Default)]
pub(super) struct Frost(Mutex<Option<String>>);

impl Frost {
    pub(super) fn set(&self, part: Option<&str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = part.map(str::to_owned);
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|part| key.contains(part.as_str()))
    }
}
