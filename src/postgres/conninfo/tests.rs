//! Tables of connection strings against what libpq makes of them.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn env(pairs: &[(&str, &str)]) -> Environment {
    let mut map: HashMap<String, String> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    map.entry("HOME".into()).or_insert("/nonexistent".into());
    Environment::new(map)
}

fn resolve(text: &str) -> ConnInfo {
    ConnInfo::resolve(text, &env(&[("PGHOST", "envhost"), ("PGUSER", "envuser")])).unwrap()
}

fn password(info: &ConnInfo) -> Option<String> {
    info.password_for(&info.endpoints[0]).unwrap().map(|p| p.expose_secret().to_owned())
}

#[test]
fn uris_and_key_value_strings() {
    let cases = [
        ("postgresql://", "envuser@envhost:5432/envuser", None),
        ("postgres://h", "envuser@h:5432/envuser", None),
        ("postgresql://u@h/d", "u@h:5432/d", None),
        ("postgresql://u:p@h:6000/d", "u@h:6000/d", Some("p")),
        ("postgresql://u:p%40%2F%3A%25@h/d", "u@h:5432/d", Some("p@/:%")),
        ("postgresql://us%20er:x@h/d%2Fb", "us er@h:5432/d/b", Some("x")),
        ("postgresql://u:p+q@h/d", "u@h:5432/d", Some("p+q")),
        ("postgresql://u@[2001:db8::1]:6000/d", "u@[2001:db8::1]:6000/d", None),
        ("postgresql://u@[::1]/d", "u@[::1]:5432/d", None),
        ("postgresql://%2Fvar%2Flib%2Fpg/d", "envuser@/var/lib/pg:5432/d", None),
        ("postgresql:///d?host=/run/pg&port=7", "envuser@/run/pg:7/d", None),
        ("postgresql://a:1,b:2,[::3]:3/d", "envuser@a:1,b:2,[::3]:3/d", None),
        ("postgresql://a,b:2/d", "envuser@a:5432,b:2/d", None),
        ("postgresql://u@h/d?user=w&dbname=e", "w@h:5432/e", None),
        ("postgresql://h/d?password=q%26r", "envuser@h:5432/d", Some("q&r")),
        ("postgresql://h?connect_timeout=3", "envuser@h:5432/envuser", None),
        ("host=h user=u dbname=d", "u@h:5432/d", None),
        ("host = h  port = 6 user='a b' password='it\\'s \\\\ ='", "a b@h:6/a b", Some("it's \\ =")),
        ("user=a\\ b", "a b@envhost:5432/a b", None),
        ("host=a user=x user=y", "y@a:5432/y", None),
        ("host=h,i port=6", "envuser@h:6,i:6/envuser", None),
        ("hostaddr=10.0.0.1 host=name", "envuser@name:5432/envuser", None),
        ("just_a_name", "envuser@envhost:5432/just_a_name", None),
        ("", "envuser@envhost:5432/envuser", None),
    ];
    for (text, redacted, secret) in cases {
        let info = resolve(text);
        assert_eq!(info.redacted(), redacted, "{text}");
        assert_eq!(password(&info).as_deref(), secret, "{text}");
    }
}

#[test]
fn an_empty_value_keeps_the_variable_out_and_means_the_default() {
    let host = resolve("host='' user=u").endpoints()[0].host.clone();
    assert!(["localhost", "/tmp", "/var/run/postgresql"].contains(&host.as_str()), "{host}");
}

