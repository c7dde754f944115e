//! `import` and `import base`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::{Import, ImportBase};
use crate::cli::failure::{Failure, Result};
use crate::cli::resolve::{self, Purpose};
use crate::commands::{import, import_base};
use crate::observe::Progress;

impl Run<'_> {
    pub(super) async fn import(&self, args: &Import) -> Result<Exit> {
        let artifact = import::ArtifactOptions {
            file: args.file.clone().unwrap_or_default(),
            meta: args.meta.clone(),
            passphrase: self.import_passphrase()?,
            iterations: self.settings.import.iterations,
            taken_at: args.taken_at.as_deref().map(|text| resolve::moment("--taken-at", text)).transpose()?,
        };
        let options = import::Options { artifact, into: self.import_into(args)? };
        let progress = Progress::new();
        let notes = Notes::of("import.dump").with("file", options.artifact.file.display());
        let notes = match &options.into {
            import::Into::Database(target) => notes.with("database", target.info.redacted()),
            import::Into::Repository(target) => notes.cluster(&target.cluster),
        };
        let job = async |notes: &Notes| {
            let job = Box::pin(import::run(options, &progress, self.cancel()));
            let outcome = self.in_good_order(&progress, job).await?;
            if let Some(sealed) = &outcome.backup {
                notes.object("backup", &sealed.backup);
                notes.number("stored_bytes", sealed.stored_bytes);
            }
            notes.number("plain_bytes", outcome.plain_bytes);
            Ok(self.screen.deliver(&outcome))
        };
        // Straight into a database: nothing of a repository is touched, and there may be none.
        if args.restore { job(&notes).await } else { self.audited(notes, job).await }
    }

    pub(super) async fn import_base(&self, args: ImportBase) -> Result<Exit> {
        let settings = self.settings;
        let options = import_base::Options {
            taken_at: args.taken_at.as_deref().map(|text| resolve::moment("--taken-at", text)).transpose()?,
            from: args.from,
            wal: args.wal,
            repository: resolve::repository(settings)?,
            access: resolve::access(settings, Purpose::Write)?,
            cluster: resolve::cluster(settings)?,
            encoding: resolve::encoding(settings.dump.codec, settings.dump.level),
            wal_encoding: resolve::encoding(settings.wal.codec, settings.wal.level),
            chunk_bytes: settings.limits.chunk_bytes,
            uploads: settings.limits.uploads,
        };
        let progress = Progress::new();
        let notes = Notes::of("import.base").cluster(&options.cluster).with("file", options.from.display());
        let job = async |notes: &Notes| {
            let job = Box::pin(import_base::run(options, &progress, self.cancel()));
            let outcome = self.in_good_order(&progress, job).await?;
            notes.object("backup", &outcome.backup);
            notes.number("stored_bytes", outcome.stored_bytes);
            notes.number("plain_bytes", outcome.plain_bytes);
            Ok(self.screen.deliver(&outcome))
        };
        self.audited(notes, job).await
    }

    /// That of the file; the scripts had one for everything.
    fn import_passphrase(&self) -> Result<secrecy::SecretString> {
        let own = self.settings.import.passphrase()?;
        let passphrase = own.map_or_else(|| self.settings.keys.passphrase(), |own| Ok(Some(own)))?;
        let way_out = "set IMPORT_PASSPHRASE, or import.passphrase_file to a file that only you may read";
        passphrase.ok_or_else(|| Failure::usage("the passphrase of the file is not set", way_out))
    }

    fn import_into(&self, args: &Import) -> Result<import::Into> {
        let settings = self.settings;
        if args.restore {
            let what = args.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
            let target = self.database_target(args.to.as_deref(), args.confirm, what, false)?;
            return Ok(import::Into::Database(Box::new(target)));
        }
        Ok(import::Into::Repository(Box::new(import::RepositoryTarget {
            repository: resolve::repository(settings)?,
            access: resolve::access(settings, Purpose::Write)?,
            cluster: resolve::cluster(settings)?,
            encoding: resolve::encoding(settings.dump.codec, settings.dump.level),
            chunk_bytes: settings.limits.chunk_bytes,
            uploads: settings.limits.uploads,
        })))
    }
}
