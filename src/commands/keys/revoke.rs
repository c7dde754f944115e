//! `stonewal keys revoke`: nothing new for a recipient or passphrase. What it could read it can go on reading.

use jiff::Timestamp;
use serde::Serialize;

use super::change::{Change, Holder};
use crate::commands::{Connected, Error, Result};
use crate::format::Tag;
use crate::keys::Recipient;

/// What to revoke.
#[derive(Debug)]
pub struct Options {
    /// Who, with a passphrase that stays.
    pub holder: Holder,
    /// A recipient, the ARN of one in AWS KMS, or the fingerprint of a bundle.
    pub what: String,
}

/// What counts now.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// Number of the roster.
    pub generation: u64,
    /// What counts no more.
    pub revoked: String,
    /// Whether it is a passphrase.
    pub passphrase: bool,
    /// How many recipients new data keys have.
    pub recipients: usize,
    /// What is stored by now may be locked until then; `None` where nothing is locked.
    pub locked_until: Option<Timestamp>,
}

/// Revokes.
pub async fn run(options: Options) -> Result<Outcome> {
    let mut what = options.what.trim().to_owned();
    let print: Option<Tag> = what.parse().ok();
    let by_arn = what.starts_with("arn:");
    if print.is_none() && !by_arn && what.parse::<Recipient>().is_err() {
        let why = format!("{what:?} is neither a recipient (age1…) nor a fingerprint; see `stonewal keys list`");
        return Err(Error::Usage(why));
    }
    let mut change = Change::begin(&options.holder).await?;
    if by_arn {
        what = recipient_with(&change, &what)?;
    }
    match print {
        Some(print) => revoke_bundle(&mut change, print).await?,
        None => revoke_recipient(&mut change, &what)?,
    }
    change.publish().await?;
    Ok(Outcome {
        locked_until: locked_until(&change.connected)?,
        location: change.connected.location,
        generation: change.roster.generation,
        revoked: what,
        passphrase: print.is_some(),
        recipients: change.roster.recipients.len(),
    })
}

/// The recipient that counts and is the key with this ARN.
fn recipient_with(change: &Change, arn: &str) -> Result<String> {
    let is_it = |text: &str| text.parse().is_ok_and(|one: Recipient| one.kms().is_some_and(|key| key.arn() == arn));
    let found = change.roster.recipients.iter().find(|one| is_it(&one.recipient));
    let none = || Error::Usage(format!("{arn} is no recipient of new data keys; see `stonewal keys list`"));
    found.map(|one| one.recipient.clone()).ok_or_else(none)
}

async fn revoke_bundle(change: &mut Change, print: Tag) -> Result<()> {
    if print == change.root.fingerprint {
        let why = "that is the passphrase in use: give one that stays, or put a new one in its place with `stonewal keys rotate`";
        return Err(Error::Usage(why.into()));
    }
    if change.retire_bundles(|bundle| bundle == print).is_empty() && !change.retire_orphan(print).await? {
        return Err(Error::Usage(format!(
            "no passphrase that counts has the fingerprint {print}; see `stonewal keys list`"
        )));
    }
    Ok(())
}

fn revoke_recipient(change: &mut Change, what: &str) -> Result<()> {
    if change.roster.identity == what {
        let why =
            "that is the identity behind the passphrase: `stonewal keys rotate --identity` puts a new one in its place";
        return Err(Error::Usage(why.into()));
    }
    if change.roster.recipients.iter().all(|one| one.recipient != what) {
        return Err(Error::Usage(format!("{what} is no recipient of new data keys; see `stonewal keys list`")));
    }
    change.retire_recipient(what);
    Ok(())
}

/// Until when what is stored by now may be locked, by the retention in force; `retention extend` may have gone further.
pub(super) fn locked_until(connected: &Connected) -> Result<Option<Timestamp>> {
    Ok(connected.lock()?.map(|lock| lock.retain_until))
}
