//! `audit log` and `audit verify`.

use super::Run;
use crate::cli::Exit;
use crate::cli::args::{Audit, AuditLog, AuditVerify};
use crate::cli::failure::Result;
use crate::cli::report::AuditCsv;
use crate::cli::resolve::{self, Purpose};
use crate::commands::audit::{log, verify};

impl Run<'_> {
    pub(super) async fn audit(&self, args: Audit) -> Result<Exit> {
        match args {
            Audit::Log(args) => self.audit_log(args).await,
            Audit::Verify(args) => self.audit_verify(&args).await,
        }
    }

    async fn audit_log(&self, args: AuditLog) -> Result<Exit> {
        let moment = |flag, text: &Option<String>| text.as_deref().map(|text| resolve::moment(flag, text)).transpose();
        let (since, until) = (moment("--since", &args.since)?, moment("--until", &args.until)?);
        let backup = args.backup.as_deref().map(resolve::backup).transpose()?;
        let options = log::Options {
            repository: resolve::repository(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            filter: log::Filter {
                since,
                until,
                deed: args.deed,
                cluster: resolve::cluster_or_all(self.settings, args.all_clusters)?,
                who: args.who,
                host: args.host,
                backup,
            },
        };
        let outcome = self.until_interrupted(Box::pin(log::run(options))).await?;
        Ok(if args.csv { self.screen.deliver(&AuditCsv(outcome)) } else { self.screen.deliver(&outcome) })
    }

    async fn audit_verify(&self, _: &AuditVerify) -> Result<Exit> {
        let options = verify::Options {
            repository: resolve::repository(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            soon: self.settings.status.min_lock,
        };
        let outcome = self.until_interrupted(Box::pin(verify::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }
}
