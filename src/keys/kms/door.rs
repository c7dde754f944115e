//! Opening wraps with answers of KMS.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{KmsError, KmsKey, Point, is_on_curve};
use crate::format::{DataKey, KeyId};
use crate::keys::{Error, Result};
use crate::limits::KMS_ANSWERS_MAX;

/// Whoever holds the secret half of a [`KmsKey`] and agrees on secrets with it.
#[async_trait]
pub trait Agreement: fmt::Debug + Send + Sync {
    /// The secret that `key` shares with `point`, which is one of the curve.
    async fn agree(&self, key: &KmsKey, point: &Point) -> Result<Agreed, KmsError>;
}

/// A shared secret. Never printed.
#[derive(Clone)]
pub struct Agreed(Zeroizing<[u8; 32]>);

impl Agreed {
    /// `None` if it has not the length of one.
    pub fn new(secret: &[u8]) -> Option<Self> {
        secret.try_into().ok().map(|secret| Self(Zeroizing::new(secret)))
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Agreed")
    }
}

/// What opens wraps for a key in KMS: asked once for each wrap, however often that is opened.
#[derive(Debug)]
pub struct Door {
    service: Option<Arc<dyn Agreement>>,
    answers: Mutex<HashMap<Point, Agreed>>,
}

impl Door {
    /// A door to `service`; without one, everything stays shut that only KMS opens.
    pub fn new(service: Option<Arc<dyn Agreement>>) -> Self {
        Self { service, answers: Mutex::default() }
    }

    /// The key that `wrapped` holds, if it is wrapped to `key` and is the one named `expected`.
    pub async fn open(&self, key: &KmsKey, wrapped: &[u8], expected: KeyId) -> Result<DataKey> {
        let closed = || Error::NotARecipient { key: expected };
        let point = key.question(wrapped)?.filter(is_on_curve).ok_or_else(closed)?;
        let agreed = self.ask(key, point).await?;
        key.unwrap(wrapped, &point, &agreed, expected)
    }

    async fn ask(&self, key: &KmsKey, point: Point) -> Result<Agreed> {
        let known = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&point).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let service = self.service.as_ref().ok_or(Error::NoKms)?;
        let agreed = service.agree(key, &point).await?;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= KMS_ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(point, agreed.clone());
        Ok(agreed)
    }
}
