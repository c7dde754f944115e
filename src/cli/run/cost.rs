//! `cost`.

use jiff::SignedDuration;

use super::Run;
use crate::cli::Exit;
use crate::cli::args::Cost;
use crate::cli::failure::Result;
use crate::cli::resolve::{self, Purpose};
use crate::commands::cost;

impl Run<'_> {
    pub(super) async fn cost(&self, args: &Cost) -> Result<Exit> {
        let settings = self.settings;
        let options = cost::Options {
            repository: resolve::repository(settings)?,
            access: resolve::access_if_any(settings, Purpose::Look)?,
            cluster: resolve::cluster_or_all(settings, args.all_clusters)?,
            policy: resolve::policy(settings)?,
            partial_retain: SignedDuration::try_from(settings.stream.partial_retain).unwrap_or(SignedDuration::MAX),
            locks: args.locks,
            prices: resolve::prices(settings),
        };
        let outcome = self.until_interrupted(Box::pin(cost::run(options))).await?;
        Ok(self.screen.deliver(&outcome))
    }
}
