//! `verify restore`.

use clap::{Args, Subcommand};

/// What to verify besides backups.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum VerifyWhat {
    Restore(VerifyRestore),
}

/// Check a restored database before it is promoted
///
/// Are the required tables there, with the rows that the backup recorded and what they came to; are sequences ahead of their columns, constraints
/// validated, indexes valid and sound, collations those that indexes were built with; do hash chains hold; is it the release
/// that is approved, and does the backend answer with it. One line per check. It reads only, under one snapshot, and may be repeated. Production is refused.
///
/// Exit code 5: do not promote. 3: nothing against it, but look at the warnings.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  stonewal verify restore --database postgres://admin@other.example/app_restored --backup latest
  stonewal verify restore --release \"$(git rev-parse HEAD)\" --json | jq .promote
  stonewal verify restore --release \"$COMMIT\" --release-url https://app.example/api/system/version

What must be there stands in the configuration file, README.md explains it:
  [verify]
  tables = [\"companies\", \"invoices\", \"audit_logs >= 1000\"]
  [verify.chain.audit]
  preset = \"sequelize-audit-log\"

Variables:
  RESTORE_DATABASE_URL         the database, with a password if need be
  VERIFY_MIN_DATA=false        ask for no minimum of rows
  ALLOW_VERIFY_PROD=true       the same as --allow-production
  BACKUP_PASSPHRASE            with --backup; or keys.writer_file, or keys.identity_file
  PGPASSWORD, PG*, ~/.pgpass   what the URL does not say
  STONEWAL_VERIFY_*, STONEWAL_REPOSITORY, STONEWAL_CLUSTER, AWS_*")]
pub(in crate::cli) struct VerifyRestore {
    /// The restored database, without a password
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) database: Option<String>,
    /// The dump that it was restored from, to compare its row counts and digests: an id as `stonewal list` shows it, or latest
    #[arg(long, value_name = "BACKUP")]
    pub(in crate::cli) backup: Option<String>,
    /// What verify.release_query, and the backend at verify.release_url, must answer
    #[arg(long, value_name = "RELEASE")]
    pub(in crate::cli) release: Option<String>,
    /// Where the backend that is attached to the database tells its release
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) release_url: Option<String>,
    /// The hash of a row that the chain NAME must still contain: that of its last row when somebody looked, such as a drill
    #[arg(long, value_name = "NAME=HASH")]
    pub(in crate::cli) head: Vec<String>,
    /// Show the text that was hashed for the first row whose content does not agree with its hash
    #[arg(long)]
    pub(in crate::cli) explain: bool,
    /// Check even what seems to be production
    #[arg(long)]
    pub(in crate::cli) allow_production: bool,
}
