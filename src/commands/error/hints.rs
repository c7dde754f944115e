//! What the operator should do about a failure.

use super::Error;

impl Error {
    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) => return error.hint(),
            Self::Keys(error) => return error.hint(),
            Self::Catalog(error) => return error.hint(),
            Self::Pipeline(error) => return error.hint(),
            Self::Postgres(error) => return error.hint(),
            Self::NotImmutable { .. } => "Object Lock is switched on when a bucket is created: let `stonewal init` create one, or say immutability = \"none\" in the configuration and accept that backups can be deleted".into(),
            Self::NotWorm { remedy, .. } => {
                let remedy = remedy.as_ref().map_or_else(String::new, |remedy| format!("{remedy}. "));
                format!("{remedy}`stonewal doctor` shows every check; without lock.require_worm nothing is asked of the store")
            }
            Self::OtherReplica { .. } => "nothing was written. Check the section replica.NAME; a replica has a bucket, or a prefix, of its own".into(),
            Self::SameReplica { .. } => "nothing was read or written. Name the bucket of the copy, and its endpoint, in the section replica.NAME, or leave the section out".into(),
            Self::NotReady { remedy, .. } => remedy.clone(),
            Self::NothingLeft { .. } => "create a new slot (wal.create_slot = true) and take a new base backup".into(),
            Self::Disorder(_) => "run the command again: streaming continues from what the bucket holds".into(),
            Self::NotConfirmed { variable, .. } => {
                format!("give --confirm or {variable}=true once you have checked the target")
            }
            Self::Production { .. } => "check a restored copy; for this one, give --allow-production or ALLOW_VERIFY_PROD=true. A copy carries the setting with it: ALTER DATABASE … RESET stonewal.production".into(),
            Self::Diverged { .. } => "nothing was written over. The server was set back (a snapshot of its machine, a copied data directory) and writes other WAL under positions that are taken: promote it, so that it gets a timeline of its own, or give it another cluster name, and take a new base backup".into(),
            Self::BadCopy { .. } => "the original is untouched. Check the store with `stonewal doctor`, then copy again: what is left of this copy stays until its lock has ended".into(),
            Self::NoStream { .. } => "`stonewal show` lists the streams of a backup".into(),
            Self::Newer { .. } => "import under a cluster name of its own (--cluster main-old), the oldest file first".into(),
            Self::Artifact { way_out, .. } => (*way_out).into(),
            Self::Gap { .. } => "`stonewal wal verify` names every missing segment; `stonewal wal push --from <pg_wal>` fills a gap from a server that still has them; else recover to a point before it".into(),
            Self::NoClusterRecord { .. } => "check the repository and the cluster name. If they are right, any `stonewal wal push` or `stonewal backup base` of that cluster writes it anew".into(),
            Self::Deadline { .. } => "the store is slow or does not answer; wal.deadline is how long it may take. PostgreSQL keeps the file and tries again".into(),
            Self::NoEvidence { .. } => "`stonewal drill list` shows the ids; `stonewal drill` runs one".into(),
            Self::DrillTimeout { .. } => "give it longer (drill.timeout), more workers (limits.downloads), or a faster disk (drill.dir)".into(),
            Self::Target { way_out, .. } => way_out.clone(),
            Self::NoRoom { .. } => "make room, or name a directory on a larger file system, and restore again".into(),
            Self::Unreachable(refusal) => refusal.hint(),
            Self::FrozenWal { is_requested: true, .. } => "plan again when it is readable, in minutes to days; `stonewal restore base … --thaw` waits for it".into(),
            Self::FrozenWal { .. } => "`stonewal restore base … --thaw` requests it from the archive (S3 RestoreObject), waits until it is readable, in minutes to days, and plans again; with --plan --thaw it only requests it. Let lifecycle rules move WAL to GLACIER_IR or STANDARD_IA instead".into(),
            Self::StillFrozen { .. } => "run the same command again: it requests nothing twice, and waits for what is not readable yet".into(),
            Self::Retention(refusal) => refusal.hint(),
            Self::NotAudited { .. } => "mend what keeps records from being written (audit.profile, a writer file or the passphrase); or go on without them, deliberately: STONEWAL_AUDIT_MODE=on".into(),
            Self::Embedded(error) => return error.hint(),
            Self::Format(_) | Self::Demo(_) | Self::File { .. } | Self::OutputClosed { .. } | Self::Usage(_) | Self::NoAudit { .. } | Self::Interrupted => {
                return None;
            }
        })
    }
}
