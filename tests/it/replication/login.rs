//! Ways in, and what stands in them.

use stonewal::postgres::replication::{Client, Fault};
use stonewal::postgres::{ConnInfo, Environment, Error};

use super::{Ground, fault};
use crate::support::majors::postgres_majors;
use crate::support::pki::Pki;

fn outcome(result: &Result<Client, Error>) -> &'static str {
    match result {
        Ok(client) if client.is_encrypted() => "encrypted",
        Ok(_) => "plain",
        Err(Error::Tls { .. }) => "tls",
        Err(Error::Authentication { .. }) => "authentication",
        Err(Error::Unreachable { .. }) => "unreachable",
        Err(Error::Setting { .. }) => "setting",
        Err(Error::Replication { failure, .. }) if failure.fault == Fault::NoHbaEntry => "hba",
        Err(Error::Replication { failure, .. }) if failure.fault == Fault::RoleNotAllowed => "role",
        Err(Error::Replication { failure, .. }) if failure.fault == Fault::NoWalSender => "senders",
        Err(other) => panic!("{other:?}"),
    }
}

/// Role, password, further settings, and how it goes.
type Case = (&'static str, &'static str, String, &'static str);

fn cases(pki: &Pki) -> Vec<Case> {
    let ca = pki.path("ca.crt").display().to_string();
    let other = pki.path("other.crt").display().to_string();
    let full = format!("host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}");
    vec![
        ("postgres", "s3cret", "sslmode=disable".to_owned(), "plain"),
        ("postgres", "s3cret", String::new(), "encrypted"),
        ("postgres", "s3cret", full.clone(), "encrypted"),
        ("postgres", "s3cret", format!("{full} channel_binding=require"), "encrypted"),
        ("postgres", "s3cret", format!("{full} channel_binding=disable"), "encrypted"),
        ("postgres", "s3cret", format!("{full} ssl_min_protocol_version=TLSv1.3"), "encrypted"),
        ("postgres", "s3cret", format!("sslmode=verify-full sslrootcert={ca}"), "tls"),
        ("postgres", "s3cret", format!("sslmode=verify-ca sslrootcert={other}"), "tls"),
        ("postgres", "s3cret", format!("sslmode=prefer sslrootcert={other}"), "plain"),
        ("postgres", "s3cret", "sslmode=verify-ca".into(), "setting"),
        ("postgres", "s3cret", "sslmode=disable channel_binding=require".into(), "authentication"),
        ("trusted", "", "sslmode=disable".into(), "plain"),
        ("trusted", "", "sslmode=require channel_binding=require".into(), "authentication"),
        ("postgres", "wrong", "sslmode=disable".into(), "authentication"),
        ("postgres", "wrong", "sslmode=require".into(), "authentication"),
        ("postgres", "", "sslmode=disable".into(), "authentication"),
        ("old", "x", "sslmode=disable".into(), "plain"),
        ("old", "y", "sslmode=disable".into(), "authentication"),
        ("old", "x", "sslmode=require channel_binding=require".into(), "authentication"),
        ("clear", "x", "sslmode=disable".into(), "plain"),
        ("clear", "y", "sslmode=require".into(), "authentication"),
        ("secure", "x", "sslmode=disable".into(), "hba"),
        ("secure", "x", "sslmode=allow".into(), "encrypted"),
        ("secure", "x", "sslmode=prefer".into(), "encrypted"),
        ("Öd \"x\"", "pä ß\\'", "sslmode=require".into(), "encrypted"),
        ("nohba", "x", "sslmode=require".into(), "hba"),
        ("stranger", "x", "sslmode=disable".into(), "role"),
        ("ghost", "x", "sslmode=disable".into(), "hba"),
        ("postgres", "s3cret", "port=1".into(), "unreachable"),
    ]
}

const ROLES: &str = "
    CREATE ROLE stranger LOGIN PASSWORD 'x'; CREATE ROLE trusted LOGIN REPLICATION;
    CREATE ROLE secure LOGIN REPLICATION PASSWORD 'x'; CREATE ROLE clear LOGIN REPLICATION PASSWORD 'x';
    CREATE ROLE \"Öd \"\"x\"\"\" LOGIN REPLICATION PASSWORD 'pä ß\\'''; CREATE ROLE nohba LOGIN REPLICATION;
    SET password_encryption = 'md5'; CREATE ROLE old LOGIN REPLICATION PASSWORD 'x'";

fn lines() -> Vec<String> {
    [
        "host replication stranger 127.0.0.1/32 trust",
        "host replication old 127.0.0.1/32 md5",
        "host replication clear 127.0.0.1/32 password",
        "hostssl replication secure 127.0.0.1/32 scram-sha-256",
        "host replication trusted 127.0.0.1/32 trust",
        "host replication postgres 127.0.0.1/32 scram-sha-256",
        "host replication \"Öd \"\"x\"\"\" 127.0.0.1/32 scram-sha-256",
        "host all all 127.0.0.1/32 scram-sha-256",
        "local all all trust",
        // The lines of initdb come after these.
        "host replication all 127.0.0.1/32 reject",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[tokio::test]
async fn every_way_in_and_every_way_out() {
    let test = "replication_logins";
    let Some(pki) = Pki::new(test) else { return };
    for installed in postgres_majors(test) {
        let ground = Ground::new(&installed, |options| {
            options.password = Some("s3cret".into());
            options.tls = Some((pki.path("server.crt"), pki.path("server.key")));
            options.settings.push(("password_encryption".into(), "scram-sha-256".into()));
            options.hba = lines();
        })
        .await;
        ground.execute(ROLES).await;
        for (user, password, more, want) in cases(&pki) {
            let text = format!("host=127.0.0.1 port={} {more}", ground.server.port());
            let info = ConnInfo::resolve(&text, &Environment::default()).unwrap();
            let info = info.with_user(user, (!password.is_empty()).then(|| password.into()));
            let result = Client::connect(&info, "stonewal test").await;
            assert_eq!(outcome(&result), want, "{}: {user} {more}: {result:?}", installed.major);
            if let Err(error) = result {
                let all = format!("{error} {error:?} {:?}", error.hint());
                assert!(password.len() < 4 || !all.contains(password), "{all}");
            }
        }
        remedies(&ground).await;
    }
}

/// The hints are what helps.
async fn remedies(ground: &Ground) {
    let login = |user: &str| {
        let text = format!("host=127.0.0.1 port={} user={user} sslmode=disable", ground.server.port());
        ConnInfo::resolve(&text, &Environment::default()).unwrap()
    };
    let error = Client::connect(&login("nohba"), "test").await.unwrap_err();
    let hint = error.hint().unwrap();
    assert_eq!(fault(&error), Fault::NoHbaEntry);
    assert!(hint.contains("host    replication  nohba  127.0.0.1/32  scram-sha-256"), "{hint}");
    let error = Client::connect(&login("stranger"), "test").await.unwrap_err();
    assert!(error.hint().unwrap().contains("REPLICATION"));
    ground.execute("ALTER ROLE stranger REPLICATION").await;
    Client::connect(&login("stranger"), "test").await.unwrap();
    // Not rejected, but not mentioned either.
    std::fs::write(ground.server.data_dir().join("pg_hba.conf"), "local all all trust\n").unwrap();
    ground.server.reload();
    let unmentioned = async {
        loop {
            match Client::connect(&login("stranger"), "test").await {
                Err(error) if error.to_string().contains("no pg_hba.conf entry") => return error,
                Err(error) => panic!("{error:?}"),
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    };
    let error = tokio::time::timeout(std::time::Duration::from_secs(20), unmentioned).await.unwrap();
    assert_eq!(fault(&error), Fault::NoHbaEntry);
    assert!(error.hint().unwrap().contains("host    replication  stranger  127.0.0.1/32  scram-sha-256"));
}

#[tokio::test]
async fn no_wal_sender_is_left() {
    for installed in postgres_majors("max_wal_senders") {
        let ground = Ground::new(&installed, |options| {
            options.settings.push(("max_wal_senders".into(), "1".into()));
        })
        .await;
        let only = ground.client().await;
        let info = ground.server.conninfo("postgres").unwrap();
        let error = Client::connect(&info, "second").await.unwrap_err();
        assert_eq!(fault(&error), Fault::NoWalSender);
        assert!(error.hint().unwrap().contains("max_wal_senders"));
        drop(only);
        let again = async {
            while Client::connect(&info, "second").await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), again).await.expect("dropping it frees its sender");
    }
}

#[tokio::test]
async fn wal_level_minimal_says_what_to_do() {
    let Some(installed) = postgres_majors("wal_level").pop() else { return };
    let ground = Ground::new(&installed, |options| {
        options.settings.push(("wal_level".into(), "minimal".into()));
        options.settings.push(("max_wal_senders".into(), "0".into()));
    })
    .await;
    let error = Client::connect(&ground.server.conninfo("postgres").unwrap(), "test").await.unwrap_err();
    assert_eq!(fault(&error), Fault::NoWalSender);
    assert!(error.hint().unwrap().contains("wal_level"));
}

#[tokio::test]
async fn settings_of_the_connection_are_honoured() {
    for installed in postgres_majors("replication_settings") {
        let ground = Ground::new(&installed, |_| {}).await;
        // Over the Unix socket, with a password file line for replication, options, and the second of two hosts.
        let socket = ground.server.socket_conninfo("postgres").unwrap().with_param("options", "-c geqo_threshold=7");
        let mut client = Client::connect(&socket.unwrap(), "über name").await.unwrap();
        assert!(!client.is_encrypted());
        assert_eq!(client.show("geqo_threshold").await.unwrap(), "7");
        let sql = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender'";
        assert_eq!(ground.value(sql).await, "1");
        let port = ground.server.port();
        for (attrs, good) in
            [("any", true), ("primary", true), ("read-write", true), ("standby", false), ("read-only", false)]
        {
            let text = format!("host=127.0.0.1,127.0.0.1 port=1,{port} user=postgres target_session_attrs={attrs}");
            let info = ConnInfo::resolve(&text, &Environment::default()).unwrap();
            let result = Client::connect(&info, "test").await;
            assert_eq!(result.is_ok(), good, "{attrs}: {result:?}");
        }
        if installed.major >= 17 {
            let text = format!("host=127.0.0.1 port={port} user=postgres sslmode=require sslnegotiation=direct");
            let info = ConnInfo::resolve(&text, &Environment::default()).unwrap();
            assert!(Client::connect(&info, "test").await.is_err(), "this server has no TLS");
        }
    }
}

#[tokio::test]
async fn direct_tls_and_the_password_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(pki) = Pki::new("direct_tls") else { return };
    let Some(installed) = postgres_majors("direct_tls").into_iter().rfind(|installed| installed.major >= 17) else {
        return;
    };
    let ground = Ground::new(&installed, |options| {
        options.password = Some("s3cret".into());
        options.tls = Some((pki.path("server.crt"), pki.path("server.key")));
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    let pgpass = home.path().join(".pgpass");
    std::fs::write(&pgpass, "*:*:replication:postgres:s3cret\n").unwrap();
    std::fs::set_permissions(&pgpass, std::fs::Permissions::from_mode(0o600)).unwrap();
    let env = Environment::new([("HOME".to_owned(), home.path().display().to_string())].into());
    let text = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=app sslmode=verify-full sslrootcert={} \
         sslnegotiation=direct channel_binding=require",
        ground.server.port(),
        pki.path("ca.crt").display()
    );
    let client = Client::connect(&ConnInfo::resolve(&text, &env).unwrap(), "test").await.unwrap();
    assert!(client.is_encrypted());
}
