//! The bundle opened last: scrypt takes half a second on purpose, and one run opens the same bundle more than once (for the
//! command, and for the audit record of it).

use std::sync::{Mutex, PoisonError};

use ring::digest;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::keys::Result;

struct Opened {
    file: Vec<u8>,
    passphrase: SecretString,
    json: Zeroizing<Vec<u8>>,
}

static LAST: Mutex<Option<Opened>> = Mutex::new(None);

/// What `open` makes of a file and a passphrase, without asking it again for the same ones.
pub(super) fn recall(
    file: &[u8],
    passphrase: &SecretString,
    open: impl FnOnce() -> Result<Zeroizing<Vec<u8>>>,
) -> Result<Zeroizing<Vec<u8>>> {
    let file = digest::digest(&digest::SHA256, file).as_ref().to_vec();
    let same = |last: &&Opened| last.file == file && last.passphrase.expose_secret() == passphrase.expose_secret();
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).as_ref().filter(same).map(|last| last.json.clone());
    if let Some(json) = last {
        return Ok(json);
    }
    // Not under the lock: whoever opens another bundle meanwhile need not wait.
    let json = open()?;
    let opened = Opened { file, passphrase: passphrase.clone(), json: json.clone() };
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_file_under_the_same_passphrase_is_recalled() {
        let secret = |text: &str| SecretString::from(text.to_owned());
        let made = || Ok(Zeroizing::new(b"made".to_vec()));
        let refuse = || Err(crate::keys::Error::WrongPassphrase);
        assert!(recall(b"file of this test", &secret("right"), refuse).is_err(), "a refusal is not kept");
        // Other tests open bundles too, so that this one may be forgotten in between; then it is made again.
        recall(b"file of this test", &secret("right"), made).unwrap();
        assert!(recall(b"file of this test", &secret("wrong"), refuse).is_err());
        assert!(recall(b"another file", &secret("right"), refuse).is_err());
        let recalled = (0..100).any(|_| {
            recall(b"file of this test", &secret("right"), made).unwrap();
            recall(b"file of this test", &secret("right"), refuse).is_ok()
        });
        assert!(recalled);
    }
}
