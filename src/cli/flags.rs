//! Flags as settings: which flag stands for which key.

use super::args::{
    Backup, BackupBase, BackupDump, Command, Drill, Global, Init, Keys, LockFlags, Restore, Status, StoreFlags, Verify,
    VerifyRestore, VerifyWhat, Wal, WalStream,
};
use crate::config::Flags;
use crate::config::key::{self, Key};

type Value<'a> = (&'static Key, &'static str, &'a Option<String>);

/// Everything on the command line that is a setting.
pub(super) fn flags(global: &Global, command: &Command) -> Flags {
    let mut flags = Flags::default();
    flags.config.clone_from(&global.config);
    set(
        &mut flags,
        &[
            (&key::REPOSITORY, "--repository", &global.repository),
            (&key::CLUSTER, "--cluster", &global.cluster),
            (&key::S3_ENDPOINT, "--endpoint", &global.endpoint),
            (&key::S3_REGION, "--region", &global.region),
            (&key::S3_PROFILE, "--profile", &global.profile),
            (&key::S3_CA_FILE, "--ca-file", &global.ca_file),
            (&key::FROM_REPLICA, "--from-replica", &global.from_replica),
            (&key::KEYS_PASSPHRASE_FILE, "--passphrase-file", &global.passphrase_file),
            (&key::KEYS_WRITER_FILE, "--writer-file", &global.writer_file),
            (&key::KEYS_IDENTITY_FILE, "--identity-file", &global.identity_file),
            (&key::AUDIT_REASON, "--reason", &global.reason),
            (&key::LOG_FORMAT, "--log-format", &global.log_format),
        ],
    );
    match command {
        Command::Init(Init { recipients, lock: how, .. }) => {
            flags.set_list(&key::KEYS_RECIPIENTS, "--recipient", recipients.clone());
            lock(&mut flags, how);
        }
        Command::Backup(Backup::Dump(args)) => dump(&mut flags, args),
        Command::Backup(Backup::Base(args)) => base(&mut flags, args),
        Command::Restore(Restore::Base(args)) => set(
            &mut flags,
            &[(&key::LIMITS_DOWNLOADS, "--jobs", &args.jobs), (&key::POSTGRES_BIN_DIR, "--bin-dir", &args.bin_dir)],
        ),
        Command::Restore(Restore::Dump(args)) => {
            set(&mut flags, &[(&key::POSTGRES_BIN_DIR, "--bin-dir", &args.bin_dir)]);
        }
        Command::Import(args) => set(
            &mut flags,
            &[
                (&key::IMPORT_ITERATIONS, "--iterations", &args.iterations),
                (&key::POSTGRES_BIN_DIR, "--bin-dir", &args.bin_dir),
            ],
        ),
        Command::Wal(Wal::Stream(args)) => wal_stream(&mut flags, args),
        Command::Keys(args) => keys(&mut flags, args),
        Command::Reencrypt(args) => lock(&mut flags, &args.lock),
        Command::Doctor(args) => set(
            &mut flags,
            &[(&key::POSTGRES_URL, "--from", &args.from), (&key::POSTGRES_BIN_DIR, "--bin-dir", &args.bin_dir)],
        ),
        Command::Demo(args) => set(&mut flags, &[(&key::POSTGRES_BIN_DIR, "--bin-dir", &args.bin_dir)]),
        Command::Wal(Wal::Push(args)) => {
            set(&mut flags, &[(&key::WAL_CODEC, "--codec", &args.codec), (&key::WAL_LEVEL, "--level", &args.level)]);
        }
        Command::Checklist(args) => set(&mut flags, &[(&key::VERIFY_RELEASE, "--release", &args.release)]),
        Command::Status(args) => status(&mut flags, args),
        Command::Drill(args) => drill(&mut flags, args),
        Command::Verify(Verify { what: Some(VerifyWhat::Restore(args)), .. }) => verify_restore(&mut flags, args),
        _ => {}
    }
    flags
}

