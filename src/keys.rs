//! Secrets: the passphrase's identity bundle, recipients, writer keys, data keys; wrapping and unwrapping.
//!
//! A repository has one *identity* (X25519, in the `age` format) that opens data keys, and one *root writer* (Ed25519)
//! that everything else is trusted through. Both live in the identity bundle, sealed under the passphrase. Hosts that
//! must not decrypt get a *writer file* instead: the recipients, a writer key of their own, and an identity that opens
//! metadata keys only. What a process holds of all this is its [`Keyring`].
//! A key in AWS KMS can be a recipient too: whoever wraps to it needs its public half alone, whoever opens asks KMS.

mod bundle;
mod certificate;
mod error;
mod keyring;
mod kms;
mod random;
mod recovery;
mod wrap;
mod writer;
mod writer_file;

pub use bundle::Bundle;
pub use certificate::Certificate;
pub use error::{Error, Result};
pub use keyring::Keyring;
pub use kms::{Agreed, Agreement, Door, KmsAccess, KmsError, KmsFile, KmsKey, Point};
pub use random::{backup_suffix, data_key, repository_id, salt, stream_id, tag};
pub use recovery::RecoveryFile;
pub use wrap::{Identity, Recipient, unwrap, wrap};
pub use writer::WriterKey;
pub use writer_file::WriterFile;
