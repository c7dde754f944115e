//! What the server says: standard output and error of the postmaster and its children.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The log file, read from the last start on.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    begins_at: u64,
}

impl Log {
    /// For the next start: what is in the file already stays and is no longer shown.
    pub(super) fn begin(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join("log");
        let file = File::options().append(true).create(true).open(&path)?;
        Ok(Self { begins_at: file.metadata()?.len(), path })
    }

    pub(super) fn writer(&self) -> std::io::Result<File> {
        File::options().append(true).open(&self.path)
    }

    /// Everything since the start.
    pub(super) fn text(&self) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.begins_at))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            std::io::Result::Ok(bytes)
        };
        read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines, to be put after a message.
    pub(super) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(15)..];
        if last.is_empty() { String::new() } else { format!(":\n{}", last.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_what_came_since_the_start_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let first = Log::begin(dir.path()).unwrap();
        assert_eq!(first.tail(), "");
        writeln!(first.writer().unwrap(), "before").unwrap();
        let second = Log::begin(dir.path()).unwrap();
        assert_eq!(second.text(), "");
        let lines = (0..20).fold(String::new(), |text, n| text + &format!("line {n}\n"));
        second.writer().unwrap().write_all(lines.as_bytes()).unwrap();
        assert_eq!(second.text(), lines);
        assert!(second.tail().starts_with(":\nline 5\n") && second.tail().ends_with("line 19"), "{}", second.tail());
        assert!(first.text().starts_with("before\nline 0\n"));
    }
}
