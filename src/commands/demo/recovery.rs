//! The second half of the story: WAL streams into the bucket, somebody drops a table, and the cluster is recovered to the
//! second before.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{Event, Listener, SOURCE, Stage, cluster, data};
use crate::catalog::Access;
use crate::catalog::plan::{Goal, Request, TimelineChoice};
use crate::commands::restore_base::{self, Action, Target, WalSource};
use crate::commands::restore_dump::Confirm;
use crate::commands::{Error, Result, backup_base, wal_stream};
use crate::format::{Codec, Lsn};
use crate::limits::{CHUNK_BYTES_MIN, DOWNLOADS_DEFAULT, UPLOADS_DEFAULT};
use crate::observe::Progress;
use crate::observe::clock::Stopwatch;
use crate::pipeline::Encoding;
use crate::postgres::Session;
use crate::postgres::server::{OpenOptions, Phase, Server as Postgres};

/// The name by which the server knows the streamer.
const STREAMER: &str = "stonewal";
/// How long anything may take that a server does by itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// A moment of the source, and what was in it.
pub(super) struct Moment {
    at: Timestamp,
    digests: data::Digests,
}

impl Stage {
    /// Streams WAL, takes a base, writes on, and loses a table.
    pub(super) async fn stream(&self, tell: Listener<'_>) -> Result<Moment> {
        tell(Event::Chapter("WAL streams into the bucket while the application writes"));
        let stop = self.cancel.child_token();
        let streaming = wal_stream::run(self.stream_options()?, &|_| (), &stop);
        let acting = async {
            let moment = self.act(tell).await;
            stop.cancel();
            moment
        };
        let (streamed, moment) = Box::pin(async { tokio::join!(streaming, acting) }).await;
        let (streamed, moment) = (streamed?, moment?);
        let stored = bytesize::ByteSize(streamed.stored_bytes);
        let objects = streamed.objects;
        tell(Event::Line(format!("{objects} WAL objects, {stored}, every byte before {} is locked", streamed.durable)));
        Ok(moment)
    }

    async fn act(&self, tell: Listener<'_>) -> Result<Moment> {
        self.durable(Lsn::new(1)).await?;
        let base = Box::pin(backup_base::run(self.base_options()?, &Progress::new(), &self.cancel)).await?;
        let bytes = bytesize::ByteSize(base.plain_bytes);
        tell(Event::Line(format!("base {}: {} files, {bytes}, from {}", base.backup, base.files, base.range.start)));
        for year in 2024..2027 {
            self.server.execute(SOURCE, &data::more_invoices(year)).await?;
        }
        let moment = Moment { digests: data::digests(&self.server, SOURCE).await?, at: self.now().await? };
        // COMMIT records tell microseconds; people tell seconds.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        self.server.execute(SOURCE, "DROP TABLE public.invoices CASCADE").await?;
        tell(Event::Line("somebody drops the table invoices, and only then looks at the prompt".into()));
        let watch = Stopwatch::start();
        self.durable(self.position().await?).await?;
        let seconds = watch.elapsed().as_secs_f64();
        tell(Event::Line(format!(
            "{seconds:.1} s later even that is durable and locked: RPO is a second, not a segment"
        )));
        Ok(moment)
    }

    /// Recovers to the moment and compares.
    pub(super) async fn recover(&self, moment: &Moment, passphrase: &SecretString, tell: Listener<'_>) -> Result<u64> {
        tell(Event::Chapter("The recovery, to the second before the accident"));
        let watch = Stopwatch::start();
        let dir = self.server.make_dir("recovered")?;
        let options = self.restore_options(moment.at, dir.clone(), passphrase)?;
        let done = Box::pin(restore_base::run(options, &Progress::new(), &self.cancel)).await?;
        let restored = done.restored.ok_or_else(|| Error::Demo("nothing was restored".into()))?;
        tell(Event::Line(format!(
            "base {}: {} files, and the WAL up to {}",
            restored.backup, restored.files, moment.at
        )));
        let mut open = OpenOptions::new(dir, self.folder.join("recovered"));
        open.bin_dir = Some(self.server.bin_dir().to_owned());
        let mut server = Postgres::open(&open).await?;
        let compared = self.compare(&mut server, moment).await;
        let stopped = server.stop().await;
        let rows = compared?;
        stopped?;
        let seconds = watch.elapsed().as_secs_f64();
        tell(Event::Line(format!("invoices is back with all its rows; {rows} rows are the same, in {seconds:.1} s")));
        Ok(rows)
    }

