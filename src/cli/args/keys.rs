//! `keys`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::setup::LockFlags;

/// Passphrases, recipients and the keys of hosts
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Keys {
    List(KeysList),
    Check(KeysCheck),
    Add(KeysAdd),
    Rotate(KeysRotate),
    Revoke(KeysRevoke),
    Rewrap(KeysRewrap),
    Writer(Writer),
}

/// Show who can read and who can write
///
/// Passphrases (by the fingerprint of the bundle that each opens), recipients of data keys, and hosts with writer files.
/// Any key shows them. A stored data key does not say to whom it is wrapped: with --data-keys, which needs keys that read,
/// every one is opened and counted for the recipients that it is known to be wrapped to.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal keys list
  stonewal keys list --data-keys --json")]
pub(in crate::cli) struct KeysList {
    /// Open every data key and count them by recipient
    #[arg(long)]
    pub(in crate::cli) data_keys: bool,
}

/// Prove that a recovery file, or the passphrase, opens every backup
///
/// Opens the data keys of every backup and of all WAL, and reads none of the data. Names the ones that do not open.
/// Exit code 5 if some are not wrapped to these keys, 4 if some are lost or were tampered with.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal keys check --identity-file recovery.txt
  stonewal keys check        # with the passphrase")]
pub(in crate::cli) struct KeysCheck {}

/// Add a recipient or a passphrase
///
/// Nothing that is stored is rewritten. From now on new data keys are wrapped to the new recipient too: hosts with writer
/// files learn of it from the bucket. With --past the data keys that are stored already get one more wrap each, and old
/// backups open for it as well. A passphrase opens the same identity as the first one, so that it reads all at once.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true))]
#[command(after_long_help = "\
Examples:
  stonewal keys add --recovery-file recovery-2.txt --name 'safe in Bern' --past
  stonewal keys add --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
  stonewal keys add --kms alias/backups --kms-file kms.txt --past
  BACKUP_PASSPHRASE_NEW='another long sentence' stonewal keys add --passphrase --name operations

Variables:
  BACKUP_PASSPHRASE            opens the identity bundle (or keys.passphrase_file)
  BACKUP_PASSPHRASE_NEW        the passphrase to add (or keys.new_passphrase_file)")]
pub(in crate::cli) struct KeysAdd {
    /// An age recipient, or one in AWS KMS as `keys list --json` shows it
    #[arg(long, value_name = "age1…", group = "what")]
    pub(in crate::cli) recipient: Option<String>,
    /// Make a recipient and write its secret half to this new file
    #[arg(long, value_name = "FILE", group = "what")]
    pub(in crate::cli) recovery_file: Option<PathBuf>,
    /// A key in AWS KMS (ECC_NIST_P256, KEY_AGREEMENT), by id, ARN or alias: whoever may use it reads
    #[arg(long, value_name = "KEY", group = "what", requires = "kms_file")]
    pub(in crate::cli) kms: Option<String>,
    /// The new file for --identity-file with which holders of the key in AWS KMS read; it holds no secret
    #[arg(long, value_name = "FILE", requires = "kms")]
    pub(in crate::cli) kms_file: Option<PathBuf>,
    /// Another passphrase: BACKUP_PASSPHRASE_NEW
    #[arg(long, group = "what")]
    pub(in crate::cli) passphrase: bool,
    /// Name for people, shown by `keys list`
    #[arg(long)]
    pub(in crate::cli) name: Option<String>,
    /// Wrap stored data keys too
    #[arg(long, conflicts_with = "passphrase")]
    pub(in crate::cli) past: bool,
    /// File with the passphrase to add, if BACKUP_PASSPHRASE_NEW is not set
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) new_passphrase_file: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}

