//! The text of `BASE_BACKUP`, which changed with PostgreSQL 15.

use std::fmt::Write as _;

/// How the backup is to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the options of the command, which are switches")]
pub struct BaseBackupOptions {
    /// Its label, as it will stand in `backup_label`; at most 1023 bytes.
    pub label: String,
    /// Whether to checkpoint at once instead of spreading it over minutes.
    pub fast_checkpoint: bool,
    /// Whether to put the WAL needed for consistency into the archive of the data directory.
    pub include_wal: bool,
    /// Whether the server waits until that WAL is archived, where it archives.
    pub wait: bool,
    /// Checksums of the server's own manifest; `None` for no manifest.
    pub manifest: Option<ManifestChecksums>,
    /// Most KiB per second that the server sends; PostgreSQL takes 32 to 1048576.
    pub max_rate_kib: Option<u32>,
    /// Whether to estimate sizes first.
    pub progress: bool,
    /// Whether the server checks the pages it reads, where the cluster has checksums.
    pub verify_checksums: bool,
    /// Whether tablespaces are a `tablespace_map` file instead of symbolic links in the archive.
    pub tablespace_map: bool,
}

/// Algorithm of the server's manifest (docs: `pg_basebackup --manifest-checksums`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestChecksums {
    /// Sizes only.
    None,
    /// CRC-32C, the server's default.
    Crc32c,
    /// SHA-256.
    Sha256,
}

impl BaseBackupOptions {
    /// A backup that restores by itself, with manifest and checks.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            fast_checkpoint: true,
            include_wal: true,
            wait: true,
            manifest: Some(ManifestChecksums::Crc32c),
            max_rate_kib: None,
            progress: true,
            verify_checksums: true,
            tablespace_map: false,
        }
    }

    /// The command in the words of this server.
    pub(super) fn command(&self, server_version: u32) -> String {
        let modern = server_version >= 150_000;
        let label = self.label.replace('\'', "''");
        let mut words = vec![format!("LABEL '{label}'")];
        let mut add = |wanted: bool, new: &str, old: &str| {
            if wanted {
                words.push(if modern { new.to_owned() } else { old.to_owned() });
            }
        };
        add(self.progress, "PROGRESS true", "PROGRESS");
        add(self.fast_checkpoint, "CHECKPOINT 'fast'", "FAST");
        add(self.include_wal, "WAL true", "WAL");
        add(!self.wait, "WAIT false", "NOWAIT");
        add(self.tablespace_map, "TABLESPACE_MAP true", "TABLESPACE_MAP");
        add(!self.verify_checksums, "VERIFY_CHECKSUMS false", "NOVERIFY_CHECKSUMS");
        if let Some(kib) = self.max_rate_kib {
            words.push(format!("MAX_RATE {kib}"));
        }
        if let Some(checksums) = self.manifest {
            let mut manifest = String::from("MANIFEST 'yes'");
            let name = match checksums {
                ManifestChecksums::None => "NONE",
                ManifestChecksums::Crc32c => "CRC32C",
                ManifestChecksums::Sha256 => "SHA256",
            };
            let between = if modern { ", " } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(manifest, "{between}MANIFEST_CHECKSUMS '{name}'");
            words.push(manifest);
        }
        if modern { format!("BASE_BACKUP ({})", words.join(", ")) } else { format!("BASE_BACKUP {}", words.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_grammars() {
        let mut options = BaseBackupOptions::new("it's");
        options.max_rate_kib = Some(1024);
        options.wait = false;
        assert_eq!(
            options.command(150_000),
            "BASE_BACKUP (LABEL 'it''s', PROGRESS true, CHECKPOINT 'fast', WAL true, WAIT false, MAX_RATE 1024, \
             MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')"
        );
        options.verify_checksums = false;
        options.manifest = None;
        assert_eq!(
            options.command(140_023),
            "BASE_BACKUP LABEL 'it''s' PROGRESS FAST WAL NOWAIT NOVERIFY_CHECKSUMS MAX_RATE 1024"
        );
    }
}
