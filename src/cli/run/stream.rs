//! `wal stream`.

use super::Run;
use super::audit::Notes;
use crate::cli::Exit;
use crate::cli::args::WalStream;
use crate::cli::failure::Result;
use crate::cli::resolve::{self, Purpose};
use crate::commands::wal_stream::{self, Event};
use crate::observe::Progress;

impl Run<'_> {
    /// Streams until it is told to stop, which is how it is meant to end.
    pub(super) async fn wal_stream(&self, args: &WalStream) -> Result<Exit> {
        let until = args.until_lsn.as_deref().map(resolve::lsn).transpose()?;
        let settings = self.settings;
        let (wal, stream) = (&settings.wal, &settings.stream);
        let options = wal_stream::Options {
            repository: resolve::repository(settings)?,
            access: resolve::access(settings, Purpose::Write)?,
            cluster: resolve::cluster(settings)?,
            source: resolve::replication(settings)?,
            slot: stream.slot.clone(),
            create_slot: stream.create_slot,
            unbounded_slot: stream.unbounded_slot,
            flush_interval: stream.flush_interval,
            mode: resolve::wal_mode(stream.mode),
            application_name: stream.application_name.clone(),
            partial_retain: stream.partial_retain,
            encoding: resolve::encoding(wal.codec, wal.level),
            uploads: settings.limits.uploads,
            until,
        };
        let tell = |event| match event {
            Event::Note(text) => self.screen.remark(&text),
            Event::Warning(text) => self.screen.say(&format!("warning: {text}")),
        };
        let notes = Notes::of("wal.stream").cluster(&options.cluster).with("server", options.source.redacted());
        let job = async |notes: &Notes| {
            let job = Box::pin(wal_stream::run(options, &tell, self.cancel()));
            let outcome = self.in_good_order(&Progress::new(), job).await?;
            notes.object("position", outcome.durable);
            notes.number("objects", outcome.objects);
            notes.number("stored_bytes", outcome.stored_bytes);
            Ok(self.screen.deliver(&outcome))
        };
        self.audited(notes, job).await
    }
}
