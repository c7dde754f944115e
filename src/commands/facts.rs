//! What PostgreSQL told, as the manifest records it, and back.

use crate::format::manifest::{
    DatabaseFact, DigestFacts, DumpFacts, ExtensionFact, SettingFact, TableCount, TableDigest, ViewFact,
};
use crate::format::{DigestKey, RowSum};
use crate::postgres::counts::Digests;
use crate::postgres::dump::{DumpOptions, DumpReceipt};
use crate::postgres::facts::{DatabaseFacts, DatabaseSetting};
use crate::postgres::globals::GlobalsMode;
use crate::postgres::rows::TableName;

/// The sealed facts of a finished dump.
pub(super) fn record(receipt: &DumpReceipt, globals: GlobalsMode, options: Vec<String>) -> DumpFacts {
    let facts = &receipt.facts;
    DumpFacts {
        database: database(&facts.database),
        server_version_num: facts.server_version_num,
        standby: facts.standby,
        extensions: facts
            .extensions
            .iter()
            .map(|(name, version)| ExtensionFact { name: name.clone(), version: version.clone() })
            .collect(),
        large_objects: facts.large_objects,
        pg_dump_version: receipt.program_version.clone(),
        restrict: receipt.restrict,
        role_passwords: match globals {
            GlobalsMode::Full => Some(true),
            GlobalsMode::NoPasswords => Some(false),
            GlobalsMode::Off => None,
        },
        options,
        counts: receipt.counts.as_ref().map(|counts| {
            let count = |c: &crate::postgres::counts::TableCount| TableCount {
                schema: c.schema.clone(),
                table: c.name.clone(),
                rows: c.rows,
            };
            counts.iter().map(count).collect()
        }),
        digests: receipt.digests.as_ref().map(digests),
        materialised: receipt.materialised.as_ref().map(|views| {
            let view = |name: &TableName| ViewFact { schema: name.schema.clone(), view: name.table.clone() };
            views.iter().map(view).collect()
        }),
        imported: None,
    }
}

fn digests(taken: &Digests) -> DigestFacts {
    let tables = taken.tables.iter().map(|(table, digest)| TableDigest {
        schema: table.schema.clone(),
        table: table.table.clone(),
        rows: digest.rows,
        digest: RowSum::new(digest.sum),
    });
    DigestFacts { key: DigestKey::new(*taken.key.as_bytes()), tables: tables.collect() }
}

/// The options that change what is in a dump, as pg_dump spells them.
pub(super) fn describe(options: &DumpOptions) -> Vec<String> {
    let lists = [
        ("schema", &options.schemas),
        ("exclude-schema", &options.exclude_schemas),
        ("table", &options.tables),
        ("exclude-table", &options.exclude_tables),
        ("exclude-table-data", &options.exclude_table_data),
    ];
    let switches = [
        ("no-owner", options.no_owner),
        ("no-privileges", options.no_privileges),
        ("no-tablespaces", options.no_tablespaces),
    ];
    let lists = lists.iter().flat_map(|(name, list)| list.iter().map(move |value| format!("--{name}={value}")));
    lists.chain(switches.iter().filter(|(_, on)| *on).map(|(name, _)| format!("--{name}"))).collect()
}

fn database(facts: &DatabaseFacts) -> DatabaseFact {
    let setting =
        |s: &DatabaseSetting| SettingFact { role: s.role.clone(), name: s.name.clone(), value: s.value.clone() };
    DatabaseFact {
        name: facts.name.clone(),
        owner: facts.owner.clone(),
        encoding: facts.encoding.clone(),
        collate: facts.collate.clone(),
        ctype: facts.ctype.clone(),
        icu_locale: facts.icu_locale.clone(),
        collation_version: facts.collation_version.clone(),
        size_bytes: facts.size_bytes,
        comment: facts.comment.clone(),
        acl: facts.acl.clone(),
        connection_limit: facts.connection_limit,
        settings: facts.settings.iter().map(setting).collect(),
    }
}

/// The properties of a recorded database, for [`DatabaseFacts::restore_sql`].
pub(super) fn database_facts(fact: &DatabaseFact) -> DatabaseFacts {
    let setting =
        |s: &SettingFact| DatabaseSetting { role: s.role.clone(), name: s.name.clone(), value: s.value.clone() };
    DatabaseFacts {
        name: fact.name.clone(),
        owner: fact.owner.clone(),
        encoding: fact.encoding.clone(),
        collate: fact.collate.clone(),
        ctype: fact.ctype.clone(),
        icu_locale: fact.icu_locale.clone(),
        collation_version: fact.collation_version.clone(),
        size_bytes: fact.size_bytes,
        comment: fact.comment.clone(),
        acl: fact.acl.clone(),
        connection_limit: fact.connection_limit,
        settings: fact.settings.iter().map(setting).collect(),
    }
}
