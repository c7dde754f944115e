//! `report`.

use std::io::IsTerminal as _;

use jiff::SignedDuration;

use super::Run;
use crate::cli::Exit;
use crate::cli::args::{Checklist, Report, ReportDr};
use crate::cli::failure::{Failure, Result};
use crate::cli::report::{Checked, Dr, Form, Page};
use crate::cli::resolve::{self, Purpose};
use crate::commands::{report, status};

impl Run<'_> {
    pub(super) async fn report(&self, args: Report) -> Result<Exit> {
        let form = if args.markdown { Form::Markdown } else { Form::Html };
        if args.into.is_none() {
            self.can_be_printed(form)?;
        }
        let outcome = self.until_interrupted(Box::pin(report::run(self.report_options(args.all_clusters)?))).await?;
        let mut page = Page::new(outcome, form);
        if let Some(path) = args.into {
            report::replace(&path, page.text().as_bytes())?;
            page = page.written_to(path);
        }
        Ok(self.screen.deliver(&page))
    }

    pub(super) async fn report_dr(&self, args: ReportDr) -> Result<Exit> {
        let path = args.into;
        let before = report::dr::read(&path)?;
        let outcome = self.until_interrupted(Box::pin(report::run(self.report_options(args.all_clusters)?))).await?;
        let report = Dr::new(outcome, path);
        let after = report::dr::refresh(&before, &report.path().display().to_string(), report.table())?;
        if after != before {
            report::replace(report.path(), after.as_bytes())?;
        }
        Ok(self.screen.deliver(&report))
    }

    pub(super) async fn checklist(&self, args: &Checklist) -> Result<Exit> {
        let outcome = self.until_interrupted(Box::pin(report::run(self.report_options(args.all_clusters)?))).await?;
        Ok(self.screen.deliver(&Checked::new(outcome, args.markdown)))
    }

    fn report_options(&self, all_clusters: bool) -> Result<report::Options> {
        let (settings, limits) = (self.settings, self.settings.status);
        Ok(report::Options {
            repository: resolve::repository(settings)?,
            access: resolve::access(settings, Purpose::Look)?,
            cluster: resolve::cluster_or_all(settings, all_clusters)?,
            policy: resolve::policy(settings)?,
            terms: report::Terms {
                max_age: SignedDuration::try_from(settings.drill.max_age).unwrap_or(SignedDuration::MAX),
                release: settings.verify.release.clone(),
            },
            thresholds: status::Thresholds {
                max_lag: limits.max_lag,
                max_base_age: limits.max_base_age,
                min_lock: limits.min_lock,
            },
        })
    }

    /// Two documents cannot share standard output, and nobody reads markup on a terminal.
    fn can_be_printed(&self, form: Form) -> Result<()> {
        match form {
            Form::Markdown if self.screen.is_json() => Err(Failure::usage(
                "--markdown and --json are two documents for one standard output",
                "give one of them, or --into FILE for the Markdown",
            )),
            Form::Html if !self.screen.is_json() && std::io::stdout().is_terminal() => Err(Failure::usage(
                "the page is for a browser, and standard output is a terminal",
                "give --into report.html, or --markdown to read it here",
            )),
            _ => Ok(()),
        }
    }
}
