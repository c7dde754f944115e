//! Exact row counts of what is dumped, and digests of chosen tables, under the dump's own view of the data.

use std::collections::HashSet;

use super::digest::{self, DigestKey, TableDigest};
use super::dump::DumpOptions;
use super::pattern::{self, Pattern};
use super::rows::TableName;
use super::{Error, Result};

/// Rows of one table (or leaf partition, or materialised view) at the moment of the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCount {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Exact number of rows.
    pub rows: u64,
}

/// What the rows of chosen tables came to at the moment of the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// The key of all of them.
    pub key: DigestKey,
    /// In the order of their names.
    pub tables: Vec<(TableName, TableDigest)>,
}

/// What was found out about the rows of a dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) counts: Option<Vec<TableCount>>,
    pub(super) digests: Option<Digests>,
    pub(super) materialised: Option<Vec<TableName>>,
}

/// What is to be found out.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Every relation that the dump holds, and whether it is a materialised view.
    relations: Vec<(TableName, bool)>,
    counts: bool,
    /// Those of them that get a digest.
    chosen: HashSet<TableName>,
}

/// The relations whose rows the dump holds: plain tables, leaf partitions and materialised views outside the system
/// schemas that are not members of an extension.
const RELATIONS: &str = "
    SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind = 'm'
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(temp|toast_temp)_'
      AND (c.relkind <> 'm' OR c.relispopulated)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
      AND (CASE WHEN $1::pg_catalog.bool THEN
             EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[])) p(s, t)
                     WHERE c.relname OPERATOR(pg_catalog.~) p.t
                       AND CASE WHEN p.s IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
                           ELSE n.nspname OPERATOR(pg_catalog.~) p.s END)
           ELSE (pg_catalog.cardinality($4::pg_catalog.text[]) = 0
                 OR EXISTS (SELECT FROM pg_catalog.unnest($4) p(s) WHERE n.nspname OPERATOR(pg_catalog.~) p.s))
             AND NOT EXISTS (SELECT FROM pg_catalog.unnest($5::pg_catalog.text[]) p(s)
                             WHERE n.nspname OPERATOR(pg_catalog.~) p.s) END)
      AND NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($6::pg_catalog.text[]), pg_catalog.unnest($7::pg_catalog.text[])) p(s, t)
                      WHERE c.relname OPERATOR(pg_catalog.~) p.t
                        AND CASE WHEN p.s IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
                            ELSE n.nspname OPERATOR(pg_catalog.~) p.s END)
    ORDER BY 1, 2";

/// Lists what the options select. The session is inside its transaction; its `search_path` must be the role's own for
/// patterns without a schema, as it is for pg_dump.
async fn relations(client: &tokio_postgres::Client, options: &DumpOptions) -> Result<Vec<(TableName, bool)>> {
    let failed = |e| Error::sql("list the tables", e);
    let schemas = options.schemas.iter().map(|p| pattern::schema(p)).collect::<Result<Vec<_>>>()?;
    let not_schemas = options.exclude_schemas.iter().map(|p| pattern::schema(p)).collect::<Result<Vec<_>>>()?;
    let (in_s, in_t) = tables(&[&options.tables])?;
    let (out_s, out_t) = tables(&[&options.exclude_tables, &options.exclude_table_data])?;
    let chosen = !options.tables.is_empty();
    client.batch_execute("RESET search_path").await.map_err(failed)?;
    let rows = client.query(RELATIONS, &[&chosen, &in_s, &in_t, &schemas, &not_schemas, &out_s, &out_t]).await;
    let rows = rows.map_err(failed)?;
    client.batch_execute("SET search_path = ''").await.map_err(failed)?;
    Ok(rows.iter().map(|row| (TableName { schema: row.get(0), table: row.get(1) }, row.get(2))).collect())
}

/// What the options ask for; `None` if nothing. A pattern that fits nothing is refused: the tables that it was meant for
/// would go without a digest, and nobody would notice before they are needed.
pub(super) async fn wanted(client: &tokio_postgres::Client, options: &DumpOptions) -> Result<Option<Wanted>> {
    if !options.counts && options.digests.is_empty() {
        return Ok(None);
    }
    let held = relations(client, options).await?;
    let mut chosen = HashSet::new();
    for pattern in &options.digests {
        let only = DumpOptions { tables: vec![pattern.clone()], ..DumpOptions::default() };
        let mut fitting = relations(client, &only).await?;
        fitting.retain(|table| held.contains(table));
        if fitting.is_empty() {
            return Err(Error::NoTable { pattern: pattern.clone() });
        }
        chosen.extend(fitting.into_iter().map(|(table, _)| table));
    }
    Ok(Some(Wanted { relations: held, counts: options.counts, chosen }))
}

fn tables(lists: &[&Vec<String>]) -> Result<(Vec<Option<String>>, Vec<String>)> {
    let all = lists.iter().flat_map(|list| list.iter());
    let patterns = all.map(|text| pattern::table(text)).collect::<Result<Vec<Pattern>>>()?;
    Ok(patterns.into_iter().map(|p| (p.schema, p.name)).unzip())
}

/// Takes every relation in turn. One that gets a digest is read once for both.
pub(super) async fn tally(client: &tokio_postgres::Client, wanted: Wanted) -> Result<Tally> {
    let key = if wanted.chosen.is_empty() { None } else { Some(DigestKey::random()?) };
    let (mut counts, mut digests, mut materialised) = (Vec::new(), Vec::new(), Vec::new());
    for (table, is_view) in wanted.relations {
        let rows = match &key {
            Some(key) if wanted.chosen.contains(&table) => {
                let digest = digest::of_table(client, &table, key, &|_| ()).await?;
                digests.push((table.clone(), digest));
                digest.rows
            }
            _ if wanted.counts => count(client, &table).await?,
            _ => continue,
        };
        materialised.extend(is_view.then(|| table.clone()));
        counts.push(TableCount { schema: table.schema, name: table.table, rows });
    }
    let digests = key.map(|key| Digests { key, tables: digests });
    Ok(Tally { counts: wanted.counts.then_some(counts), digests, materialised: Some(materialised) })
}

async fn count(client: &tokio_postgres::Client, table: &TableName) -> Result<u64> {
    let sql = format!("SELECT pg_catalog.count(*) FROM ONLY {}", table.quoted());
    let row = client.query_one(&sql, &[]).await;
    let row = row.map_err(|e| Error::sql(&format!("count the rows of {table}"), e))?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}
