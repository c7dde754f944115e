//! A store that cannot be reached, does not let us in, or is not fit for backups.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use stonewal::store::embedded::Session;
use stonewal::store::roles::Role;

use super::world::{PASSPHRASE, World};
use crate::support::proxy::{Proxy, Weather};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_named_and_nothing_is_left() {
    let Some(world) = World::new("unreachable").await else { return };
    let backup = |endpoint: &str| world.stonewal("backup dump").env("AWS_ENDPOINT_URL_S3", endpoint);
    let refused = "
error: no connection to http://127.0.0.1:1: [..] attempts in [..] s: [..]Connection refused (os error 111)

hint: check the endpoint URL, DNS, firewall, proxy and, for https, the CA file";
    backup("http://127.0.0.1:1").end().await.is(1, refused);
    let unknown = "
error: no connection to http://store.invalid:9000: [..] attempts in [..] s: [..]dns error: [..]

hint: check the endpoint URL, DNS, firewall, proxy and, for https, the CA file";
    backup("http://store.invalid:9000").end().await.is(1, unknown);
    let hole =
        Proxy::start(world.store.endpoint().strip_prefix("http://").unwrap().parse().unwrap(), Weather::Blackhole);
    let hole = hole.await;
    let silent = "
error: s3:GetBucketVersioning on bucket backups did not finish within 2 s[..]

hint: nothing was published; run the command again when the store answers";
    let ended = backup(&hole.endpoint()).env("STONEWAL_S3_DEADLINE", "2s").end().await;
    ended.is(1, silent);
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
    world.unchanged().await;
}

/// C5: a store that stops answering must not keep a transaction open in the source.
#[tokio::test(flavor = "multi_thread")]
async fn c05_a_store_that_falls_silent_ends_the_backup_and_its_transaction() {
    let Some(world) = World::new("c05").await else { return };
    let upstream = world.store.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = Proxy::start(upstream, Weather::Slow(Duration::from_millis(20))).await;
    let run = world.stonewal("backup dump").env("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    // One upload at a time: pg_dump has to wait for the store.
    let run = run.env("STONEWAL_S3_DEADLINE", "4s").env("STONEWAL_LIMITS_UPLOADS", "1");
    world.grow().await;
    let before = world.bodies();
    let running = run.start();
    world.uploading(&before).await;
    world.session_is("query LIKE 'COPY public.bulk%'").await;
    proxy.set(Weather::Blackhole);
    let ended = running.end().await;
    let silent = "
error: s3:PutObject on prod/main/backups/[..] did not finish within 4 s[..]

hint: nothing was published; run the command again when the store answers";
    ended.is(1, silent);
    assert!(ended.took < Duration::from_secs(40), "{:?}", ended.took);
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_rights_that_do_not_do_are_named() {
    let past = Timestamp::from_second(1_700_000_000).unwrap();
    let session = Session { token: SecretString::from("SENTINEL-token"), expires: past };
    let user = World::user("EXPIRED0000000000000", Role::Writer, Some(session));
    let Some(world) = World::with("credentials", |_| {}, |options| options.users.push(user)).await else { return };
    let before = world.objects("").await.len();
    let denied = "
error: s3:PutObject on prod/[..] is denied: AccessDenied: [..]

hint: allow s3:PutObject for these credentials; README.md lists what each role needs";
    world.stonewal("backup dump").role(&world, Role::Reader).end().await.is(1, denied);
    let denied = "
error: s3:[..] on [..] is denied: AccessDenied: [..]

hint: allow s3:[..] for these credentials; README.md lists what each role needs";
    world.stonewal("backup dump").role(&world, Role::Pruner).end().await.is(1, denied);
    let unknown = "
error: the store does not accept the credentials: InvalidAccessKeyId: [..]

hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached";
    world.stonewal("backup dump").env("AWS_ACCESS_KEY_ID", "NOBODY").end().await.is(1, unknown);
    let wrong = "
error: the store does not accept the credentials: SignatureDoesNotMatch[..]

hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached";
    world.stonewal("backup dump").env("AWS_SECRET_ACCESS_KEY", "SENTINEL-wrong").end().await.is(1, wrong);
    let none = "
error: no credentials for the store were found: the credential provider was not enabled: no credentials found in chain. Attempted:
  Environment: [..]
  Profile: [..]
  WebIdentityToken: [..]
  EcsContainer: [..]
  Ec2InstanceMetadata: [..]

hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached";
    let run = world.stonewal("backup dump").unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY");
    run.end().await.is(1, none);
    let expired = "
error: the credentials have expired: ExpiredToken: [..]

hint: renew the session (for example `aws sso login`) or use a provider that refreshes by itself";
    let run = world.stonewal("backup dump").env("AWS_ACCESS_KEY_ID", "EXPIRED0000000000000");
    let run = run.env("AWS_SECRET_ACCESS_KEY", "SENTINEL-secret-of-a-user").env("AWS_SESSION_TOKEN", "SENTINEL-token");
    run.end().await.is(1, expired);
    assert_eq!(world.objects("").await.len(), before, "nothing was written");
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_elsewhere_missing_or_does_not_lock_is_refused() {
    let Some(world) = World::new("buckets").await else { return };
    let region = "
error: bucket backups is in region us-east-1, not eu-central-1

hint: set region = \"us-east-1\" (or AWS_REGION)";
    world.stonewal("backup dump --region eu-central-1").end().await.is(1, region);
    let nowhere = "
error: bucket nowhere does not exist at [STORE]

hint: check the repository URL and the endpoint, or create the bucket with `stonewal init`";
    world.stonewal("backup dump --repository s3://nowhere/prod").end().await.is(1, nowhere);
    let empty = "
error: there is no stonewal repository at s3://backups/elsewhere/

hint: check the repository URL, or run `stonewal init`";
    world.stonewal("backup dump --repository s3://backups/elsewhere").end().await.is(1, empty);

    let plain = |line| {
        let run = world.stonewal(line).unset("STONEWAL_KEYS_WRITER_FILE").role(&world, Role::Admin);
        run.env("BACKUP_PASSPHRASE", PASSPHRASE).env("STONEWAL_REPOSITORY", "s3://plain/prod")
    };
    let init = plain("init").env("STONEWAL_IMMUTABILITY", "none").end().await;
    init.is_warned("there is one recipient only");
    let unlocked = "
error: bucket plain has no Object Lock

hint: Object Lock is switched on when a bucket is created: let `stonewal init` create one, or say immutability = \"none\" in the configuration and accept that backups can be deleted";
    plain("backup dump").end().await.is(1, unlocked);
    plain("init").end().await.is(1, unlocked);
    plain("backup dump").env("STONEWAL_IMMUTABILITY", "none").end().await.good();
    world.unchanged().await;
}