    async fn compare(&self, server: &mut Postgres, moment: &Moment) -> Result<u64> {
        let phase = server.wait_for(|phase| *phase == Phase::Writable || phase.is_ended(), PATIENCE).await?;
        if phase != Phase::Writable {
            return Err(Error::Demo(format!("the recovered server did not open: {}", server.log())));
        }
        let found = data::digests(server, SOURCE).await?;
        if found != moment.digests {
            return Err(Error::Demo(format!("the recovered tables differ: {:?} became {found:?}", moment.digests)));
        }
        data::check_chain(server, SOURCE).await?;
        Ok(found.values().map(|digest| digest.rows).sum())
    }

    /// Waits until the server has been told that everything before `lsn` is durable.
    async fn durable(&self, lsn: Lsn) -> Result<()> {
        let session = Session::connect(&self.server.socket_conninfo("postgres")?, "stonewal demo").await?;
        let sql = "SELECT coalesce(max(flush_lsn) >= $1::text::pg_lsn, false) FROM pg_catalog.pg_stat_replication \
                   WHERE application_name = $2";
        let watch = Stopwatch::start();
        while watch.elapsed() < PATIENCE {
            let row = session.client().query_one(sql, &[&lsn.to_string(), &STREAMER]).await;
            if row.map_err(|e| Error::Demo(e.to_string()))?.get(0) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Error::Demo(format!("WAL up to {lsn} did not become durable in a minute")))
    }

    async fn now(&self) -> Result<Timestamp> {
        let text =
            self.value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
        text.await?.parse().map_err(|e: jiff::Error| Error::Demo(e.to_string()))
    }

    async fn position(&self) -> Result<Lsn> {
        Ok(self.value("SELECT pg_catalog.pg_current_wal_lsn()::text").await?.parse()?)
    }

    async fn value(&self, sql: &str) -> Result<String> {
        let session = Session::connect(&self.server.socket_conninfo("postgres")?, "stonewal demo").await?;
        let row = session.client().query_one(sql, &[]).await.map_err(|e| Error::Demo(e.to_string()))?;
        Ok(row.get(0))
    }

    fn stream_options(&self) -> Result<wal_stream::Options> {
        Ok(wal_stream::Options {
            repository: self.repository(super::Role::Writer)?,
            access: self.host()?,
            cluster: cluster()?,
            source: self.server.conninfo("postgres")?,
            slot: STREAMER.into(),
            create_slot: true,
            unbounded_slot: false,
            flush_interval: Duration::from_secs(1),
            mode: wal_stream::Mode::Auto,
            application_name: STREAMER.into(),
            partial_retain: Duration::from_hours(24 * 7),
            encoding: encoding(),
            uploads: UPLOADS_DEFAULT,
            until: None,
        })
    }

    fn base_options(&self) -> Result<backup_base::Options> {
        Ok(backup_base::Options {
            repository: self.repository(super::Role::Writer)?,
            access: self.host()?,
            cluster: cluster()?,
            source: self.server.conninfo("postgres")?,
            label: None,
            fast_checkpoint: true,
            max_rate_kib: None,
            verify_checksums: true,
            encoding: encoding(),
            chunk_bytes: CHUNK_BYTES_MIN,
            uploads: UPLOADS_DEFAULT,
        })
    }

    fn restore_options(
        &self,
        at: Timestamp,
        dir: std::path::PathBuf,
        passphrase: &SecretString,
    ) -> Result<restore_base::Options> {
        let request = Request { goal: Goal::Time(at), inclusive: true, timeline: TimelineChoice::Latest, base: None };
        let target = Target {
            dir,
            tablespaces: Vec::new(),
            delta: false,
            confirm: Confirm::Given,
            // Not needed: the WAL is fetched now, so that PostgreSQL's user need not be able to run this very program.
            program: std::path::PathBuf::from(STREAMER),
            aws: Vec::new(),
            programs: self.programs(),
        };
        Ok(restore_base::Options {
            repository: self.repository(super::Role::Reader)?,
            access: Access::Passphrase(passphrase.clone()),
            cluster: cluster()?,
            request,
            target: Some(target),
            wal: WalSource::Local,
            action: Action::Promote,
            downloads: DOWNLOADS_DEFAULT,
        })
    }
}

fn encoding() -> Encoding {
    Encoding { codec: Codec::Gzip, level: Codec::Gzip.default_level() }
}
