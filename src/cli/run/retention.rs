//! `retention plan`.

use super::Run;
use crate::cli::Exit;
use crate::cli::args::RetentionPlan;
use crate::cli::failure::Result;
use crate::cli::resolve::{self, Purpose};
use crate::commands::retention::plan;

impl Run<'_> {
    pub(super) async fn retention_plan(&self, args: &RetentionPlan) -> Result<Exit> {
        let options = plan::Options {
            repository: resolve::repository(self.settings)?,
            access: resolve::access(self.settings, Purpose::Look)?,
            cluster: resolve::cluster_or_all(self.settings, args.all_clusters)?,
            policy: resolve::policy(self.settings)?,
            at: args.at.as_deref().map(|text| resolve::moment("--at", text)).transpose()?,
        };
        let outcome = self.until_interrupted(Box::pin(plan::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }
}