fn set(flags: &mut Flags, values: &[Value<'_>]) {
    for (key, flag, value) in values {
        if let Some(value) = value {
            flags.set(key, flag, value);
        }
    }
}

fn verify_restore(flags: &mut Flags, args: &VerifyRestore) {
    let (release, url) = (&args.release, &args.release_url);
    set(flags, &[(&key::VERIFY_RELEASE, "--release", release), (&key::VERIFY_RELEASE_URL, "--release-url", url)]);
}

fn lock(flags: &mut Flags, how: &LockFlags) {
    set(
        flags,
        &[
            (&key::LOCK_MODE, "--lock-mode", &how.lock_mode),
            (&key::LOCK_RETAIN, "--retain", &how.retain),
            (&key::IMMUTABILITY, "--immutability", &how.immutability),
        ],
    );
}

fn keys(flags: &mut Flags, command: &Keys) {
    let how = match command {
        Keys::List(_) | Keys::Check(_) => return,
        Keys::Writer(args) => &args.lock,
        Keys::Revoke(args) => &args.lock,
        Keys::Rewrap(args) => &args.lock,
        Keys::Add(args) => {
            let file = &args.new_passphrase_file;
            set(flags, &[(&key::KEYS_NEW_PASSPHRASE_FILE, "--new-passphrase-file", file)]);
            &args.lock
        }
        Keys::Rotate(args) => {
            let file = &args.new_passphrase_file;
            set(flags, &[(&key::KEYS_NEW_PASSPHRASE_FILE, "--new-passphrase-file", file)]);
            &args.lock
        }
    };
    lock(flags, how);
}

fn status(flags: &mut Flags, args: &Status) {
    set(
        flags,
        &[
            (&key::POSTGRES_URL, "--from", &args.from),
            (&key::STATUS_MAX_LAG, "--max-lag", &args.max_lag),
            (&key::STATUS_MAX_BASE_AGE, "--max-base-age", &args.max_base_age),
            (&key::STATUS_MIN_LOCK, "--min-lock", &args.min_lock),
        ],
    );
}

fn drill(flags: &mut Flags, args: &Drill) {
    set(
        flags,
        &[
            (&key::DRILL_DIR, "--dir", &args.dir),
            (&key::DRILL_DATABASE, "--database", &args.database),
            (&key::DRILL_RTO, "--rto", &args.rto),
            (&key::DRILL_RPO, "--rpo", &args.rpo),
            (&key::DRILL_TIMEOUT, "--timeout", &args.timeout),
            (&key::VERIFY_RELEASE, "--release", &args.release),
        ],
    );
    flags.set_list(&key::DRILL_SQL, "--sql", args.sql.clone());
}

fn wal_stream(flags: &mut Flags, args: &WalStream) {
    set(flags, &[(&key::POSTGRES_URL, "--from", &args.from), (&key::WAL_SLOT, "--slot", &args.slot)]);
    for (key, flag, on) in [
        (&key::WAL_CREATE_SLOT, "--create-slot", args.create_slot),
        (&key::WAL_UNBOUNDED_SLOT, "--unbounded-slot", args.unbounded_slot),
        (&key::LOCK_REQUIRE_WORM, "--require-worm", args.require_worm),
    ] {
        if on {
            flags.set(key, flag, "true");
        }
    }
}

fn store(flags: &mut Flags, how: &StoreFlags) {
    for (key, flag, on) in [
        (&key::LOCK_REQUIRE_WORM, "--require-worm", how.require_worm),
        (&key::VERIFY_AFTER_UPLOAD, "--verify-after-upload", how.verify_after_upload),
    ] {
        if on {
            flags.set(key, flag, "true");
        }
    }
}

fn base(flags: &mut Flags, args: &BackupBase) {
    set(
        flags,
        &[
            (&key::POSTGRES_URL, "--from", &args.from),
            (&key::DUMP_CODEC, "--codec", &args.codec),
            (&key::DUMP_LEVEL, "--level", &args.level),
        ],
    );
    store(flags, &args.store);
    lock(flags, &args.lock);
}

fn dump(flags: &mut Flags, args: &BackupDump) {
    set(
        flags,
        &[
            (&key::POSTGRES_URL, "--from", &args.from),
            (&key::DUMP_GLOBALS, "--globals", &args.globals),
            (&key::DUMP_COUNTS, "--counts", &args.counts),
            (&key::DUMP_CODEC, "--codec", &args.codec),
            (&key::DUMP_LEVEL, "--level", &args.level),
            (&key::POSTGRES_BIN_DIR, "--bin-dir", &args.bin_dir),
        ],
    );
    flags.set_list(&key::DUMP_DIGESTS, "--digest", args.digests.clone());
    flags.set_list(&key::DUMP_SCHEMAS, "--schema", args.schemas.clone());
    flags.set_list(&key::DUMP_EXCLUDE_TABLES, "--exclude-table", args.exclude_tables.clone());
    flags.set_list(&key::DUMP_EXCLUDE_TABLE_DATA, "--exclude-table-data", args.exclude_table_data.clone());
    for (key, flag, on) in [
        (&key::DUMP_NO_OWNER, "--no-owner", args.no_owner),
        (&key::DUMP_NO_PRIVILEGES, "--no-privileges", args.no_privileges),
    ] {
        if on {
            flags.set(key, flag, "true");
        }
    }
    store(flags, &args.store);
    lock(flags, &args.lock);
}
