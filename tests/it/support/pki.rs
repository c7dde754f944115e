//! Certificates of a test.

use std::path::PathBuf;
use std::process::Command;

/// A CA, a server certificate for localhost and a client certificate, made by openssl.
pub(crate) struct Pki {
    dir: tempfile::TempDir,
}

impl Pki {
    pub(crate) fn new(test: &str) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            super::skip(test, "the openssl command");
            return None;
        }
        let pki = Self { dir: tempfile::tempdir().unwrap() };
        for ca in ["ca", "other"] {
            pki.openssl(&format!("req -new -x509 -days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout {ca}.key -out {ca}.crt -subj /CN={ca}"));
        }
        pki.leaf("server", "subjectAltName=DNS:localhost");
        pki.leaf("postgres", "subjectAltName=DNS:client");
        pki.openssl("req -new -x509 -days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout self.key -out self.crt -subj /CN=localhost -addext subjectAltName=DNS:localhost");
        Some(pki)
    }

    fn leaf(&self, name: &str, extension: &str) {
        std::fs::write(self.path("ext"), extension).unwrap();
        self.openssl(&format!("req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!(
            "x509 -req -days 30 -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile ext -out {name}.crt"
        ));
    }

    fn openssl(&self, args: &str) {
        let output = Command::new("openssl").args(args.split(' ')).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
