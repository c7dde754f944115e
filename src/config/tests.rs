use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::limits;

/// A system file, a home with a user file, variables and flags: everything a run can see.
struct World {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
    flags: Flags,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home").to_str().unwrap().to_owned();
        Self { dir, variables: vec![("HOME".into(), home)], flags: Flags::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn system(self, text: &str) -> Self {
        self.write("etc.toml", text);
        self
    }

    fn user(self, text: &str) -> Self {
        self.write("home/.config/stonewal/stonewal.toml", text);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, key: &'static key::Key, value: &str) -> Self {
        self.flags.set(key, "--flag", value);
        self
    }

    fn load(&self) -> Result<Settings> {
        let environment = Environment::from_pairs(self.variables.clone()).unwrap();
        load_with_system_file(&self.flags, environment, &self.path("etc.toml"))
    }

    /// Error and hint in one text.
    fn error(&self) -> String {
        let error = self.load().unwrap_err();
        format!("{error} | {}", error.hint().unwrap_or_default())
    }
}

#[test]
fn precedence_is_flags_environment_user_file_system_file_default() {
    let all = [true; 4];
    for (given, expected) in [
        (all, "flag"),
        ([false, true, true, true], "variable"),
        ([false, false, true, true], "user"),
        ([false, false, false, true], "system"),
        ([false; 4], "main"),
        ([true, false, false, true], "flag"),
        ([false, true, false, false], "variable"),
    ] {
        let mut world = World::new();
        let [flag, variable, user, system] = given;
        if system {
            world = world.system("cluster = \"system\"");
        }
        if user {
            world = world.user("cluster = \"user\"");
        }
        if variable {
            world = world.variable("STONEWAL_CLUSTER", "variable");
        }
        if flag {
            world = world.flag(&key::CLUSTER, "flag");
        }
        assert_eq!(world.load().unwrap().cluster, expected, "{given:?}");
    }
}

/// A backup that is locked briefly does not shorten the record that tells of it.
#[test]
fn records_are_locked_as_configured_whatever_a_flag_says() {
    let day = |days: u64| Duration::from_hours(24 * days);
    let flagged = World::new().user("lock.retain = \"90d\"").flag(&key::LOCK_RETAIN, "1m").load().unwrap();
    assert!(
        matches!(flagged.immutability, Immutability::ObjectLock { retain, .. } if retain == Duration::from_mins(1))
    );
    assert_eq!((flagged.audit.retain, flagged.audit.usual), (None, day(90)));
    let variable = World::new().variable("STONEWAL_LOCK_RETAIN", "40d").flag(&key::LOCK_RETAIN, "1m").load().unwrap();
    assert_eq!(variable.audit.usual, day(40));
    assert_eq!(World::new().flag(&key::LOCK_RETAIN, "1m").load().unwrap().audit.usual, day(35), "the default");
}

#[test]
fn a_named_file_is_the_only_one_and_must_exist() {
    let mut world =
        World::new().system("cluster = \"system\"").variable("STONEWAL_CONFIG", "/nonexistent/from-variable.toml");
    assert!(world.error().starts_with("configuration file /nonexistent/from-variable.toml cannot be read"));
    world.flags.config = Some(world.write("named.toml", "repository = \"s3://bucket/pg\""));
    let settings = world.load().unwrap();
    assert_eq!(settings.cluster, "main", "the system file is not read");
    assert_eq!(settings.repository().unwrap().to_string(), "s3://bucket/pg");
    assert!(matches!(settings.origin(&key::REPOSITORY), Origin::File { line: 1, .. }));
}

#[test]
fn defaults_hold_and_agree_with_the_limits() {
    let settings = World::new().load().unwrap();
    assert!(matches!(settings.repository(), Err(Error::Missing { .. })));
    assert_eq!(
        settings.immutability,
        Immutability::ObjectLock { mode: LockMode::Governance, retain: Duration::from_hours(35 * 24) }
    );
    assert_eq!(settings.limits.chunk_bytes, limits::CHUNK_BYTES_DEFAULT);
    assert_eq!(settings.limits.uploads, limits::UPLOADS_DEFAULT);
    assert_eq!(settings.limits.downloads, limits::DOWNLOADS_DEFAULT);
    let memory = values::size(key::LIMITS_MEMORY.default.unwrap(), 0, u64::MAX).unwrap();
    assert_eq!(memory, limits::MEMORY_BUDGET_DEFAULT as u64);
    assert_eq!(limits::UPLOADS_MAX, 64, "the key's text says so");
    assert_eq!((settings.dump.codec, settings.dump.counts), (Codec::Gzip, true));
    assert!(settings.keys.passphrase().unwrap().is_none());
    assert!(settings.keys.require_passphrase().unwrap_err().hint().unwrap().contains("BACKUP_PASSPHRASE"));
}

#[test]
fn bad_values_name_place_key_problem_and_what_is_allowed() {
    let file = |text: &str| World::new().system(text).error();
    for (text, parts) in [
        ("\n[lock]\nretain = \"35x\"", &["etc.toml:3: lock.retain: \"35x\" is not a duration", "1m to 10y"][..]),
        ("lock.retain = \"59s\"", &["lock.retain: \"59s\" is too small"]),
        ("lock.retain = \"11y\"", &["lock.retain: \"11y\" is too large"]),
        (
            "lock.mode = \"Governance\"",
            &["lock.mode: \"Governance\" is not allowed", "\"governance\" or \"compliance\""],
        ),
        (
            "lock.retain = \"2y\"",
            &["lock.retain of 732 days is longer than retention.max, which is 400 days", "retention.max = \"732d\""],
        ),
        (
            "retention.max = \"6d\"\nlock.retain = \"6d\"",
            &["wal.partial_retain of 7 days is longer than retention.max"],
        ),
        ("retention.max = \"1000y\"", &["retention.max: \"1000y\" is too large"]),
        ("retention.windw = \"1d\"", &["retention.window"]),
        ("retention.keep = [\"latest\"]", &["retention.keep: \"latest\" is not the id of a backup"]),
        ("retention.keep_last_dumps = -1", &["retention.keep_last_dumps: \"-1\" is not a whole number"]),
        ("retention.price_per_gib_month = \"1e9\"", &["\"1e9\" is not a price"]),
        ("retention.price_by_class = [\"GLACIER 1\"]", &["retention.price_by_class: \"GLACIER 1\" is not CLASS=PRICE"]),
        ("retention.price_by_class = \"GLACIER=x\"", &["retention.price_by_class: \"x\" is not a price"]),
        ("immutability = \"off\"", &["immutability: \"off\" is not allowed", "\"none\""]),
        ("immutability = false", &["immutability: \"false\" is not allowed"]),
        ("cluster = \"keys\"", &["cluster: \"keys\" is reserved"]),
        ("cluster = [\"a\"]", &["cluster: a list is not allowed here"]),
        ("repository = \"\"", &["repository: is empty"]),
        ("dump.level = 10", &["dump.level: \"10\" is too large"]),
        ("dump = { codec = \"none\", level = 1 }", &["dump.level: codec \"none\" has no level"]),
        ("dump.no_owner = \"yes\"", &["dump.no_owner: \"yes\" is not allowed"]),
        ("dump.schemas = [\"a\", \"\"]", &["dump.schemas: holds an empty entry"]),
        ("s3.checksum = \"crc32\"", &["s3.checksum: \"crc32\" is not allowed", "crc64nvme"]),
        ("limits.chunk = \"1MiB\"", &["limits.chunk: \"1MiB\" is too small", "8MiB"]),
        ("limits.uploads = 65", &["limits.uploads: \"65\" is too large"]),
        ("keys.recipients = [\"ssh-ed25519\"]", &["keys.recipients: \"ssh-ed25519\" is not an age recipient"]),
    ] {
        let error = file(text);
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    let variable = World::new().variable("STONEWAL_S3_DEADLINE", "2h").error();
    assert!(variable.starts_with("STONEWAL_S3_DEADLINE: \"2h\" is too large"), "{variable}");
    let flag = World::new().flag(&key::DUMP_CODEC, "bzip2").error();
    assert!(flag.starts_with("--flag: \"bzip2\" is not allowed"), "{flag}");
}

#[test]
fn buffers_beyond_the_memory_budget_are_refused_with_the_sum() {
    let error = World::new().system("limits.chunk = \"512MiB\"").error();
    assert!(error.contains("etc.toml:1: limits.uploads = 3 with limits.chunk = 512 MiB needs 2048 MiB"), "{error}");
    assert!(error.contains("limits.memory = \"2048MiB\""), "{error}");
    assert!(World::new().system("limits = { chunk = \"512MiB\", memory = \"2GiB\" }").load().is_ok());
    assert!(
        World::new().system("limits = { chunk = \"8MiB\", downloads = 64 }").error().contains("limits.downloads = 64")
    );
}

#[test]
fn chains_are_presets_with_changes_or_described_in_full() {
    let load = |text: &str| World::new().system(text).load().unwrap().verify.chains;
    let preset = load("[verify.chain.a]\npreset = \"sequelize-audit-log\"\ntable = \"audit.logs\"");
    assert_eq!((preset[0].name.as_str(), preset[0].table.schema.as_str(), preset[0].fields.len()), ("a", "audit", 13));
    assert_eq!((preset[0].null_rule, preset[0].genesis.as_deref()), (ChainNulls::Auto, None));
    let full = "fields = [\"a\", \"b=c:json\"]\norder = \"at\"\nprevious = \"p\"\nhash = \"h\"\n";
    let chains = load(&format!(
        "[verify.chain.x]\ntable = \"t\"\n{full}text = \"joined\"\nseparator = \"\"\nalgorithm = \"sha512\"\n[verify.chain.y]\ntable = \"u\"\ngenesis = \"\"\n{full}"
    ));
    assert_eq!(chains.iter().map(|chain| chain.name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(chains[0].text, ChainText::Joined { separator: String::new(), null: String::new() });
    assert_eq!((chains[1].genesis.as_deref(), chains[1].null_rule), (Some(""), ChainNulls::Keep));
    for (text, parts) in [
        (
            "preset = \"rails\"",
            &["etc.toml:2: verify.chain.a.preset: \"rails\" is not allowed", "sequelize-audit-log"][..],
        ),
        ("table = \"t\"", &["etc.toml:2: verify.chain.a.fields: is missing", "a list of NAME"]),
        (
            "preset = \"sequelize-audit-log\"\nseparator = \"|\"",
            &["etc.toml:3: verify.chain.a.separator: text is \"json\""],
        ),
        (
            "preset = \"sequelize-audit-log\"\nfields = [\"a\", \"a=b\"]",
            &["verify.chain.a.fields: \"a\" is there twice"],
        ),
        ("preset = \"sequelize-audit-log\"\nfields = [\"hash\"]", &["a row's hash cannot cover its own column"]),
        ("preset = \"sequelize-audit-log\"\norder = []", &["verify.chain.a.order: is empty"]),
        ("preset = [\"sequelize-audit-log\"]", &["verify.chain.a.preset: a list is not allowed here"]),
    ] {
        let error = World::new().system(&format!("[verify.chain.a]\n{text}")).error();
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
}

#[test]
fn the_variables_of_the_old_check_are_honoured() {
    let verify = |pairs: &[(&str, &str)]| {
        let world = pairs.iter().fold(World::new(), |world, (name, value)| world.variable(name, value));
        world.load().unwrap().verify
    };
    let usual = verify(&[]);
    assert_eq!((usual.min_rows, usual.allow_production, usual.amcheck), (Some(1), false, true));
    let changed = verify(&[
        ("VERIFY_MIN_DATA", "false"),
        ("ALLOW_VERIFY_PROD", "true"),
        ("STONEWAL_VERIFY_TABLES", "a, b.c >= 7"),
    ]);
    assert_eq!((changed.min_rows, changed.allow_production), (None, true));
    assert_eq!((changed.tables.len(), changed.tables[1].min_rows), (2, Some(7)));
    assert!(World::new().variable("ALLOW_VERIFY_PROD", "1").error().starts_with("ALLOW_VERIFY_PROD: "));
}

#[test]
fn retention_resolves_and_nothing_is_locked_beyond_its_bound() {
    let settings = World::new().load().unwrap().retention;
    let days = |days: u64| Duration::from_hours(24 * days);
    assert_eq!((settings.window, settings.max, settings.margin), (days(35), days(400), days(7)));
    assert_eq!((settings.keep_last_dumps, settings.keep_last_bases, settings.min_redundancy), (7, 2, 1));
    let kinds = World::new()
        .system("[retention.dump]\nmonthly = 12\n[retention.base]\nwindow = \"14d\"")
        .load()
        .unwrap()
        .retention;
    assert_eq!((kinds.dumps.monthly, kinds.dumps.window), (Some(12), None));
    assert_eq!((kinds.bases.window, kinds.bases.monthly, kinds.monthly), (Some(days(14)), None, 0));
    let long = World::new().system("lock.retain = \"2y\"\nretention.max = \"732d\"");
    assert!(long.load().is_ok());
    let unlocked = World::new().system("immutability = \"none\"\nretention.max = \"1d\"");
    assert!(unlocked.load().is_ok(), "nothing is locked");
    let kept = World::new().variable("STONEWAL_RETENTION_KEEP", "20261124T031500Z-5b0c6f2e,20261125T031500Z-5b0c6f2e");
    assert_eq!(kept.load().unwrap().retention.keep.len(), 2);
    let given = World::new().variable("STONEWAL_RETENTION_PRICE_BY_CLASS", "GLACIER=0.004, STANDARD_IA=0.0125");
    let prices = given.load().unwrap().retention.price_by_class;
    assert_eq!(prices, [("GLACIER".to_owned(), 0.004), ("STANDARD_IA".to_owned(), 0.0125)]);
}

#[test]
fn nothing_outside_reaches_isolated_settings() {
    let settings = isolated(&Flags::default(), Environment::default()).unwrap();
    assert!(settings.repository.is_none() && settings.postgres.url.is_none());
    let mut flags = Flags::default();
    flags.set(&key::DUMP_CODEC, "--codec", "zstd").set_list(&key::DUMP_SCHEMAS, "--schema", vec!["a".into()]);
    let dump = isolated(&flags, Environment::default()).unwrap().dump;
    assert_eq!((dump.codec, dump.schemas), (Codec::Zstd, vec!["a".to_owned()]));
}

#[test]
fn locks_and_their_absence_do_not_mix() {
    assert_eq!(World::new().system("immutability = \"none\"").load().unwrap().immutability, Immutability::None);
    let error = World::new().system("immutability = \"none\"\nlock.retain = \"1y\"").error();
    assert!(error.contains("etc.toml:2: lock.retain is set, but immutability is \"none\""), "{error}");
    let demands = |text: &str| World::new().system(&format!("immutability = \"none\"\nlock.require_worm = {text}"));
    assert!(!demands("false").load().unwrap().require_worm);
    let error = demands("true").error();
    assert!(error.contains("etc.toml:2: lock.require_worm is set, but immutability is \"none\""), "{error}");
}

#[test]
fn the_names_of_the_scripts_are_honoured() {
    let settings = World::new()
        .system("keys.passphrase_file = \"pass\"")
        .variable("DATABASE_URL", "postgres://u@source/d")
        .variable("RESTORE_DATABASE_URL", "postgres://u@target/d")
        .variable("BACKUP_PASSPHRASE", "from variable")
        .variable("CONFIRM_RESTORE", "true")
        .load()
        .unwrap();
    assert_eq!(settings.postgres.url.as_ref().unwrap().expose_secret(), "postgres://u@source/d");
    assert_eq!(settings.restore.url.as_ref().unwrap().expose_secret(), "postgres://u@target/d");
    assert!(settings.restore.confirmed);
    assert_eq!(settings.keys.require_passphrase().unwrap().expose_secret(), "from variable");
    for text in ["yes", "1", "TRUE", "ja"] {
        assert!(World::new().variable("CONFIRM_RESTORE", text).error().starts_with("CONFIRM_RESTORE: "));
    }
    assert!(!World::new().variable("CONFIRM_RESTORE", "").load().unwrap().restore.confirmed);
}

#[test]
fn paths_start_at_the_file_that_names_them_or_at_home() {
    let world = World::new()
        .system("keys.passphrase_file = \"pass\"\nkeys.writer_file = \"~/writer\"\ns3.ca_file = \"/ca.pem\"");
    let settings = world.load().unwrap();
    assert_eq!(settings.keys.passphrase_file.unwrap().path(), world.path("pass"));
    assert_eq!(settings.keys.writer_file.unwrap().path(), world.path("home/writer"));
    assert_eq!(settings.s3.ca_file.unwrap(), PathBuf::from("/ca.pem"));
    let settings = World::new().variable("STONEWAL_S3_CA_FILE", "ca.pem").load().unwrap();
    assert_eq!(settings.s3.ca_file.unwrap(), PathBuf::from("ca.pem"), "relative to where the command runs");
}

#[test]
fn i13_a_file_with_a_password_must_be_private_and_nothing_shows_it() {
    let world = World::new();
    let path = world.write("etc.toml", "postgres.url = \"postgres://u:sentinel@h/d\"");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = world.error();
    assert!(error.contains("may be read by others") && error.contains("chmod 600"), "{error}");
    assert!(!error.contains("sentinel"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let settings = world.variable("BACKUP_PASSPHRASE", "sentinel").load().unwrap();
    assert!(!format!("{settings:?}").contains("sentinel"));
}

#[test]
fn lists_come_from_arrays_and_from_commas() {
    let settings =
        World::new().system("dump.schemas = [\"a,b\", \"c\"]").variable("STONEWAL_DUMP_EXCLUDE_TABLES", "x, y");
    let dump = settings.load().unwrap().dump;
    assert_eq!(dump.schemas, ["a,b", "c"]);
    assert_eq!(dump.exclude_tables, ["x", "y"]);
}
