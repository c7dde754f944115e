//! `store serve` and `demo`.

use super::Run;
use crate::cli::Exit;
use crate::cli::args::Serve;
use crate::cli::failure::Result;
use crate::cli::resolve;
use crate::commands::demo::{self, Event};
use crate::commands::serve;

impl Run<'_> {
    /// Serves until it is told to stop, which is how it is meant to end.
    pub(super) async fn serve(&self, args: Serve) -> Result<Exit> {
        let options = serve::Options { root: args.root, listen: args.listen, request_log: args.request_log };
        let (server, outcome) = self.until_interrupted(Box::pin(serve::start(options))).await?;
        let exit = self.screen.deliver(&outcome);
        self.cancel().cancelled().await;
        server.stop().await;
        Ok(exit)
    }

    pub(super) async fn demo(&self) -> Result<Exit> {
        let options = demo::Options {
            bin_dir: self.settings.postgres.bin_dir.clone(),
            environment: resolve::environment(&self.settings.environment),
        };
        let tell = |event| match event {
            Event::Chapter(title) => self.screen.tell(&format!("\n{title}")),
            Event::Line(line) => self.screen.tell(&format!("  {line}")),
        };
        let outcome = Box::pin(demo::run(options, &tell, self.cancel())).await?;
        Ok(self.screen.deliver(&outcome))
    }
}
