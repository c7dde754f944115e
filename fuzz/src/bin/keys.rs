//! Bytes as certificates, records, key files and wraps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use stonewal::format::RepositoryId;
use stonewal::format::audit::AuditRecord;
use stonewal::format::manifest::RepositoryRecord;
use stonewal::format::signed::Purpose;
use stonewal::keys::{Certificate, Identity, RecoveryFile, WriterFile, unwrap};
use stonewal_fuzz::{data_key, signed, writer};

fuzz_target!(|input: &[u8]| {
    let (root, repository) = (writer().public(), RepositoryId::new([1; 16]));
    assert!(Certificate::decode(input, repository, root).is_err(), "a certificate was forged");
    assert!(RepositoryRecord::decode(input, &[*root]).is_err(), "a record was forged");
    assert!(AuditRecord::decode(input, &[*root]).is_err(), "an audit record was forged");
    let _ = AuditRecord::certificate(input);
    let _ = AuditRecord::decode(&signed(Purpose::Audit, input), &[*root]);
    let _ = Certificate::decode(&signed(Purpose::Writer, input), repository, root);
    let _ = RepositoryRecord::decode(&signed(Purpose::Repository, input), &[*root]);
    assert!(unwrap(input, &[Identity::generate()], data_key().id()).is_err(), "a wrap was forged");
    if let Ok(text) = std::str::from_utf8(input) {
        let text = SecretString::from(text.to_owned());
        let _ = RecoveryFile::decode(&text);
        let _ = WriterFile::decode(&text);
    }
});
