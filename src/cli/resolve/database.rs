//! The databases: the one to back up, and the one to restore into.

use std::collections::HashMap;

use secrecy::ExposeSecret;

use crate::commands;
use crate::commands::parts::{
    Codec, ConnInfo, DumpOptions, Encoding, GlobalsMode, PostgresEnvironment, Search, TableName, carries_password,
};
use crate::commands::restore_dump::Tables;
use crate::config::{self, DumpSettings, Environment, Settings};

use super::super::failure::{Failure, Result};

/// Variables besides `PG*` that connection settings and the search for programs depend on.
const VARIABLES: [&str; 4] = ["HOME", "PATH", "USER", "LOGNAME"];

/// libpq's variables, and those that the search for programs and files depends on.
pub(in crate::cli) fn environment(captured: &Environment) -> PostgresEnvironment {
    let others = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), captured.get(name)?.to_owned())));
    let ours = captured.with_prefix("PG").map(|(name, value)| (name.to_owned(), value.expose_secret().to_owned()));
    PostgresEnvironment::new(others.chain(ours).collect::<HashMap<_, _>>())
}

/// Refuses a connection string from the command line that carries a password: `ps` would show it.
pub(in crate::cli) fn refuse_password(flag: &'static str, url: Option<&str>, instead: &'static str) -> Result<()> {
    match url.map(carries_password).transpose().map_err(commands::Error::from)? {
        Some(true) => Err(Failure::Exposed { flag, instead }),
        _ => Ok(()),
    }
}

/// The database to back up.
pub(in crate::cli) fn connection(settings: &Settings) -> Result<ConnInfo> {
    let url = settings.postgres.url.as_ref().map_or("", |url| url.expose_secret());
    Ok(ConnInfo::resolve(url, &environment(&settings.environment)).map_err(commands::Error::from)?)
}

/// Whether anyone said which database to back up, rather than leaving it to the defaults of libpq.
pub(in crate::cli) fn names_source(settings: &Settings) -> bool {
    let variables = ["PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"];
    settings.postgres.url.is_some() || variables.iter().any(|name| settings.environment.get(name).is_some())
}

/// Whether anyone said where the server for replication is.
pub(in crate::cli) fn names_replication(settings: &Settings) -> bool {
    names_source(settings) || settings.environment.get("REPLICATION_DATABASE_URL").is_some()
}

/// The database to restore into: named by flag or variable, never the source by default.
pub(in crate::cli) fn restore_target(settings: &Settings, to: Option<&str>) -> Result<ConnInfo> {
    let url = to.or_else(|| settings.restore.url.as_ref().map(ExposeSecret::expose_secret));
    let missing = config::Error::Missing {
        what: "restore target",
        ways: "give --to URL, RESTORE_DATABASE_URL, --to-file FILE or --to-stdout; the source is never taken by default",
    };
    let url = url.ok_or(missing)?;
    Ok(ConnInfo::resolve(url, &environment(&settings.environment)).map_err(commands::Error::from)?)
}

/// The tables of a dump that are meant, if not all of it.
pub(in crate::cli) fn tables(names: &[String], data_only: bool, rename: Option<&str>) -> Result<Option<Tables>> {
    let split = |name: &str| {
        let unfit =
            |what| Failure::usage(what, "give SCHEMA.TABLE or TABLE; a part with a dot in it stands in double quotes");
        config::table_name(name).map_err(unfit)
    };
    let name = |name: &String| {
        let (schema, table) = split(name)?;
        Ok(TableName { schema: schema.unwrap_or_else(|| "public".into()), table })
    };
    let names = names.iter().map(name).collect::<Result<Vec<_>>>()?;
    let rename = rename.map(split).transpose()?;
    Ok((!names.is_empty()).then_some(Tables { names, data_only, rename }))
}

/// Where pg_dump and psql are looked for.
pub(in crate::cli) fn search(settings: &Settings) -> Search {
    Search::new(&environment(&settings.environment), settings.postgres.bin_dir.clone())
}

/// What pg_dump is asked for.
pub(in crate::cli) fn dump_options(dump: &DumpSettings) -> DumpOptions {
    DumpOptions {
        schemas: dump.schemas.clone(),
        exclude_tables: dump.exclude_tables.clone(),
        exclude_table_data: dump.exclude_table_data.clone(),
        no_owner: dump.no_owner,
        no_privileges: dump.no_privileges,
        counts: dump.counts,
        digests: dump.digests.clone(),
        ..DumpOptions::default()
    }
}

/// Roles and tablespaces.
pub(in crate::cli) fn globals(dump: &DumpSettings) -> GlobalsMode {
    match dump.globals {
        config::Globals::Full => GlobalsMode::Full,
        config::Globals::NoPasswords => GlobalsMode::NoPasswords,
        config::Globals::Off => GlobalsMode::Off,
    }
}

/// Compression.
pub(in crate::cli) fn encoding(codec: config::Codec, level: Option<u32>) -> Encoding {
    let codec = match codec {
        config::Codec::Gzip => Codec::Gzip,
        config::Codec::Zstd => Codec::Zstd,
        config::Codec::Lz4 => Codec::Lz4,
        config::Codec::None => Codec::None,
    };
    let level = level.and_then(|level| i32::try_from(level).ok());
    Encoding { codec, level: level.unwrap_or_else(|| codec.default_level()) }
}
