//! The rows of a real table.

use super::definition::{Definition, Encoding, Form};
use super::examine::{Examined, Examiner, Row};
use super::links::Links;
use super::report::{BreakKind, ChainReport};
use super::ties::{Ties, arrange};
use crate::limits::CHAIN_TIES_MAX;
use crate::observe::Progress;
use crate::postgres::rows::{Cell, Column, Reading, Select};
use crate::postgres::{self, Session};

/// A chain that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The definition does not fit the table.
    #[error("{what}")]
    Misfit {
        /// What the table lacks.
        what: String,
    },
    /// The table cannot be read.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
}

/// Which columns are read, and what for.
struct Plan {
    select: Vec<Select>,
    forms: Vec<Form>,
    fields: Vec<usize>,
    moment: Vec<usize>,
    previous: usize,
    hash: usize,
    /// The columns that name a row.
    names: Vec<(String, usize)>,
}

/// Follows a chain from its first row to its last, inside whatever transaction is open: one snapshot, if it is repeatable.
/// `explain`: whether the hashed text of the first row that does not agree with its hash is told, which shows its content.
/// Rows are counted in `progress`.
pub async fn check(
    session: &Session,
    definition: &Definition,
    explain: bool,
    progress: &Progress,
) -> Result<ChainReport, Error> {
    let plan = plan(session, definition).await?;
    let order: Vec<usize> = plan.moment.iter().copied().chain(plan.names.iter().map(|(_, at)| *at)).collect();
    let mut rows = session.rows(&definition.table, &plan.select, &order).await?;
    let mut examiner = Examiner::new(definition, plan.forms.clone());
    let (mut ties, mut links) = (Ties::default(), Links::new(definition, explain));
    while let Some(cells) = rows.next().await? {
        progress.add_rows(1);
        let crowded = |_| Error::Misfit { what: crowd(definition) };
        if let Some(moment) = ties.push(examiner.examine(plan.row(cells))).map_err(crowded)? {
            follow(&mut links, moment, &mut examiner);
        }
    }
    follow(&mut links, ties.finish(), &mut examiner);
    let mut report = links.finish();
    classify(session, definition, &plan, &mut report).await?;
    Ok(report)
}

fn follow(links: &mut Links, rows: Vec<Examined>, examiner: &mut Examiner) {
    for row in arrange(rows, links.expected()) {
        links.follow(row, examiner);
    }
}

fn crowd(definition: &Definition) -> String {
    let (table, order) = (&definition.table, definition.order.join(", "));
    format!("{table} has more than {CHAIN_TIES_MAX} rows that are equal in {order}: name a further column in order")
}

async fn plan(session: &Session, definition: &Definition) -> Result<Plan, Error> {
    let table = &definition.table;
    let misfit = |what: String| Error::Misfit { what };
    let columns = session.columns(table).await?.ok_or_else(|| misfit(format!("there is no table {table}")))?;
    let find = |name: &str| -> Result<&Column, Error> {
        let found = columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| misfit(format!("{table} has no column {name:?}")))
    };
    let mut select: Vec<Select> = Vec::new();
    let mut take = |column: &Column, reading: Reading| {
        let wanted = Select { column: column.name.clone(), reading };
        select.iter().position(|known| *known == wanted).unwrap_or_else(|| {
            select.push(wanted);
            select.len() - 1
        })
    };
    // Bytes of a digest are compared, and hashed in the row behind, as the definition writes digests.
    let as_digest = |column: &Column| match (column.is_bytes(), definition.encoding) {
        (false, _) => Reading::Text,
        (true, Encoding::Hex) => Reading::Hex,
        (true, Encoding::Base64) => Reading::Base64,
    };
    let (mut forms, mut fields) = (Vec::new(), Vec::new());
    for field in &definition.fields {
        let column = find(&field.column)?;
        let form = field.form.unwrap_or_else(|| Form::of_type(&column.type_name));
        if form == Form::Time && !column.is_time() {
            return Err(misfit(format!("{table}.{} is of type {}, not a timestamp", column.name, column.type_name)));
        }
        fields.push(match form {
            Form::Time => take(column, Reading::Time),
            _ if column.name == definition.previous => take(column, as_digest(column)),
            _ => take(column, Reading::Text),
        });
        forms.push(form);
    }
    let mut moment = Vec::new();
    for name in &definition.order {
        moment.push(take(find(name)?, Reading::Text));
    }
    let [previous, hash] = [find(&definition.previous)?, find(&definition.hash)?].map(|c| take(c, as_digest(c)));
    let mut key = session.primary_key(table).await?;
    if key.is_empty() {
        key.push(definition.hash.clone());
    }
    let mut names = Vec::new();
    for name in key {
        let at = take(find(&name)?, Reading::Text);
        names.push((name, at));
    }
    Ok(Plan { select, forms, fields, moment, previous, hash, names })
}

impl Plan {
    fn row(&self, mut cells: Vec<Cell>) -> Row {
        let text = |at: usize| match &cells[at] {
            Cell::Text(text) => Some(text.clone()),
            Cell::Null | Cell::Time(_) => None,
        };
        let names = self.names.iter().map(|(name, at)| format!("{name}={}", text(*at).unwrap_or_default()));
        let name = names.collect::<Vec<_>>().join(", ");
        let (previous, hash) = (text(self.previous), text(self.hash));
        let moment = self.moment.iter().map(|at| cells[*at].clone()).collect();
        let fields = self.fields.iter().enumerate().map(|(number, at)| {
            let again = self.fields[number + 1..].contains(at);
            if again { cells[*at].clone() } else { std::mem::take(&mut cells[*at]) }
        });
        Row { name, moment, previous, hash, cells: fields.collect() }
    }
}

/// A row that names another one than stands before it: is that one gone, or elsewhere? Of the breaks told in full.
async fn classify(
    session: &Session,
    definition: &Definition,
    plan: &Plan,
    report: &mut ChainReport,
) -> Result<(), Error> {
    let missing = |kind: BreakKind| kind == BreakKind::Missing;
    let wanted: Vec<String> =
        report.breaks.iter().filter(|b| missing(b.kind)).filter_map(|b| b.previous.clone()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let columns: Vec<String> = plan.names.iter().map(|(name, _)| name.clone()).collect();
    let found = session.rows_with(&definition.table, &plan.select[plan.hash], &wanted, &columns).await?;
    for broken in report.breaks.iter_mut().filter(|b| missing(b.kind)) {
        let there = found.iter().find(|(hash, _)| Some(hash) == broken.previous.as_ref());
        let Some((_, names)) = there else { continue };
        let names: Vec<_> = columns.iter().zip(names).map(|(column, value)| format!("{column}={value}")).collect();
        broken.kind = BreakKind::Order;
        broken.detail = format!("the row that it names as the one before it stands elsewhere: {}", names.join(", "));
        *report.counts.entry(BreakKind::Order).or_default() += 1;
        if let Some(count) = report.counts.get_mut(&BreakKind::Missing) {
            *count -= 1;
        }
    }
    report.counts.retain(|_, count| *count > 0);
    Ok(())
}
