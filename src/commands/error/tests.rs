//! Which failures end by themselves.

use super::*;

#[test]
fn outages_of_the_store_pass() {
    let target = || "prod/main/wal".to_owned();
    let deadline =
        || store::Error::Deadline { action: "s3:PutObject", target: target(), seconds: 20, last: String::new() };
    assert!(Error::from(deadline()).is_passing());
    assert!(Error::from(catalog::Error::Store(deadline())).is_passing());
    let busy = store::Error::Busy { action: "s3:ListBucket", target: target(), code: "503".into() };
    assert!(Error::from(busy).is_passing());
    let denied = store::Error::Denied { action: "s3:PutObject", target: target(), code: "403".into() };
    assert!(!Error::from(catalog::Error::Store(denied)).is_passing());
    assert!(!Error::Interrupted.is_passing());
}