/// Put a new passphrase in the place of the one in use
///
/// The old passphrase publishes nothing from now on, and still reads what it could read: its bundle is locked, and what is
/// locked stays. It reads new backups too, unless --identity puts a new identity behind the new passphrase. Old backups are
/// read with either. Nothing that is stored is rewritten or sent again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  BACKUP_PASSPHRASE_NEW='another long sentence' stonewal keys rotate
  stonewal keys rotate --identity --new-passphrase-file new-passphrase

Variables:
  BACKUP_PASSPHRASE            the passphrase that is given up (or keys.passphrase_file)
  BACKUP_PASSPHRASE_NEW        the new one (or keys.new_passphrase_file)")]
pub(in crate::cli) struct KeysRotate {
    /// Wrap new data keys to a new identity, which only the new passphrase opens; other passphrases count no more
    #[arg(long)]
    pub(in crate::cli) identity: bool,
    /// Name of the new passphrase, for people
    #[arg(long)]
    pub(in crate::cli) name: Option<String>,
    /// File with the new passphrase, if BACKUP_PASSPHRASE_NEW is not set
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) new_passphrase_file: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}

/// Wrap nothing new to a recipient, or give up a passphrase
///
/// What is stored can be read with the old key for as long as it is there. Nobody can take that back: the answer says until
/// when what is stored may be locked.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal keys revoke age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
  stonewal keys revoke 5b0c6f2e9a3d4c1f

Variables:
  BACKUP_PASSPHRASE            a passphrase that stays (or keys.passphrase_file)")]
pub(in crate::cli) struct KeysRevoke {
    /// A recipient, the ARN of a key in AWS KMS, or the fingerprint of a passphrase's bundle, as `keys list` shows them
    #[arg(value_name = "RECIPIENT|FINGERPRINT")]
    pub(in crate::cli) what: String,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}

/// Wrap every stored data key to every recipient that counts
///
/// Adds the wraps that are missing, some hundred bytes each, and changes none. May be interrupted and run again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  stonewal keys rewrap --all

Variables:
  BACKUP_PASSPHRASE            opens the data keys (or keys.passphrase_file)")]
pub(in crate::cli) struct KeysRewrap {
    /// Of every cluster, backups and WAL
    #[arg(long, required = true)]
    pub(in crate::cli) all: bool,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}

/// Copy backups under fresh data keys
///
/// For when a key that opens them was in wrong hands. Every frame is read, authenticated and sealed again under keys that only
/// the present recipients open; nothing is kept on disk, and every copy is opened once more before it counts. A copy keeps the
/// times of its original and takes its place: `retention plan` expires the original, and `retention apply` removes it once its
/// locks have ended. Until then, and for whoever has copied it, the original opens for the old key. WAL is not copied. May be
/// interrupted and run again: copies that are whole are not made twice. It resumes by the backup: one that was not whole is copied anew.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal keys rotate --identity && export BACKUP_PASSPHRASE=\"$BACKUP_PASSPHRASE_NEW\"
  stonewal reencrypt 20261124T031500Z-5b0c6f2e 20261125T031500Z-9a3d4c1f
  stonewal retention plan

Variables:
  BACKUP_PASSPHRASE            opens the originals and signs the copies (or keys.passphrase_file)")]
pub(in crate::cli) struct Reencrypt {
    /// Ids of backups, as `list` shows them
    #[arg(value_name = "BACKUP", required = true)]
    pub(in crate::cli) backups: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}

/// Make a writer file for a backup host
///
/// With a writer file, and without the passphrase, a host can back up, list and verify checksums; it cannot read what is
/// stored. Copy the file to the host, make it readable by the backup user only, and set keys.writer_file there.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  stonewal keys writer --name db1 --out db1.writer

Variables:
  BACKUP_PASSPHRASE            opens the identity bundle, which vouches for the new key")]
pub(in crate::cli) struct Writer {
    /// Name of the host, for people
    #[arg(long, value_name = "HOST")]
    pub(in crate::cli) name: String,
    /// The new file
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) lock: LockFlags,
}
