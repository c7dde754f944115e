//! `keys`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{Keys, KeysAdd, KeysRotate, Reencrypt, Writer};
use crate::cli::failure::Result;
use crate::cli::report::WithPassphrase;
use crate::cli::resolve::{self, Purpose};
use crate::commands::keys::{Holder, add, check, list, revoke, rewrap, rotate};
use crate::commands::parts::Access;
use crate::commands::{reencrypt, writer};
use crate::observe::Progress;

impl Run<'_> {
    pub(super) async fn keys(&self, command: Keys) -> Result<Exit> {
        match command {
            Keys::Writer(args) => {
                let notes = Notes::of("keys.writer").with("host", &args.name);
                self.audited(notes, async |notes| self.keys_writer(args, notes).await).await
            }
            Keys::List(args) => {
                // What can be counted depends on what can be opened.
                let purpose = if args.data_keys { Purpose::Read } else { Purpose::Look };
                let options = list::Options {
                    repository: resolve::repository(self.settings)?,
                    access: resolve::access(self.settings, purpose)?,
                    data_keys: args.data_keys,
                };
                let outcome = self.until_interrupted(Box::pin(list::run(options))).await?;
                Ok(self.screen.deliver(&outcome))
            }
            Keys::Check(_) => {
                let repository = resolve::reading(self.settings)?;
                let access = resolve::access(self.settings, Purpose::Read)?;
                let checking = Box::pin(check::run(check::Options { repository, access }));
                let outcome = self.until_interrupted(checking).await?;
                Ok(self.screen.deliver(&outcome))
            }
            Keys::Add(args) => {
                self.audited(Notes::of("keys.add"), async |notes| self.keys_add(args, notes).await).await
            }
            Keys::Rotate(args) => {
                self.audited(Notes::of("keys.rotate"), async |notes| self.keys_rotate(args, notes).await).await
            }
            Keys::Revoke(args) => {
                self.audited(Notes::of("keys.revoke"), async |notes| {
                    let options = revoke::Options { holder: self.holder()?, what: args.what };
                    let outcome = self.until_interrupted(Box::pin(revoke::run(options))).await?;
                    notes.object("retired", &outcome.revoked);
                    notes.number("roster", outcome.generation);
                    Ok(self.screen.deliver(&outcome))
                })
                .await
            }
            Keys::Rewrap(_) => {
                self.audited(Notes::of("keys.rewrap"), async |notes| {
                    let repository = resolve::repository(self.settings)?;
                    let access = resolve::access(self.settings, Purpose::Read)?;
                    let wrapping = Box::pin(rewrap::run(rewrap::Options { repository, access }));
                    let outcome = self.until_interrupted(wrapping).await?;
                    notes.number("wraps_added", outcome.added);
                    Ok(self.screen.deliver(&outcome))
                })
                .await
            }
        }
    }

    /// Whoever changes the keys needs a passphrase, whatever files there are.
    fn holder(&self) -> Result<Holder> {
        Ok(Holder {
            repository: resolve::repository(self.settings)?,
            passphrase: self.settings.keys.require_passphrase()?,
            bundle: resolve::bundle(self.settings)?,
        })
    }

    async fn keys_add(&self, args: KeysAdd, notes: &Notes) -> Result<Exit> {
        let (mut new, mut what) = (None, None);
        if args.passphrase {
            let passphrase = self.settings.keys.require_new_passphrase()?;
            new = Some(passphrase.clone());
            what = Some(add::What::Passphrase(passphrase));
        } else if let Some(text) = &args.recipient {
            what = Some(add::What::Recipient(text.parse().map_err(crate::commands::Error::from)?));
        } else if let (Some(key), Some(file)) = (args.kms, args.kms_file) {
            what = Some(add::What::Kms { key, options: resolve::kms(self.settings), file });
        }
        let what = what.unwrap_or_else(|| add::What::RecoveryFile(args.recovery_file.unwrap_or_default()));
        let options = add::Options { holder: self.holder()?, what, name: args.name, past: args.past };
        let outcome = self.until_interrupted(Box::pin(add::run(options))).await?;
        notes.object(if outcome.passphrase { "bundle" } else { "recipient" }, &outcome.added);
        notes.number("roster", outcome.generation);
        Ok(self.screen.deliver(&WithPassphrase::new(outcome, new.as_ref())))
    }

    async fn keys_rotate(&self, args: KeysRotate, notes: &Notes) -> Result<Exit> {
        let new_passphrase = self.settings.keys.require_new_passphrase()?;
        let new = new_passphrase.clone();
        let KeysRotate { identity, name, .. } = args;
        let options = rotate::Options { holder: self.holder()?, new_passphrase, name, identity };
        let outcome = self.until_interrupted(Box::pin(rotate::run(options))).await?;
        notes.object("bundle", &outcome.bundle);
        outcome.retired.iter().for_each(|retired| notes.object("retired", retired));
        notes.number("roster", outcome.generation);
        Ok(self.screen.deliver(&WithPassphrase::new(outcome, Some(&new))))
    }

    pub(super) async fn reencrypt(&self, args: Reencrypt) -> Result<Exit> {
        let notes = Notes::of("reencrypt").cluster(&resolve::cluster(self.settings)?);
        for id in &args.backups {
            notes.object("backup", id);
        }
        self.audited(notes, async |notes| self.copy(args, notes).await).await
    }

    async fn copy(&self, args: Reencrypt, notes: &Notes) -> Result<Exit> {
        let Holder { repository, passphrase, bundle } = self.holder()?;
        let access = match bundle {
            Some(fingerprint) => Access::Bundle { passphrase, fingerprint },
            None => Access::Passphrase(passphrase),
        };
        let backups = args.backups.iter().map(|id| id.parse()).collect::<Result<Vec<_>, _>>();
        let limits = &self.settings.limits;
        let options = reencrypt::Options {
            repository,
            access,
            cluster: resolve::cluster(self.settings)?,
            backups: backups.map_err(crate::commands::Error::Format)?,
            wal: args.wal,
            chunk_bytes: limits.chunk_bytes,
            uploads: limits.uploads,
            downloads: limits.downloads,
        };
        let progress = Progress::new();
        let copying = Box::pin(reencrypt::run(options, &progress, self.cancel()));
        let outcome = self.in_good_order(&progress, copying).await?;
        for copied in &outcome.backups {
            notes.object("copy", &copied.to);
        }
        let of_backups: u64 = outcome.backups.iter().map(|copied| copied.stored_bytes).sum();
        let wal = outcome.wal.as_ref();
        notes.number("stored_bytes", of_backups + wal.map_or(0, |wal| wal.stored_bytes));
        if let Some(wal) = wal {
            notes.number("wal_copied", wal.copied);
        }
        Ok(self.screen.deliver(&outcome))
    }

    async fn keys_writer(&self, args: Writer, notes: &Notes) -> Result<Exit> {
        let Holder { repository, passphrase, bundle } = self.holder()?;
        let options = writer::Options { repository, passphrase, bundle, name: args.name, out: args.out };
        let outcome = self.until_interrupted(Box::pin(writer::run(options))).await?;
        notes.object("writer", &outcome.writer);
        Ok(self.screen.deliver(&outcome))
    }
}
