//! `stonewal keys add`: one more recipient of data keys, or one more passphrase.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::change::{Change, Holder, checked_name, checked_passphrase};
use super::rewrap;
use crate::catalog::{self, Access};
use crate::commands::init::write_secret;
use crate::commands::{Error, Result};
use crate::format::Tag;
use crate::keys::{self, Identity, KmsFile, Recipient, RecoveryFile};
use crate::kms::{self, KmsOptions};
use crate::limits::ROSTER_BUNDLES_MAX;

/// What to add.
#[derive(Debug)]
pub enum What {
    /// A recipient whose identity somebody else holds.
    Recipient(Recipient),
    /// A fresh one, whose identity goes into this new file.
    RecoveryFile(PathBuf),
    /// A key in AWS KMS, by id, ARN or alias; whoever may use it reads with this new file.
    Kms {
        /// The key.
        key: String,
        /// How to reach KMS.
        options: KmsOptions,
        /// The new file.
        file: PathBuf,
    },
    /// Another passphrase for the identity that the first one opens.
    Passphrase(SecretString),
}

/// What to add and how.
#[derive(Debug)]
pub struct Options {
    /// Who.
    pub holder: Holder,
    /// What.
    pub what: What,
    /// For people.
    pub name: Option<String>,
    /// Whether data keys that are stored already are wrapped to it too.
    pub past: bool,
}

/// What counts now.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// Number of the roster.
    pub generation: u64,
    /// The recipient or the bundle's fingerprint.
    pub added: String,
    /// Whether a passphrase was added.
    pub passphrase: bool,
    /// Whether it counted already.
    pub already: bool,
    /// How many recipients new data keys have.
    pub recipients: usize,
    /// The recovery file written.
    pub recovery_file: Option<PathBuf>,
    /// The KMS file written.
    pub kms_file: Option<PathBuf>,
    /// What became of stored data keys, if that was asked for.
    pub past: Option<rewrap::Outcome>,
}

/// Adds. Adding what is there already changes nothing, so that an interrupted `--past` can be completed.
pub async fn run(options: Options) -> Result<Outcome> {
    let name = checked_name(options.name)?;
    if let What::Passphrase(new) = &options.what {
        checked_passphrase(&options.holder.passphrase, new)?;
    }
    let kms_key = match &options.what {
        What::Kms { key, options, .. } => Some(kms::look_up(options, key).await?),
        _ => None,
    };
    let mut change = Change::begin(&options.holder).await?;
    let passphrase = matches!(options.what, What::Passphrase(_));
    let (mut recovery_file, mut kms_file, mut already) = (None, None, false);
    let added = match options.what {
        What::Recipient(recipient) => {
            already = !change.add_recipient_once(&recipient, name)?;
            recipient.to_string()
        }
        What::Kms { file, .. } => {
            let key = kms_key.ok_or(keys::Error::NoKms)?;
            already = !change.add_recipient_once(&key.clone().into(), name)?;
            let (repository, root) = (change.root.bundle.repository, *change.root.bundle.writer.public());
            let text = KmsFile { repository, root, key: key.clone() }.encode();
            let is_there = already && std::fs::read_to_string(&file).is_ok_and(|old| old == text.expose_secret());
            if !is_there {
                write_secret(&file, &text)?;
            }
            kms_file = Some(file);
            key.to_string()
        }
        What::RecoveryFile(path) => {
            let identity = Identity::generate();
            let recipient = identity.recipient();
            change.add_recipient(&recipient, name)?;
            let (repository, root) = (change.root.bundle.repository, *change.root.bundle.writer.public());
            write_secret(&path, &RecoveryFile { repository, root, identity, former: Vec::new() }.encode())?;
            recovery_file = Some(path);
            recipient.to_string()
        }
        What::Passphrase(new) => add_passphrase(&mut change, new, name).await?.to_string(),
    };
    if !already && let Err(error) = change.publish().await {
        // If it counts all the same, data keys are wrapped to it, and this is the only identity that opens them.
        let may_count = matches!(error, Error::Catalog(catalog::Error::UndecidedKeys { .. }));
        if let Some(path) = recovery_file.as_ref().or(kms_file.as_ref()).filter(|_| !may_count) {
            let _ = std::fs::remove_file(path);
        }
        return Err(error);
    }
    let past = if options.past {
        let access = Access::Bundle { passphrase: options.holder.passphrase, fingerprint: change.root.fingerprint };
        Some(rewrap::run(rewrap::Options { repository: options.holder.repository, access }).await?)
    } else {
        None
    };
    Ok(Outcome {
        location: change.connected.location,
        generation: change.roster.generation,
        added,
        passphrase,
        already,
        recipients: change.roster.recipients.len(),
        recovery_file,
        kms_file,
        past,
    })
}

async fn add_passphrase(change: &mut Change, new: SecretString, name: Option<String>) -> Result<Tag> {
    if change.roster.bundles.len() >= ROSTER_BUNDLES_MAX {
        let why =
            "as many passphrases count already as readers try: take one away first (stonewal keys revoke FINGERPRINT)";
        return Err(Error::Usage(why.into()));
    }
    let recipients = change.root.bundle.recipients.clone();
    let bundle = change.root.bundle.successor(false, recipients, change.now())?;
    let fingerprint = change.put_bundle(bundle, new).await?;
    change.add_bundle(fingerprint, name);
    Ok(fingerprint)
}