#[test]
fn bad_strings_name_the_setting_and_no_value() {
    let cases = [
        ("postgresql://h/d?schema=public", "schema"),
        ("host=h sslmod=require", "sslmod"),
        ("postgresql://h/d?sslmode=on", "sslmode"),
        ("postgresql://u:SECRET/x@h/d", "port"),
        ("postgresql://u:SECRET%zz@h/d", "password"),
        ("postgresql://u:SECRET%00@h/d", "password"),
        ("postgresql://u:SECRET%@h/d", "password"),
        ("postgresql://[::1/d", "host"),
        ("postgresql://[::1]SECRET/d", "host"),
        ("postgresql://h/d?x", "URL"),
        ("mysql://u:SECRET@h/d", "URL"),
        ("host=h port=0", "port"),
        ("host=h port=SECRET", "port"),
        ("host=a,b port=1,2,3", "port"),
        ("host=a,b hostaddr=10.0.0.1", "hostaddr"),
        ("hostaddr=SECRET", "hostaddr"),
        ("host=h password='SECRET", "password"),
        ("host=h SECRET user=x", "connection string"),
        ("host=h SEC-RET=x", "connection string"),
        ("require_auth=scram-sha-256", "require_auth"),
        ("gssencmode=require", "gssencmode"),
        ("sslnegotiation=direct sslmode=prefer", "sslnegotiation"),
        ("sslrootcert=system sslmode=require", "sslrootcert"),
        ("target_session_attrs=best", "target_session_attrs"),
    ];
    for (text, name) in cases {
        let error = ConnInfo::resolve(text, &env(&[])).unwrap_err();
        let Error::Setting { name: got, .. } = &error else { panic!("{text}: {error}") };
        assert_eq!(got, name, "{text}");
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{text}: {error:?}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn connection_string_beats_service_beats_environment_beats_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services");
    std::fs::write(&file, "[s]\nhost=service\nport=7\ndbname=sdb\n").unwrap();
    let file = file.to_str().unwrap();
    let vars =
        env(&[("PGSERVICEFILE", file), ("PGSERVICE", "s"), ("PGHOST", "env"), ("PGUSER", "eu"), ("PGPORT", "8")]);
    assert_eq!(ConnInfo::resolve("dbname=x", &vars).unwrap().redacted(), "eu@service:7/x");
    let vars = env(&[("PGSYSCONFDIR", dir.path().to_str().unwrap()), ("PGUSER", "eu")]);
    std::fs::copy(file, dir.path().join("pg_service.conf")).unwrap();
    assert_eq!(ConnInfo::resolve("service=s host=mine", &vars).unwrap().redacted(), "eu@mine:7/sdb");
    assert!(ConnInfo::resolve("service=other", &vars).unwrap_err().to_string().contains("\"other\" is not defined"));
}

#[test]
fn password_file_is_used_per_host_when_no_password_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".pgpass");
    std::fs::write(&file, "a:5432:*:u:pa\nb:5432:*:u:pb\nlocalhost:5432:*:u:local\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let vars = env(&[("HOME", dir.path().to_str().unwrap())]);
    let info = ConnInfo::resolve("host=a,b,c,/tmp user=u", &vars).unwrap();
    let found: Vec<_> =
        info.endpoints().iter().map(|e| info.password_for(e).unwrap().map(|p| p.expose_secret().to_owned())).collect();
    assert_eq!(found, [Some("pa".into()), Some("pb".into()), None, Some("local".into())]);
    let given = ConnInfo::resolve("postgresql://u:own@a", &vars).unwrap();
    assert_eq!(password(&given).as_deref(), Some("own"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(info.password_for(&info.endpoints()[0]), Err(Error::File { .. })));
}

#[test]
fn children_get_the_same_settings_and_nothing_inherited() {
    let vars = env(&[("PGSSLMODE", "require"), ("PGSSLROOTCERT", "/ca.crt"), ("PGOPTIONS", "-c x.y=1")]);
    let info = ConnInfo::resolve("postgresql://u:SECRET@h1:1,h2:2/d?keepalives_idle=9&channel_binding=disable", &vars)
        .unwrap();
    let child = info.child_env("app");
    let get =
        |name: &str| child.variables().iter().find(|(n, _)| *n == name).map(|(_, v)| v.expose_secret().to_owned());
    for (name, want) in [
        ("PGHOST", Some("h1,h2")),
        ("PGPORT", Some("1,2")),
        ("PGUSER", Some("u")),
        ("PGDATABASE", Some("d")),
        ("PGPASSWORD", Some("SECRET")),
        ("PGAPPNAME", Some("app")),
        ("PGSSLMODE", Some("require")),
        ("PGSSLROOTCERT", Some("/ca.crt")),
        ("PGCHANNELBINDING", Some("disable")),
        ("PGOPTIONS", Some("-c x.y=1")),
        ("PGSERVICE", None),
        ("PGPASSFILE", None),
    ] {
        assert_eq!(get(name).as_deref(), want, "{name}");
    }
    assert_eq!(child.extra_conninfo(), Some("keepalives_idle='9'"));
    let mut command = std::process::Command::new("/usr/bin/env");
    command.env("PGSERVICE", "inherited").env("PGPASSFILE", "inherited");
    child.apply(&mut command);
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(!out.contains("=inherited") && out.contains("PGUSER=u"));
}

#[test]
fn secrets_do_not_print() {
    let vars = env(&[("PGPASSWORD", "SECRET")]);
    let info = ConnInfo::resolve("host=h", &vars).unwrap();
    let child = info.child_env("app");
    assert_eq!(password(&info).as_deref(), Some("SECRET"));
    let printed = format!("{info:?} {} {child:?} {vars:?}", info.redacted());
    assert!(!printed.contains("SECRET"), "{printed}");
}
