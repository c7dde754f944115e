//! The cluster record: which PostgreSQL cluster lies under a name.

use bytes::Bytes;

use crate::catalog::listing::read_small;
use crate::catalog::versions::Versions;
use crate::catalog::{Error, Repository, Result};
use crate::format::wal::{Base64, ClusterRecord};
use crate::format::{self, ClusterName, SegmentSize};
use crate::keys::tag;
use crate::limits::SMALL_OBJECT_BYTES_MAX;
use crate::store::{Append, Creation, Lock, ObjectKey, Put, Read};

/// What identifies a PostgreSQL cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// Its system identifier.
    pub system_identifier: u64,
    /// Size of its WAL segments.
    pub segment_bytes: SegmentSize,
}

impl Repository {
    /// The record of `cluster`; one request where nobody interfered.
    pub async fn cluster_record(&self, cluster: &ClusterName) -> Result<Option<ClusterRecord>> {
        let name = self.names.cluster_record(cluster);
        match self.store.newest(&ObjectKey::new(&*name), SMALL_OBJECT_BYTES_MAX).await {
            Ok(Some(newest)) if newest.bytes <= SMALL_OBJECT_BYTES_MAX => {
                if let Ok(record) = self.decode_record(cluster, &newest.body).await {
                    return Ok(Some(record));
                }
            }
            Ok(_) => {}
            Err(error) if error.is_about_the_object() => {}
            Err(error) => return Err(error.into()),
        }
        let alternates = format!("{name}-");
        let wanted = |key: &str| key == name || key.starts_with(&alternates);
        let mark = self.store.unheard();
        let mut versions = Versions::new(&*self.store, name.clone(), wanted);
        while let Some(entries) = versions.next().await? {
            for entry in &entries {
                let Some(bytes) = read_small(&*self.store, entry).await? else { continue };
                match self.decode_record(cluster, &bytes).await {
                    Ok(record) => return Ok(Some(record)),
                    Err(Error::Format(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.store.all_heard(mark)?;
        Ok(None)
    }

    pub(in crate::catalog) async fn decode_record(
        &self,
        cluster: &ClusterName,
        bytes: &Bytes,
    ) -> Result<ClusterRecord> {
        let carried = || ClusterRecord::certificate(bytes);
        let record = self.decode_signed(carried, |trusted| ClusterRecord::decode(bytes, trusted)).await?;
        if record.repository != self.id() || record.cluster != *cluster {
            let why = format!("it is of cluster {} of repository {}", record.cluster, record.repository);
            return Err(format::Error::Malformed { what: "cluster record", why }.into());
        }
        Ok(record)
    }
}

/// The record of `cluster`, made with `identity` if there is none yet. Refuses ([`Error::OtherCluster`]) when the record is of
/// another PostgreSQL cluster: nothing of two clusters may lie under one name.
pub async fn cluster_record<S: Read + Append>(
    store: &S,
    repository: &Repository,
    cluster: &ClusterName,
    identity: ClusterIdentity,
    lock: impl FnOnce() -> Option<Lock> + Send,
) -> Result<ClusterRecord> {
    if let Some(record) = repository.cluster_record(cluster).await? {
        return same(record, identity);
    }
    let (body, record) = repository.with_keyring(|ring| -> Result<(Bytes, ClusterRecord)> {
        let record = ClusterRecord {
            repository: ring.repository(),
            cluster: cluster.clone(),
            system_identifier: identity.system_identifier,
            segment_bytes: identity.segment_bytes,
            created_at: store.clock().now(),
            certificate: ring.certificate().map(|bytes| Base64(bytes.to_vec())),
        };
        let writer = ring.writer()?;
        Ok((record.encode(writer.public(), |message| writer.sign(message))?.into(), record))
    })?;
    let names = repository.names();
    let put = Put { key: ObjectKey::new(names.cluster_record(cluster)), body, lock: lock() };
    if let Creation::Stored(_) = store.put_new(put.clone()).await? {
        return Ok(record);
    }
    // Another host was faster, or something that is not ours lies there.
    if let Some(record) = repository.cluster_record(cluster).await? {
        return same(record, identity);
    }
    let key = ObjectKey::new(names.cluster_record_alternate(cluster, tag()?));
    store.put(Put { key, ..put }).await?;
    Ok(record)
}

fn same(record: ClusterRecord, identity: ClusterIdentity) -> Result<ClusterRecord> {
    let found = ClusterIdentity { system_identifier: record.system_identifier, segment_bytes: record.segment_bytes };
    if found == identity { Ok(record) } else { Err(Error::OtherCluster { cluster: record.cluster, found, identity }) }
}
