//! Settings and credentials from where the AWS tools take them. The environment is a process's, so each test runs its
//! client in a process of its own: this test binary again, told to run only [`child`].

use std::path::Path;
use std::process::{Command, Output};

use jiff::SignedDuration;
use stonewal::store::{Append as _, S3, S3Options};

use super::clock::{dated, store_time};
use super::locked_put;
use crate::support::scripted::{Reply, Scripted};
use crate::support::variable;

const MARK: &str = "STONEWAL_TEST_CHILD";

/// The client of the other tests here; by itself it does nothing.
#[tokio::test]
async fn child() {
    if variable(MARK).is_none() {
        return;
    }
    let store = S3::connect(S3Options::new("vault")).await.expect("client");
    println!("endpoint {} region {}", store.endpoint(), store.region());
    for _ in 0..3 {
        if let Err(error) = store.put(locked_put("x")).await {
            println!("error {error:?} hint {:?}", error.hint());
            return;
        }
    }
    println!("stored");
}

/// Runs [`child`] with nothing of our own AWS settings, and these.
async fn run(home: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "--nocapture", "wire::environment::child"]).env_clear().env(MARK, "1");
    command.env("HOME", home).env("PATH", "/usr/bin:/bin").env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("thread").expect("child");
    let Output { stdout, stderr, .. } = output;
    format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

fn users(server: &Scripted) -> Vec<String> {
    let credential =
        |authorization: &str| Some(authorization.split_once("Credential=")?.1.split('/').next()?.to_owned());
    server.seen().iter().filter_map(|request| credential(request.header("authorization")?)).collect()
}

#[tokio::test]
async fn the_environment_names_endpoint_region_and_keys() {
    let server = Scripted::start(|_, _| Reply::stored("v1")).await;
    let home = tempfile::tempdir().expect("dir");
    for endpoint in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let before = server.seen().len();
        let variables = [
            (endpoint, server.endpoint()),
            ("AWS_REGION", "eu-central-2"),
            ("AWS_ACCESS_KEY_ID", "AKIAENV"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "token"),
        ];
        let text = run(home.path(), &variables).await;
        assert!(
            text.contains("stored") && text.contains(&format!("endpoint {} region eu-central-2", server.endpoint())),
            "{text}"
        );
        let seen = server.seen();
        assert_eq!(seen.len(), before + 3);
        assert!(seen.iter().all(|request| request.target.starts_with("/vault/")), "path style for a custom endpoint");
        assert!(seen.iter().all(|request| request.header("x-amz-security-token") == Some("token")));
    }
    assert!(users(&server).iter().all(|user| user == "AKIAENV"));
}

/// Credentials that last less than the SDK's own margin are fetched anew for every request.
#[tokio::test]
async fn a_profile_whose_credentials_expire_is_asked_again() {
    let server = Scripted::start(|_, _| Reply::stored("v1")).await;
    fetched_anew(server, "+4 seconds").await;
}

/// It is the store that finds them expired, so the store's clock says when.
#[tokio::test]
async fn credentials_expire_by_the_stores_clock() {
    let ahead = SignedDuration::from_hours(2);
    let server = Scripted::start(move |_, _| dated(Reply::stored("v1"), store_time(ahead))).await;
    fetched_anew(server, "+1 hour").await;
}

async fn fetched_anew(server: Scripted, lifetime: &str) {
    let home = tempfile::tempdir().expect("dir");
    let dir = home.path().display();
    let process = format!(
        r#"n=$(cat {dir}/n 2>/dev/null || echo 0); echo $((n+1)) >{dir}/n
printf '{{"Version":1,"AccessKeyId":"AKIA%s","SecretAccessKey":"s","SessionToken":"t","Expiration":"%s"}}' $n "$(date -u -d '{lifetime}' +%Y-%m-%dT%H:%M:%SZ)""#
    );
    std::fs::write(home.path().join("credentials.sh"), process).expect("write");
    let config = format!(
        "[profile vault]\nregion = eu-north-1\nendpoint_url = {}\ncredential_process = /bin/sh {dir}/credentials.sh\n",
        server.endpoint()
    );
    std::fs::write(home.path().join("config"), config).expect("write");
    let config = home.path().join("config").display().to_string();
    let text = run(home.path(), &[("AWS_CONFIG_FILE", &config), ("AWS_PROFILE", "vault")]).await;
    assert!(text.contains("stored") && text.contains("region eu-north-1"), "{text}");
    assert_eq!(users(&server), ["AKIA0", "AKIA1", "AKIA2"]);
}

#[tokio::test]
async fn no_credentials_anywhere_is_said_so() {
    let server = Scripted::start(|_, _| Reply::stored("v1")).await;
    let home = tempfile::tempdir().expect("dir");
    let text = run(home.path(), &[("AWS_ENDPOINT_URL", server.endpoint()), ("AWS_REGION", "us-east-1")]).await;
    assert!(text.contains("error NoCredentials") && text.contains("AWS_ACCESS_KEY_ID"), "{text}");
    assert!(server.seen().is_empty());
}
