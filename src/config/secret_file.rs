//! Files that hold a secret: only their owner may read them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::error::{Error, Result};

/// A passphrase or a key file is small.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A file whose contents are secret. Read when needed, so that commands which need no secret do not ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// Names the file; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The contents without the line end that editors and `echo` leave behind.
    ///
    /// # Errors
    /// [`Error::Exposed`] when others may read it: the rule is libpq's for key files (PostgreSQL documentation 34.19),
    /// nothing for group and world, or group read when root owns it and we are not root.
    pub fn read(&self) -> Result<SecretString> {
        let opened = open("secret file", &self.0, SECRET_BYTES_MAX)?;
        opened.require_private()?;
        let text = opened.text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(Error::BadSecret { path: self.0.clone(), problem: "is empty" });
        }
        Ok(SecretString::from(text))
    }
}

/// A file read whole, with the permissions it had when opened.
pub(super) struct Opened {
    path: PathBuf,
    mode: u32,
    owner: u32,
    pub(super) text: Zeroizing<String>,
}

impl Opened {
    /// Fails when anyone but the owner may use the file.
    pub(super) fn require_private(&self) -> Result<()> {
        let managed_by_root = self.owner == 0 && !rustix::process::geteuid().is_root();
        let forbidden = if managed_by_root { 0o037 } else { 0o077 };
        if self.mode & forbidden == 0 {
            return Ok(());
        }
        Err(Error::Exposed { path: self.path.clone(), mode: self.mode })
    }
}

/// Opens and reads at most `bytes_max`; permissions are those of the open file, not of a name that may change.
pub(super) fn open(what: &'static str, path: &Path, bytes_max: u64) -> Result<Opened> {
    let unreadable = |source| Error::Unreadable { what, path: path.into(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(unreadable(std::io::Error::other(format!("it is larger than {bytes_max} bytes"))));
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Error::NotText { what: format!("{what} {}", path.display()) })?;
    Ok(Opened { path: path.into(), mode: meta.mode() & 0o7777, owner: meta.uid(), text: Zeroizing::new(text.into()) })
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    fn file(contents: &[u8], mode: u32) -> (tempfile::TempDir, SecretFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass phrase");
        write(&path, contents).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, SecretFile::new(path))
    }

    #[test]
    fn only_the_line_end_is_stripped() {
        let (_dir, secret) = file(b" two words \r\n", 0o600);
        assert_eq!(secret.read().unwrap().expose_secret(), " two words ");
    }

    #[test]
    fn i13_readable_by_others_is_refused_with_the_chmod_named() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o620] {
            let (_dir, secret) = file(b"sentinel", mode);
            let error = secret.read().unwrap_err();
            assert!(matches!(error, Error::Exposed { .. }), "{mode:o}: {error}");
            assert!(error.to_string().contains(&format!("{mode:04o}")));
            let hint = error.hint().unwrap();
            assert!(hint.starts_with("chmod 600 '") && hint.ends_with("pass phrase'"), "{hint}");
            assert!(!format!("{error:?}{error}{hint}").contains("sentinel"));
        }
    }

    #[test]
    fn useless_contents_are_named_without_quoting_them() {
        for contents in [&b""[..], b"\n\n", b"  \n"] {
            let (_dir, secret) = file(contents, 0o400);
            assert!(matches!(secret.read(), Err(Error::BadSecret { .. })));
        }
        let (_dir, binary) = file(b"sentinel\xff", 0o600);
        let error = binary.read().unwrap_err();
        assert!(matches!(error, Error::NotText { .. }) && !format!("{error:?}").contains("sentinel"));
        let (_dir, huge) = file(&vec![b'x'; 70_000], 0o600);
        assert!(huge.read().is_err());
        let missing = SecretFile::new("/nonexistent/secret").read().unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/secret"));
    }
}
