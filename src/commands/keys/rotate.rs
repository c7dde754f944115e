//! `stonewal keys rotate`: a new passphrase in the place of one, and, if asked for, a new identity behind it.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use super::change::{Change, Holder, checked_name, checked_passphrase};
use super::revoke::locked_until;
use crate::commands::Result;

/// What to rotate.
#[derive(Debug)]
pub struct Options {
    /// Who, with the passphrase that is given up.
    pub holder: Holder,
    /// The new passphrase.
    pub new_passphrase: SecretString,
    /// Name of the new passphrase, for people.
    pub name: Option<String>,
    /// Whether new data keys are wrapped to a new identity.
    pub identity: bool,
}

/// What counts now.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// Number of the roster.
    pub generation: u64,
    /// Fingerprint of the bundle that the new passphrase opens.
    pub bundle: String,
    /// Fingerprints of the bundles that count no more.
    pub retired: Vec<String>,
    /// The recipient that the new passphrase's identity is.
    pub identity: String,
    /// The recipient that new data keys are no longer wrapped to.
    pub former_identity: Option<String>,
    /// How many recipients new data keys have.
    pub recipients: usize,
    /// What is stored by now may be locked until then; `None` where nothing is locked.
    pub locked_until: Option<Timestamp>,
}

/// Rotates. The new bundle is stored before the roster that names it: whatever is interrupted, one passphrase counts.
pub async fn run(options: Options) -> Result<Outcome> {
    checked_passphrase(&options.holder.passphrase, &options.new_passphrase)?;
    let name = checked_name(options.name)?;
    let mut change = Change::begin(&options.holder).await?;
    let (bundle, before) = (&change.root.bundle, change.root.fingerprint);
    let next = bundle.successor(options.identity, bundle.recipients.clone(), change.now())?;
    let (identity, former) = (next.identity.recipient(), bundle.identity.recipient());
    let fingerprint = change.put_bundle(next, options.new_passphrase).await?;
    let former_identity = options.identity.then(|| former.to_string());
    if let Some(former) = &former_identity {
        change.retire_recipient(former);
        change.add_recipient(&identity, None)?;
        change.roster.identity = identity.to_string();
    }
    // Other passphrases open bundles with the former identity, which would read nothing new.
    let retired = change.retire_bundles(|print| options.identity || print == before);
    change.add_bundle(fingerprint, name);
    change.publish().await?;
    Ok(Outcome {
        locked_until: locked_until(&change.connected)?,
        location: change.connected.location,
        generation: change.roster.generation,
        bundle: fingerprint.to_string(),
        retired,
        identity: identity.to_string(),
        former_identity,
        recipients: change.roster.recipients.len(),
    })
}
