//! Writer certificates: the root writer vouches for the key of one backup host.
//!
//! A certificate is stored in the bucket, so a new host needs no new bundle and no further scrypt, and junk planted
//! beside it costs one signature check.

use serde::{Deserialize, Serialize};

use super::{Error, Result, WriterKey};
use crate::format::signed::{self, Purpose};
use crate::format::{RepositoryId, WriterPublic};

/// A host that may publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Repository it may publish in.
    pub repository: RepositoryId,
    /// Name of the host, for people.
    pub name: String,
    /// Its writer key.
    pub writer: WriterPublic,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    repository: RepositoryId,
    name: String,
    writer: WriterPublic,
}

impl Certificate {
    /// The stored bytes, signed by the root writer.
    pub fn encode(&self, root: &WriterKey) -> Result<Vec<u8>> {
        let record = Record { repository: self.repository, name: self.name.clone(), writer: self.writer };
        let json = serde_json::to_vec(&record).map_err(|e| malformed(e.to_string()))?;
        Ok(signed::seal(Purpose::Writer, json, root.public(), |message| root.sign(message)))
    }

    /// Reads a certificate of `repository` that `root` signed.
    pub fn decode(bytes: &[u8], repository: RepositoryId, root: &WriterPublic) -> Result<Self> {
        let (json, _) = signed::open(Purpose::Writer, bytes, std::slice::from_ref(root))?;
        let record: Record = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
        if record.repository != repository {
            return Err(malformed(format!("it is for repository {}", record.repository)));
        }
        Ok(Self { repository, name: record.name, writer: record.writer })
    }
}

fn malformed(why: String) -> Error {
    Error::File { what: "writer certificate", why }
}
