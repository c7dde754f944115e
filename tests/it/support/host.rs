//! A host of the program, as the embedded store sees it.

use secrecy::ExposeSecret as _;
use stonewal::store::S3;
use stonewal::store::embedded::Server;
use stonewal::store::roles::Role;

/// Where most suites have their repository.
pub(crate) const REPOSITORY: &str = "s3://backups/prod";

/// The variables of a host with a role of the store, but for its keys and for whatever a suite is about.
pub(crate) fn variables(store: &Server, role: Role) -> [(&'static str, String); 7] {
    let credentials = store.credentials(role).unwrap();
    [
        ("AWS_ACCESS_KEY_ID", credentials.access_key),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_key.expose_secret().to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ENDPOINT_URL_S3", store.endpoint()),
        ("AWS_REGION", store.region().to_owned()),
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("STONEWAL_REPOSITORY", REPOSITORY.to_owned()),
    ]
}

/// A client of the bucket with a role of its own.
pub(crate) async fn client(store: &Server, role: Role) -> S3 {
    let credentials = store.credentials(role).unwrap();
    let secret = credentials.secret_key.expose_secret();
    S3::connect(super::options(&store.endpoint(), "backups", &credentials.access_key, secret)).await.unwrap()
}
