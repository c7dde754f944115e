//! Object Lock end to end: every rule through the API, and over a restart.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
};
use stonewal::store::embedded::{Options, Server};
use stonewal::store::roles::Role;

use super::{BUCKET, Fixture, PLAIN, outcome, put, put_version};

async fn put_locked(fixture: &Fixture, key: &str, mode: ObjectLockMode, seconds: i64) -> String {
    put(&fixture.client(Role::Writer), key, b"locked")
        .object_lock_mode(mode)
        .object_lock_retain_until_date(fixture.later(seconds))
        .send()
        .await
        .unwrap()
        .version_id
        .unwrap()
}

async fn delete(client: &Client, key: &str, version: &str, bypass: Option<bool>) -> String {
    let request = client.delete_object().bucket(BUCKET).key(key).version_id(version);
    outcome(request.set_bypass_governance_retention(bypass).send().await)
}

async fn retain(
    client: &Client,
    key: &str,
    version: &str,
    lock: Option<(ObjectLockRetentionMode, DateTime)>,
    bypass: bool,
) -> String {
    let mut retention = ObjectLockRetention::builder();
    if let Some((mode, until)) = lock {
        retention = retention.mode(mode).retain_until_date(until);
    }
    let request =
        client.put_object_retention().bucket(BUCKET).key(key).version_id(version).retention(retention.build());
    outcome(request.set_bypass_governance_retention(bypass.then_some(true)).send().await)
}

#[tokio::test]
async fn governance_yields_to_the_bypass_alone() {
    use ObjectLockRetentionMode::{Compliance, Governance};
    let fixture = Fixture::new().await;
    let (admin, attacker, retainer) =
        (fixture.client(Role::Admin), fixture.client(Role::Attacker), fixture.client(Role::Retainer));
    let id = put_locked(&fixture, "k", ObjectLockMode::Governance, 3600).await;
    assert_eq!(delete(&admin, "k", &id, None).await, "AccessDenied", "the permission without the header");
    assert_eq!(delete(&attacker, "k", &id, Some(true)).await, "AccessDenied", "the header without the permission");
    assert_eq!(delete(&fixture.client(Role::Pruner), "k", &id, None).await, "AccessDenied");
    let lock = |mode, seconds| Some((mode, fixture.later(seconds)));
    assert_eq!(retain(&retainer, "k", &id, lock(Governance, 7200), false).await, "ok", "extension is free");
    assert_eq!(retain(&retainer, "k", &id, lock(Governance, 3600), false).await, "AccessDenied");
    assert_eq!(retain(&retainer, "k", &id, lock(Compliance, 7200), false).await, "AccessDenied");
    assert_eq!(retain(&retainer, "k", &id, None, false).await, "AccessDenied");
    assert_eq!(retain(&attacker, "k", &id, lock(Governance, 3600), true).await, "AccessDenied");
    assert_eq!(retain(&admin, "k", &id, lock(Governance, 3600), true).await, "ok");
    assert_eq!(retain(&admin, "k", &id, None, true).await, "ok");
    assert_eq!(
        outcome(admin.get_object_retention().bucket(BUCKET).key("k").send().await),
        "NoSuchObjectLockConfiguration"
    );
    let id = put_locked(&fixture, "k", ObjectLockMode::Governance, 3600).await;
    assert_eq!(delete(&admin, "k", &id, Some(true)).await, "ok");
}

#[tokio::test]
async fn compliance_yields_to_time_alone() {
    use ObjectLockRetentionMode::{Compliance, Governance};
    let fixture = Fixture::new().await;
    let (admin, writer) = (fixture.client(Role::Admin), fixture.client(Role::Writer));
    let id = put_locked(&fixture, "k", ObjectLockMode::Compliance, 3600).await;
    let lock = |mode, seconds| Some((mode, fixture.later(seconds)));
    for bypass in [false, true] {
        assert_eq!(delete(&admin, "k", &id, Some(bypass)).await, "AccessDenied");
        assert_eq!(retain(&admin, "k", &id, lock(Compliance, 60), bypass).await, "AccessDenied");
        assert_eq!(retain(&admin, "k", &id, lock(Governance, 7200), bypass).await, "AccessDenied");
        assert_eq!(retain(&admin, "k", &id, None, bypass).await, "AccessDenied");
    }
    assert_eq!(retain(&writer, "k", &id, lock(Compliance, 7200), false).await, "ok", "the writer may only extend");
    assert_eq!(retain(&writer, "k", &id, lock(Compliance, 3600), false).await, "AccessDenied");
    // Deleting without a version id and overwriting stay possible; the locked version stays too.
    admin.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    put_version(&admin, "k", b"junk").await;
    let got = admin.get_object().bucket(BUCKET).key("k").version_id(&id).send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"locked");
    fixture.advance(Duration::from_secs(7190));
    assert_eq!(delete(&admin, "k", &id, None).await, "AccessDenied");
    fixture.advance(Duration::from_secs(20));
    assert_eq!(delete(&fixture.client(Role::Pruner), "k", &id, None).await, "ok");
}

