//! Finding an object by what it must hold. A manifest pins version ids, and those are one bucket's own: in a replica the same
//! object has another. Its length and SHA-256 are signed, so they decide.

use std::collections::VecDeque;

use bytes::Bytes;
use ring::digest;
use tokio::task::spawn_blocking;

use super::types::hex;
use super::{Entry, Error, ListQuery, ObjectKey, PageToken, Read, Result, VersionId, pages};
use crate::limits::REPLICA_CANDIDATES;

/// What a manifest says of an object: enough to know it wherever it lies.
#[derive(Clone, Debug)]
pub struct Pin {
    /// The version in the bucket that it was written to.
    pub version: VersionId,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// The bytes that `pin` means: of the version that it names, else of another version of the key that holds the same. However many
/// were planted, a handful of the right length is read.
pub(super) async fn find<S: Read + ?Sized>(store: &S, key: &ObjectKey, pin: &Pin) -> Result<Bytes> {
    let refusal = match read(store, key, &pin.version, pin).await {
        Err(error) if error.is_about_the_object() => error,
        read => return read,
    };
    let mut doubt = None;
    for entry in versions_of(store, key, |entry| entry.bytes == pin.bytes).await? {
        if entry.version.as_str() == pin.version.as_str() {
            continue;
        }
        match read(store, key, &entry.version, pin).await {
            Ok(body) => return Ok(body),
            // What holds other bytes was planted; what cannot be read may be the one.
            Err(Error::NotFound { .. } | Error::Corrupt { .. }) => {}
            Err(error) if error.is_about_the_object() => doubt = doubt.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    let gone = matches!(refusal, Error::NotFound { .. });
    Err(doubt.filter(|_| gone).unwrap_or(refusal))
}

/// One version, whole, if it holds what it must.
async fn read<S: Read + ?Sized>(store: &S, key: &ObjectKey, version: &VersionId, pin: &Pin) -> Result<Bytes> {
    let body = store.get(key, version, 0..pin.bytes).await?;
    let hashed = body.clone();
    let found = spawn_blocking(move || digest::digest(&digest::SHA256, &hashed)).await;
    let found = found.map_err(|error| Error::Setup(format!("a worker stopped unexpectedly: {error}")))?;
    if found.as_ref() == pin.sha256 {
        return Ok(body);
    }
    let what = format!("its SHA-256 is {}, recorded is {}", hex(found.as_ref()), hex(&pin.sha256));
    Err(Error::Corrupt { target: key.to_string(), what })
}

/// The few oldest versions of `key` that are `wanted`, oldest first, then the few newest. Names that begin with `key` follow it in a
/// listing and may be millions, so it ends at the first of them.
pub async fn versions_of<S: Read + ?Sized>(
    store: &S,
    key: &ObjectKey,
    wanted: impl Fn(&Entry) -> bool + Send + Sync,
) -> Result<Vec<Entry>> {
    let query = ListQuery { prefix: key.to_string(), by_folder: false };
    let (mut newest, mut oldest) = (Vec::new(), VecDeque::new());
    let mut token: Option<PageToken> = None;
    loop {
        let page = store.list_page(&query, token.as_ref()).await?;
        pages::moves_on(&query, token.as_ref(), page.next.as_ref())?;
        let beyond = page.entries.iter().any(|entry| entry.key != *key);
        let ours = page.entries.into_iter().filter(|entry| entry.key == *key && !entry.delete_marker);
        for entry in ours.filter(&wanted) {
            // A listing gives the newest first.
            if newest.len() < REPLICA_CANDIDATES {
                newest.push(entry);
                continue;
            }
            oldest.push_back(entry);
            if oldest.len() > REPLICA_CANDIDATES {
                oldest.pop_front();
            }
        }
        match page.next {
            Some(next) if !beyond => token = Some(next),
            _ => break,
        }
    }
    // With few versions, the oldest are among the newest.
    Ok(oldest.into_iter().rev().chain(newest.into_iter().rev()).collect())
}
