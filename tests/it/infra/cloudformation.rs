//! The template deployed into LocalStack in two regions, and the life of a backup on the ground that it made.
//!
//! LocalStack's community edition enforces no policy; that is the embedded server's part, with the same list of actions
//! (`tests/it/embedded/roles.rs`). Here the deployed policies are compared with that list.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use stonewal::store::roles::Role;
use stonewal::store::{BucketState, S3, S3Options};

use super::infra;
use crate::support::fixture::Fixture;
use crate::support::servers::{LocalStack, Outputs};
use crate::support::{options, skip, stores};

const REGION: &str = "eu-central-1";
const REPLICA_REGION: &str = "eu-west-1";

/// The program on a host whose home is `folder`.
struct Host {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Host {
    fn new(server: &LocalStack, bucket: &str, fixture: &Fixture) -> Self {
        let folder = tempfile::Builder::new().prefix("swi").tempdir().unwrap();
        let config = folder.path().join("stonewal.toml");
        let profile = |name: &str| format!("[{name}]\naws_access_key_id = test\naws_secret_access_key = test\n");
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        std::fs::write(folder.path().join(".aws/credentials"), profile("retainer") + &profile("far")).unwrap();
        let far = format!(
            "[retention]\nprofile = \"retainer\"\n\n[replica.far]\nrepository = \"s3://{bucket}-replica/prod\"\n\
             endpoint = \"{}\"\nregion = \"{REPLICA_REGION}\"\nprofile = \"far\"\n",
            server.endpoint
        );
        std::fs::write(&config, far).unwrap();
        let url = format!("postgres://postgres@127.0.0.1:{}/app?sslmode=disable", fixture.server.port());
        let variables = vec![
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_ENDPOINT_URL_S3", server.endpoint.clone()),
            ("AWS_REGION", REGION.into()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
            ("BACKUP_PASSPHRASE", "a template of granite".into()),
            ("DATABASE_URL", url),
            ("HOME", folder.path().display().to_string()),
            ("PATH", "/usr/bin:/bin".into()),
            ("STONEWAL_CONFIG", config.display().to_string()),
            ("STONEWAL_POSTGRES_BIN_DIR", fixture.server.bin_dir().display().to_string()),
            ("STONEWAL_REPOSITORY", format!("s3://{bucket}/prod")),
        ];
        Self { folder, variables }
    }

    /// Runs a command line to its end; the document it printed, if its exit code is one of `codes`.
    fn run(&self, line: &str, codes: &[i32]) -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonewal"));
        command.args(line.split_whitespace()).arg("--json").env_clear().current_dir(self.folder.path());
        let output = command.envs(self.variables.iter().map(|(name, value)| (name, value))).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let code = output.status.code();
        assert!(code.is_some_and(|code| codes.contains(&code)), "{line}: {code:?}\n{out}\n{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}: {out}\n{err}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn store_options(server: &LocalStack, region: &str, bucket: &str) -> S3Options {
    S3Options { region: Some(region.into()), ..options(&server.endpoint, bucket, "test", "test") }
}

/// The replica's ground first, then that of the primary, which names it.
fn deploy(server: &LocalStack, name: &str) -> (Outputs, Outputs) {
    let template = infra("cloudformation/repository.yaml");
    let replica = format!("{name}-replica");
    let far = server.deploy(REPLICA_REGION, &replica, &template, &[format!("BucketName={replica}")]);
    let parameters = [
        format!("BucketName={name}"),
        format!("ReplicaBucketArn={}", far["BucketArn"]),
        "Prefix=prod/".into(),
        "CreateWriterUser=true".into(),
    ];
    (server.deploy(REGION, name, &template, &parameters), far)
}

#[tokio::test]
async fn a_backup_lives_on_what_the_template_makes() {
    let server = match LocalStack::find() {
        Ok(server) => server,
        Err(why) => return skip("the CloudFormation template in LocalStack", &why),
    };
    let name = format!("template-{}", std::process::id());
    let (near, far) = deploy(&server, &name);
    for (region, bucket) in [(REGION, &near["Bucket"]), (REPLICA_REGION, &far["Bucket"])] {
        let store = S3::connect(store_options(&server, region, bucket)).await.unwrap();
        let ready = BucketState { versioning: true, object_lock: true };
        assert_eq!(store.bucket_state().await.unwrap(), ready, "{bucket}");
        assert_eq!(store.bucket_region().await.unwrap().as_deref(), Some(region), "{bucket}");
        assert_eq!(store.default_retention().await.unwrap(), None, "{bucket}");
    }
    deployed_policies_are_those_of_the_roles(&server, &near).await;
    let Some(fixture) = Fixture::empty("a backup on what the template makes").await else { return };
    fixture.psql("postgres", "CREATE DATABASE app", &[]);
    fixture.psql("app", "CREATE TABLE stone (id int, word text); INSERT INTO stone SELECT n, 'Basalt ' || n FROM generate_series(1, 20000) n", &[]);
    live(&Host::new(&server, &name, &fixture));
}

/// The whole life: found, backed up, listed, verified, restored; held, locked for longer, copied, restored from the copy.
fn live(host: &Host) {
    let made = host.run("init --recovery-file recovery", &[0]);
    assert_eq!((&made["created_bucket"], &made["created_repository"]), (&false.into(), &true.into()), "{made}");
    let backup = host.run("backup dump", &[0]);
    let listed = host.run("list", &[0]);
    assert!(listed.to_string().contains(backup["backup"].as_str().unwrap()), "{listed}");
    let again = host.run("init", &[0]);
    assert_eq!(again["created_repository"], false, "{again}");
    host.run("verify --level decrypt", &[0]);
    host.run("restore dump latest --to-file app.sql", &[0]);
    let sql = std::fs::read_to_string(host.path("app.sql")).unwrap();
    assert!(sql.contains("Basalt 1\n") && sql.contains("Basalt 20000\n"), "{} bytes", sql.len());
    let id = backup["backup"].as_str().unwrap();
    host.run(&format!("hold add {id}"), &[0]);
    let held = host.run("verify --locks", &[0]);
    assert!(held.to_string().contains(id), "{held}");
    host.run(&format!("hold remove {id}"), &[0]);
    host.run("retention extend", &[0]);
    let left = host.run("retention apply --delete", &[0]);
    host.run("replica copy far", &[0]);
    host.run("replica verify far --deep", &[0]);
    host.run("restore dump latest --from-replica far --to-file far.sql", &[0, 3]);
    assert_eq!(std::fs::read_to_string(host.path("far.sql")).unwrap(), sql, "{left}");
    let deeds = host.run("audit log", &[0]).to_string();
    for deed in ["backup.dump", "hold.add", "hold.remove", "retention.extend", "replica.copy", "restore.dump"] {
        assert!(deeds.contains(deed), "{deed}: {deeds}");
    }
    host.run("audit verify", &[0]);
    // The emulator's users may do everything, which doctor tells; nothing else is wrong with the ground.
    let examined = host.run("doctor", &[0, 1, 3]);
    for check in examined["checks"].as_array().unwrap() {
        let rights = ["worm: bypass", "worm: hide"].contains(&check["name"].as_str().unwrap());
        assert!(check["status"] != "fail" || rights, "{check}");
    }
    stores::compare("LocalStack", &examined);
}

/// `GetPolicy` and `GetPolicyVersion` of every policy that the stack made.
async fn deployed_policies_are_those_of_the_roles(server: &LocalStack, outputs: &Outputs) {
    for role in Role::GRANTED {
        let mut name = role.name().to_owned();
        name[..1].make_ascii_uppercase();
        let arn = &outputs[&format!("{name}Policy")];
        let document = policy(server, arn).await;
        let statements = document["Statement"].as_array().unwrap();
        let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
        let actions: BTreeSet<&str> = actions.map(|action| action.as_str().unwrap()).collect();
        assert_eq!(actions, role.actions().iter().copied().collect(), "{role}");
        let bucket = format!("arn:aws:s3:::{}", outputs["Bucket"]);
        let resources: Vec<_> = statements.iter().map(|statement| statement["Resource"].as_str().unwrap()).collect();
        assert_eq!(resources, [bucket.as_str(), &format!("{bucket}/prod/*")], "{role}");
        assert!(statements.iter().all(|statement| statement["Effect"] == "Allow"), "{document}");
    }
}

/// The default version of a policy, by the IAM query API; the emulator checks no signature.
async fn policy(server: &LocalStack, arn: &str) -> serde_json::Value {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let form = format!("Action=GetPolicyVersion&Version=2010-05-08&VersionId=v1&PolicyArn={}", arn.replace(':', "%3A"));
    let host = server.endpoint.strip_prefix("http://").unwrap();
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nauthorization: {scope}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let document = answer.split_once("<Document>").and_then(|(_, rest)| rest.split_once("</Document>"));
    let encoded = document.unwrap_or_else(|| panic!("{arn}: {answer}")).0;
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap();
    serde_json::from_str(&decoded).unwrap_or_else(|error| panic!("{arn}: {error}: {decoded}"))
}