#[tokio::test]
async fn legal_holds_have_no_end_and_no_bypass() {
    let fixture = Fixture::new().await;
    let (admin, retainer) = (fixture.client(Role::Admin), fixture.client(Role::Retainer));
    let id = put_version(&admin, "k", b"x").await;
    let get = || admin.get_object_legal_hold().bucket(BUCKET).key("k").send();
    assert_eq!(outcome(get().await), "NoSuchObjectLockConfiguration");
    let hold = |status| {
        let hold = ObjectLockLegalHold::builder().status(status).build();
        retainer.put_object_legal_hold().bucket(BUCKET).key("k").version_id(&id).legal_hold(hold).send()
    };
    hold(ObjectLockLegalHoldStatus::On).await.unwrap();
    assert_eq!(get().await.unwrap().legal_hold.unwrap().status, Some(ObjectLockLegalHoldStatus::On));
    fixture.advance(Duration::from_hours(100 * 365 * 24));
    assert_eq!(delete(&admin, "k", &id, None).await, "AccessDenied");
    assert_eq!(delete(&admin, "k", &id, Some(true)).await, "AccessDenied");
    hold(ObjectLockLegalHoldStatus::Off).await.unwrap();
    assert_eq!(delete(&admin, "k", &id, None).await, "ok");
}

#[tokio::test]
async fn incomplete_and_past_locks_are_refused() {
    use ObjectLockRetentionMode::Governance;
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    let new = || put(&admin, "new", b"x");
    let governance = ObjectLockMode::Governance;
    assert_eq!(outcome(new().object_lock_mode(governance.clone()).send().await), "InvalidArgument");
    assert_eq!(outcome(new().object_lock_retain_until_date(fixture.later(60)).send().await), "InvalidArgument");
    let past = new().object_lock_mode(governance.clone()).object_lock_retain_until_date(fixture.later(-1));
    assert_eq!(outcome(past.send().await), "InvalidArgument");
    let odd = new().object_lock_mode("FOREVER".into()).object_lock_retain_until_date(fixture.later(60));
    assert_eq!(outcome(odd.send().await), "InvalidArgument");
    assert_eq!(outcome(admin.head_object().bucket(BUCKET).key("new").send().await), "404", "nothing was stored");

    let id = put_version(&admin, "k", b"x").await;
    assert_eq!(retain(&admin, "k", &id, Some((Governance, fixture.later(-1))), true).await, "InvalidArgument");
    let half = ObjectLockRetention::builder().mode(Governance).build();
    let half = admin.put_object_retention().bucket(BUCKET).key("k").retention(half);
    assert_eq!(outcome(half.send().await), "MalformedXML");

    let plain = admin.put_object().bucket(PLAIN).key("k").object_lock_mode(governance);
    assert_eq!(outcome(plain.object_lock_retain_until_date(fixture.later(60)).send().await), "InvalidRequest");
    let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
    assert_eq!(
        outcome(admin.put_object_legal_hold().bucket(PLAIN).key("k").legal_hold(hold).send().await),
        "InvalidRequest"
    );
    assert_eq!(outcome(admin.get_object_retention().bucket(PLAIN).key("k").send().await), "InvalidRequest");
}

#[tokio::test]
async fn markers_cannot_be_locked_and_are_not_protected() {
    let fixture = Fixture::new().await;
    let admin = fixture.client(Role::Admin);
    put_locked(&fixture, "k", ObjectLockMode::Compliance, 3600).await;
    let marker = admin.delete_object().bucket(BUCKET).key("k").send().await.unwrap().version_id.unwrap();
    let lock = Some((ObjectLockRetentionMode::Governance, fixture.later(60)));
    assert_eq!(retain(&admin, "k", &marker, lock, false).await, "MethodNotAllowed");
    assert_eq!(delete(&fixture.client(Role::Pruner), "k", &marker, None).await, "ok");
    assert_eq!(outcome(admin.head_object().bucket(BUCKET).key("k").send().await), "ok");
}

#[tokio::test]
async fn locks_survive_restarts_and_a_second_server_is_kept_out() {
    let fixture = Fixture::new().await;
    let id = put_locked(&fixture, "k", ObjectLockMode::Governance, 60).await;
    let until = fixture.later(9000);
    let extension = Some((ObjectLockRetentionMode::Governance, until));
    assert_eq!(retain(&fixture.client(Role::Retainer), "k", &id, extension, false).await, "ok");
    let second = Server::start(Options::new(fixture.store())).await.unwrap_err();
    assert!(second.to_string().contains("in use"), "{second}");
    let Fixture { root, server, clock } = fixture;
    let secret = server.credentials(Role::Admin).unwrap();
    server.stop().await;
    let server = Server::start(Options::new(root.path().join("store"))).await.unwrap();
    assert_eq!(server.credentials(Role::Admin).unwrap().access_key, secret.access_key);
    let admin = super::client(&server.endpoint(), server.region(), &secret, None, clock);
    assert_eq!(delete(&admin, "k", &id, None).await, "AccessDenied");
    let head = admin.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.object_lock_retain_until_date().unwrap().secs(), until.secs());
}
