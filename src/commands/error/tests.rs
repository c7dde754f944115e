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

/// Whoever asked: exit codes and advice do not depend on it.
#[test]
fn a_failing_store_is_of_one_class_on_every_way() {
    let corrupt = || store::Error::Corrupt { target: "prod/x".into(), what: "other bytes".into() };
    let cases: [(fn() -> store::Error, Class); 2] =
        [(corrupt, Class::Integrity), (|| store::Error::Setup("no region".into()), Class::Usage)];
    for (error, class) in cases {
        let ways: [Error; 3] =
            [error().into(), catalog::Error::Store(error()).into(), verify::Error::Catalog(error().into()).into()];
        for way in ways {
            assert!(matches!(&way, Error::Store(_)) && way.class() == class, "{way:?}");
        }
    }
}
