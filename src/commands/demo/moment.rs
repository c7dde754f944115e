//! The second act: the WAL goes into the bucket while it is written, a table is dropped "by accident", and the cluster comes
//! back as it was the second before.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{DOWNLOADS_DEFAULT, Event, Listener, SOURCE, Stage, UPLOADS_DEFAULT, cluster, data};
use crate::catalog::Access;
use crate::catalog::plan::{Goal, Request, TimelineChoice};
use crate::commands::restore_base::{Action, Target, WalSource};
use crate::commands::restore_dump::Confirm;
use crate::commands::{Error, Result, backup_base, restore_base, wal_stream};
use crate::format::{Codec, Lsn};
use crate::limits::CHUNK_BYTES_MIN;
use crate::observe::Progress;
use crate::observe::clock::Stopwatch;
use crate::pipeline::Encoding;
use crate::postgres::control::Control;
use crate::postgres::server::{OpenOptions, Server};
use crate::store::roles::Role;

/// How long the last commit may take to become durable, and a recovery to end.
const PATIENCE: Duration = Duration::from_mins(1);

const ENCODING: Encoding = Encoding { codec: Codec::Lz4, level: 1 };

/// The second before the accident, and what there was.
pub(super) struct Moment {
    at: Timestamp,
    digests: data::Digests,
}

impl Stage {
    /// A base backup and a stream of WAL; then work, the accident, and more work.
    pub(super) async fn accident(&self, writer: Access, streamer: Access, tell: Listener<'_>) -> Result<Moment> {
        tell(Event::Chapter("Every commit goes to the bucket, and then somebody drops a table"));
        let (cancel, quiet) = (self.cancel.child_token(), |_| ());
        let options = self.stream_options(streamer)?;
        let mut stream = Box::pin(wal_stream::run(options, &quiet, &cancel));
        let done = tokio::select! {
            done = Box::pin(self.until_the_accident(writer, tell)) => done,
            ended = &mut stream => {
                ended?;
                return Err(Error::Demo("the stream of WAL ended by itself".into()));
            }
        };
        cancel.cancel();
        match stream.await {
            Ok(_) | Err(Error::Interrupted) => done,
            Err(error) => Err(error),
        }
    }

    async fn until_the_accident(&self, writer: Access, tell: Listener<'_>) -> Result<Moment> {
        let watch = Stopwatch::start();
        let base = Box::pin(backup_base::run(self.base_options(writer)?, &Progress::new(), &self.cancel)).await?;
        let size = bytesize::ByteSize(base.plain_bytes);
        let seconds = watch.elapsed().as_secs_f64();
        tell(Event::Line(format!("base {}: {} files, {size}, {seconds:.1} s", base.backup, base.files)));
        let more = "INSERT INTO public.companies SELECT 500 + i, 'GmbH № ' || i, 'DE' FROM generate_series(1, 250) i";
        self.server.execute(SOURCE, more).await?;
        let control = Control::connect(&self.server.conninfo(SOURCE)?, "stonewal demo").await?;
        let moment = Moment { digests: data::digests(&self.server, SOURCE).await?, at: control.now().await? };
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.server.execute(SOURCE, "DROP TABLE public.invoices").await?;
        tell(Event::Line("DROP TABLE invoices: 120000 rows gone, COMMIT and all".into()));
        self.durable(&control).await?;
        tell(Event::Line("the WAL of it is in the bucket, locked".into()));
        Ok(moment)
    }

    /// Waits until the server has heard that everything so far is durable.
    async fn durable(&self, control: &Control) -> Result<()> {
        let failed = |error: tokio_postgres::Error| Error::Demo(error.to_string());
        let client = control.session().client();
        let now: String =
            client.query_one("SELECT pg_catalog.pg_current_wal_lsn()::text", &[]).await.map_err(failed)?.get(0);
        let now: Lsn = now.parse()?;
        let sql = "SELECT flush_lsn::text FROM pg_catalog.pg_stat_replication WHERE application_name = 'stonewal'";
        let heard = async {
            loop {
                let rows = client.query(sql, &[]).await.map_err(failed)?;
                let flushed = rows.iter().filter_map(|row| row.get::<_, Option<String>>(0)?.parse::<Lsn>().ok());
                if flushed.max() >= Some(now) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let late = |_| Error::Demo(format!("the WAL up to {now} did not become durable within {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, heard).await.map_err(late)?
    }

    /// Brings the cluster back as it was at that moment, and compares.
    pub(super) async fn recover(&self, moment: &Moment, passphrase: &SecretString, tell: Listener<'_>) -> Result<()> {
        tell(Event::Chapter("The second before"));
        let (watch, dir) = (Stopwatch::start(), self.folder.join("recovered"));
        let options = restore_base::Options {
            repository: self.repository(Role::Reader)?,
            access: Access::Passphrase(passphrase.clone()),
            cluster: cluster()?,
            request: Request {
                goal: Goal::Time(moment.at),
                inclusive: true,
                timeline: TimelineChoice::Latest,
                base: None,
            },
            target: Some(self.target(dir.clone())),
            wal: WalSource::Local,
            action: Action::Promote,
            room_at: None,
            archives: true,
            downloads: DOWNLOADS_DEFAULT,
        };
        Box::pin(restore_base::run(options, &Progress::new(), &self.cancel)).await?;
        let mut open = OpenOptions::new(&dir, self.folder.join("second"));
        open.bin_dir = Some(self.server.bin_dir().to_owned());
        let mut server = Server::open(&open).await?;
        server.wait_writable(PATIENCE).await?;
        let after = data::digests(&server, SOURCE).await?;
        server.stop().await?;
        if after != moment.digests {
            return Err(Error::Demo(format!("recovery brought back other tables: {after:?}")));
        }
        let seconds = watch.elapsed().as_secs_f64();
        tell(Event::Line(format!(
            "recovered to {} in {seconds:.1} s: invoices are back, every table as it was",
            moment.at
        )));
        Ok(())
    }

    fn target(&self, dir: PathBuf) -> Target {
        Target {
            dir,
            tablespaces: Vec::new(),
            delta: false,
            confirm: Confirm::Given,
            program: PathBuf::new(),
            aws: Vec::new(),
            programs: self.programs(),
        }
    }

    fn base_options(&self, access: Access) -> Result<backup_base::Options> {
        Ok(backup_base::Options {
            repository: self.repository(Role::Writer)?,
            access,
            cluster: cluster()?,
            source: self.server.conninfo(SOURCE)?,
            label: None,
            fast_checkpoint: true,
            max_rate_kib: None,
            verify_checksums: true,
            encoding: ENCODING,
            chunk_bytes: CHUNK_BYTES_MIN,
            uploads: UPLOADS_DEFAULT,
            read_back: None,
        })
    }

    fn stream_options(&self, access: Access) -> Result<wal_stream::Options> {
        Ok(wal_stream::Options {
            repository: self.repository(Role::Writer)?,
            access,
            cluster: cluster()?,
            source: self.server.conninfo(SOURCE)?,
            slot: "stonewal".into(),
            create_slot: true,
            unbounded_slot: true,
            flush_interval: Duration::from_millis(500),
            mode: wal_stream::Mode::Auto,
            application_name: "stonewal".into(),
            partial_retain: Duration::from_hours(24),
            encoding: ENCODING,
            uploads: UPLOADS_DEFAULT,
            until: None,
        })
    }
}
