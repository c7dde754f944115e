//! What a restored database must have.

use secrecy::ExposeSecret;

use super::super::failure::{Failure, Result};
use super::database::{connection, environment, names_source};
use crate::commands;
use crate::commands::parts::chain::{Algorithm, Definition, Encoding, Field, Form, KnownHead, Nulls, Shape};
use crate::commands::parts::{ConnInfo, Expected, Guard, Recorded, TableName};
use crate::commands::verify_restore::BackendPlace;
use crate::config::{
    self, ChainAlgorithm, ChainEncoding, ChainForm, ChainNulls, ChainSettings, ChainText, Settings, TableRef,
};

/// The restored database: named by flag or variable, never the source by default.
pub(in crate::cli) fn restored_database(settings: &Settings, given: Option<&str>) -> Result<ConnInfo> {
    let url = given.or_else(|| settings.restore.url.as_ref().map(ExposeSecret::expose_secret));
    let missing = config::Error::Missing {
        what: "restored database",
        ways: "give --database URL or RESTORE_DATABASE_URL; the source is never taken by default",
    };
    let url = url.ok_or(missing)?;
    Ok(ConnInfo::resolve(url, &environment(&settings.environment)).map_err(commands::Error::from)?)
}

/// What is production.
pub(in crate::cli) fn guard(settings: &Settings, allowed: bool) -> Result<Guard> {
    Ok(Guard {
        allowed: allowed || settings.verify.allow_production,
        patterns: settings.verify.production.clone(),
        source: if names_source(settings) { Some(connection(settings)?) } else { None },
    })
}

/// The checks, but for what a backup recorded and a backend answers.
pub(in crate::cli) fn expected(settings: &Settings, explain: bool) -> Result<Expected> {
    let verify = &settings.verify;
    if verify.release.is_some() && verify.release_query.is_none() && verify.release_url.is_none() {
        let way_out = "set verify.release_query to a SELECT that tells which release the database belongs to, or verify.release_url";
        return Err(Failure::usage("a release is given, and nothing to ask for it", way_out));
    }
    let tables = verify.tables.iter().map(|required| {
        let minimum = verify.min_rows.map(|usual| required.min_rows.unwrap_or(usual));
        (table(&required.table), minimum)
    });
    Ok(Expected {
        tables: tables.collect(),
        recorded: Recorded::default(),
        backend: None,
        chains: verify.chains.iter().map(definition).collect(),
        explain,
        amcheck: verify.amcheck,
        accept: verify.accept.clone(),
        release_query: verify.release_query.clone(),
        release: verify.release.clone(),
        drill: None,
    })
}

/// Heads of chains from the command line, each `NAME=HASH`: they count instead of those of the file.
pub(in crate::cli) fn heads(expected: &mut Expected, given: &[String]) -> Result<()> {
    let refused = |what: String| Failure::usage(what, "give NAME=HASH for a chain of [verify.chain.NAME]");
    for text in given {
        let (name, hash) = text.split_once('=').ok_or_else(|| refused(format!("--head {text:?} is not NAME=HASH")))?;
        let chain = expected.chains.iter_mut().find(|chain| chain.name == name);
        let chain =
            chain.ok_or_else(|| refused(format!("--head names the chain {name:?}, which is not configured")))?;
        chain.head = Some(KnownHead { hash: hash.into(), told: "that --head names".into() });
    }
    Ok(())
}

/// Where the backend tells its release.
pub(in crate::cli) fn backend(settings: &Settings) -> Option<BackendPlace> {
    let verify = &settings.verify;
    verify.release_url.clone().map(|url| BackendPlace { url, field: verify.release_field.clone() })
}

fn table(table: &TableRef) -> TableName {
    TableName { schema: table.schema.clone(), table: table.table.clone() }
}

fn definition(chain: &ChainSettings) -> Definition {
    let fields = chain.fields.iter().map(|field| Field {
        name: field.name.clone(),
        column: field.column.clone(),
        form: field.form.map(|form| match form {
            ChainForm::Text => Form::Text,
            ChainForm::Number => Form::Number,
            ChainForm::Boolean => Form::Boolean,
            ChainForm::Json => Form::Json,
            ChainForm::Time => Form::Time,
        }),
    });
    Definition {
        name: chain.name.clone(),
        table: table(&chain.table),
        fields: fields.collect(),
        order: chain.order.clone(),
        previous: chain.previous.clone(),
        hash: chain.hash.clone(),
        genesis: chain.genesis.clone(),
        algorithm: match chain.algorithm {
            ChainAlgorithm::Sha256 => Algorithm::Sha256,
            ChainAlgorithm::Sha512 => Algorithm::Sha512,
        },
        encoding: match chain.encoding {
            ChainEncoding::Hex => Encoding::Hex,
            ChainEncoding::Base64 => Encoding::Base64,
        },
        shape: match &chain.text {
            ChainText::Json => Shape::Json,
            ChainText::Joined { separator, null } => Shape::Joined { separator: separator.clone(), null: null.clone() },
        },
        nulls: match chain.null_rule {
            ChainNulls::Keep => Nulls::Keep,
            ChainNulls::Omit => Nulls::Omit,
            ChainNulls::Auto => Nulls::Auto,
        },
        head: chain
            .head
            .clone()
            .map(|hash| KnownHead { hash, told: format!("that verify.chain.{}.head names", chain.name) }),
    }
}
