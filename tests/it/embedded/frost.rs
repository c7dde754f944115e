//! Archive tiers, through our client: what lies there is asked for, and read when it is there (PAINS B14).

use std::time::Duration;

use secrecy::ExposeSecret as _;
use stonewal::store::roles::Role;
use stonewal::store::{Archive, Error, ObjectKey, Read as _, Readiness, Retrieval, S3, Thaw, VersionId};

use super::{BUCKET, Fixture, put_version};
use crate::support::options;

async fn client(fixture: &Fixture, role: Role) -> S3 {
    let user = fixture.server.credentials(role).unwrap();
    let secret = user.secret_key.expose_secret();
    S3::connect(options(&fixture.server.endpoint(), BUCKET, &user.access_key, secret)).await.unwrap()
}

#[tokio::test]
async fn b14_what_was_asked_for_becomes_readable_and_freezes_again() {
    let fixture = Fixture::new().await;
    let (old, new) = {
        let admin = fixture.client(Role::Admin);
        (put_version(&admin, "a", b"old").await, put_version(&admin, "a", b"new").await)
    };
    let (key, old, new) = (ObjectKey::new("a"), VersionId::new(old), VersionId::new(new));
    fixture.server.freeze_version("a", old.as_str(), Archive::DeepArchive);
    fixture.server.thaw_after(Duration::from_hours(9));
    let reader = client(&fixture, Role::Reader).await;
    let ready = async |version: &VersionId| reader.head(&key, version).await.unwrap().readiness;
    assert_eq!(ready(&new).await, Readiness::Ready);
    assert_eq!(ready(&old).await, Readiness::Frozen(Archive::DeepArchive));
    assert!(matches!(reader.get(&key, &old, 0..3).await, Err(Error::Frozen { .. })));

    let how = Thaw { days: 2, retrieval: Retrieval::Bulk };
    for role in [Role::Writer, Role::Auditor, Role::Retainer, Role::Pruner] {
        let denied = client(&fixture, role).await.thaw(&key, &old, Archive::DeepArchive, how).await;
        assert!(matches!(denied, Err(Error::Denied { action: "s3:RestoreObject", .. })), "{role}: {denied:?}");
    }
    let dear = Thaw { retrieval: Retrieval::Expedited, ..how };
    assert!(reader.thaw(&key, &old, Archive::DeepArchive, dear).await.is_err());
    for _ in 0..2 {
        reader.thaw(&key, &old, Archive::DeepArchive, how).await.unwrap(); // the second time it is under way
    }
    assert_eq!(ready(&old).await, Readiness::Thawing(Archive::DeepArchive));
    assert!(matches!(reader.thaw(&key, &new, Archive::Glacier, how).await, Err(Error::Frozen { .. })), "not frozen");
    fixture.advance(Duration::from_hours(10));
    assert_eq!(ready(&old).await, Readiness::Ready);
    assert_eq!(reader.get(&key, &old, 0..3).await.unwrap(), "old");
    fixture.advance(Duration::from_hours(72));
    assert_eq!(ready(&old).await, Readiness::Frozen(Archive::DeepArchive));

    // Intelligent-Tiering moves the object itself, and wants no number of days.
    fixture.server.freeze_version("a", new.as_str(), Archive::ArchiveAccess);
    fixture.server.thaw_after(Duration::ZERO);
    assert_eq!(ready(&new).await, Readiness::Frozen(Archive::ArchiveAccess));
    reader.thaw(&key, &new, Archive::ArchiveAccess, how).await.unwrap();
    fixture.advance(Duration::from_hours(240));
    assert_eq!(reader.get(&key, &new, 0..3).await.unwrap(), "new");
}
