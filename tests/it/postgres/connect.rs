//! TLS and logins against a real server, as libpq treats them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use stonewal::postgres::{ConnInfo, Environment, Error, Session};

use crate::support::fixture::Fixture;
use crate::support::pki::Pki;

fn home(dir: &Path) -> Environment {
    Environment::new([("HOME".to_owned(), dir.display().to_string())].into())
}

/// How a connection went, in a word.
async fn outcome(info: &ConnInfo) -> &'static str {
    match Session::connect(info, "test").await {
        Ok(session) if session.is_encrypted() => "encrypted",
        Ok(_) => "plain",
        Err(Error::Tls { .. }) => "tls",
        Err(Error::Authentication { .. }) => "authentication",
        Err(Error::Setting { .. }) => "setting",
        Err(Error::NoDatabase { .. }) => "database",
        Err(Error::Unreachable { .. }) => "unreachable",
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn sslmode_means_what_it_means_to_libpq() {
    let test = "sslmode";
    let Some(pki) = Pki::new(test) else { return };
    let fixture = Fixture::with(test, |options| {
        options.tls = Some((pki.path("server.crt"), pki.path("server.key")));
        options.password = Some("s3cret".to_owned().into());
        options.settings.push(("ssl_ca_file".into(), pki.path("ca.crt").display().to_string()));
        options.hba.push("hostnossl tlsonly all 127.0.0.1/32 reject".into());
    })
    .await;
    let Some(fixture) = fixture else { return };
    fixture.server.execute("postgres", "CREATE DATABASE tlsonly").await.unwrap();
    let ca = pki.path("ca.crt").display().to_string();
    let other = pki.path("other.crt").display().to_string();
    let empty = tempfile::tempdir().unwrap();
    let home = home(empty.path());
    let cases = [
        ("127.0.0.1", "postgres", "sslmode=disable".to_owned(), "plain"),
        ("127.0.0.1", "postgres", "sslmode=allow".into(), "plain"),
        ("127.0.0.1", "postgres", String::new(), "encrypted"),
        ("127.0.0.1", "postgres", "sslmode=require".into(), "encrypted"),
        ("127.0.0.1", "postgres", format!("sslmode=require sslrootcert={ca}"), "encrypted"),
        ("127.0.0.1", "postgres", format!("sslmode=require sslrootcert={other}"), "tls"),
        ("127.0.0.1", "postgres", format!("sslmode=prefer sslrootcert={other}"), "plain"),
        ("127.0.0.1", "postgres", format!("sslmode=verify-ca sslrootcert={ca}"), "encrypted"),
        ("127.0.0.1", "postgres", format!("sslmode=verify-ca sslrootcert={other}"), "tls"),
        ("127.0.0.1", "postgres", "sslmode=verify-ca".into(), "setting"),
        ("127.0.0.1", "postgres", format!("sslmode=verify-full sslrootcert={ca}"), "tls"),
        ("localhost", "postgres", format!("sslmode=verify-full sslrootcert={ca} hostaddr=127.0.0.1"), "encrypted"),
        ("localhost", "postgres", format!("sslmode=verify-full sslrootcert={other} hostaddr=127.0.0.1"), "tls"),
        ("localhost", "postgres", "sslrootcert=system hostaddr=127.0.0.1".into(), "tls"),
        ("127.0.0.1", "postgres", "sslmode=require channel_binding=require".into(), "encrypted"),
        ("127.0.0.1", "postgres", "sslmode=disable channel_binding=require".into(), "authentication"),
        ("127.0.0.1", "postgres", "sslmode=require ssl_min_protocol_version=TLSv1.3".into(), "encrypted"),
        ("127.0.0.1", "tlsonly", "sslmode=disable".into(), "authentication"),
        ("127.0.0.1", "tlsonly", "sslmode=allow".into(), "encrypted"),
        ("127.0.0.1", "nowhere", "sslmode=require".into(), "database"),
        ("127.0.0.1", "postgres", "password=wrong".into(), "authentication"),
        ("127.0.0.1", "postgres", "password=''".into(), "authentication"),
        ("127.0.0.1", "postgres", "port=1".into(), "unreachable"),
        ("no-such-host.invalid", "postgres", String::new(), "unreachable"),
    ];
    for (host, dbname, more, want) in cases {
        let text =
            format!("host={host} port={} dbname={dbname} user=postgres password=s3cret {more}", fixture.server.port());
        let info = ConnInfo::resolve(&text, &home).unwrap();
        assert_eq!(outcome(&info).await, want, "{host} {dbname} {more}");
    }
    // Root certificate and client certificate from ~/.postgresql, as libpq finds them.
    let folder = empty.path().join(".postgresql");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(pki.path("other.crt"), folder.join("root.crt")).unwrap();
    let text = format!("host=127.0.0.1 port={} user=postgres password=s3cret sslmode=require", fixture.server.port());
    assert_eq!(outcome(&ConnInfo::resolve(&text, &home).unwrap()).await, "tls", "a root file is honoured by require");
    std::fs::copy(pki.path("ca.crt"), folder.join("root.crt")).unwrap();
    assert_eq!(outcome(&ConnInfo::resolve(&text, &home).unwrap()).await, "encrypted");
    // Over a Unix socket TLS is not spoken, whatever the mode.
    let socket = fixture.server.socket_conninfo("postgres").unwrap().with_param("sslmode", "verify-full").unwrap();
    assert_eq!(outcome(&socket).await, "plain");
}

#[tokio::test]
async fn client_certificates_and_a_self_signed_server() {
    let test = "client_certificates";
    let Some(pki) = Pki::new(test) else { return };
    let fixture = Fixture::with(test, |options| {
        options.tls = Some((pki.path("self.crt"), pki.path("self.key")));
        options.settings.push(("ssl_ca_file".into(), "ca.crt".into()));
        options.settings.push(("ssl_ca_file".into(), pki.path("ca.crt").display().to_string()));
        options.hba.push("hostssl all all 127.0.0.1/32 cert".into());
    })
    .await;
    let Some(fixture) = fixture else { return };
    let nobody = tempfile::tempdir().unwrap();
    let connect = |more: &str| {
        let text = format!("hostaddr=127.0.0.1 port={} dbname=postgres user=postgres {more}", fixture.server.port());
        ConnInfo::resolve(&text, &home(nobody.path())).unwrap()
    };
    let root = format!("sslrootcert={}", pki.path("self.crt").display());
    let cert = format!("sslcert={} sslkey={}", pki.path("postgres.crt").display(), pki.path("postgres.key").display());
    // The documentation's recipe: the server's own certificate as root.crt.
    assert_eq!(outcome(&connect(&format!("host=localhost sslmode=verify-full {root} {cert}"))).await, "encrypted");
    assert_eq!(outcome(&connect(&format!("host=elsewhere sslmode=verify-full {root} {cert}"))).await, "tls");
    assert_eq!(outcome(&connect(&format!("host=elsewhere sslmode=verify-ca {root} {cert}"))).await, "encrypted");
    assert_eq!(outcome(&connect("host=localhost sslmode=require")).await, "authentication", "no client certificate");
    assert_eq!(
        outcome(&connect(&format!("host=localhost sslmode=require sslcertmode=disable {cert}"))).await,
        "authentication"
    );
    std::fs::set_permissions(pki.path("postgres.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error =
        Session::connect(&connect(&format!("host=localhost sslmode=require {cert}")), "test").await.unwrap_err();
    assert!(matches!(error, Error::File { .. }) && error.to_string().contains("private key"), "{error}");
}

#[tokio::test]
async fn hosts_are_tried_in_order_and_the_answering_one_is_kept() {
    let Some(fixture) = Fixture::empty("hosts_in_order").await else { return };
    let port = fixture.server.port();
    let empty = tempfile::tempdir().unwrap();
    let connect = |text: String| ConnInfo::resolve(&text, &home(empty.path())).unwrap();
    let info = connect(format!("postgresql://postgres@127.0.0.1:1,127.0.0.1:{port}/postgres?sslmode=disable"));
    let session = Session::connect(&info, "test").await.unwrap();
    assert_eq!(session.info().endpoints().len(), 1);
    assert_eq!(session.info().endpoints()[0].port, port);
    let timeouts = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"];
    for name in timeouts {
        let row = session.client().query_one(&format!("SHOW {name}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), "0", "{name}");
    }
    for (attrs, good) in
        [("primary", true), ("read-write", true), ("standby", false), ("read-only", false), ("prefer-standby", true)]
    {
        let info =
            connect(format!("host=127.0.0.1 port={port} user=postgres dbname=postgres target_session_attrs={attrs}"));
        assert_eq!(Session::connect(&info, "test").await.is_ok(), good, "{attrs}");
    }
    // A server that accepts and says nothing does not hold us for ever.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let info = connect(format!("host=127.0.0.1 port={silent_port} user=postgres connect_timeout=2"));
    let begin = std::time::Instant::now();
    assert_eq!(outcome(&info).await, "unreachable");
    assert!(begin.elapsed() < std::time::Duration::from_secs(8));
}

#[tokio::test]
async fn a_stopped_server_is_gone_and_its_log_explains_a_bad_setting() {
    let Some(fixture) = Fixture::empty("stopped_server").await else { return };
    let info = fixture.server.conninfo("postgres").unwrap();
    let pid = fixture.server.id().unwrap();
    fixture.server.stop().await.unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(outcome(&info).await, "unreachable");
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut options = stonewal::postgres::server::ServerOptions::new(dir.path().join("pg"));
    options.settings.push(("no_such_setting".into(), "1".into()));
    let error = stonewal::postgres::server::Server::start(&options).await.unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}
