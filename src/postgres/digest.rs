//! What the rows of a table come to, whatever order they stand in: the same before a dump and after its restore, on
//! any version of the server and in any locale. docs/FORMAT.md, "Digests of tables", has every byte of it.

use std::fmt;
use std::pin::pin;

use futures::TryStreamExt as _;
use ring::hmac;
use ring::rand::SecureRandom as _;

use super::rows::TableName;
use super::sql::quote_identifier;
use super::{Error, Result, Session};

/// The text form of every value is fixed by these; what a role or a database prefers must not matter.
const TEXT_FORM: &str = "SET LOCAL \"DateStyle\" = 'ISO, YMD'; SET LOCAL \"IntervalStyle\" = 'postgres'; SET LOCAL \"TimeZone\" = 'UTC'; \
    SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL lc_monetary = 'C'; \
    SET LOCAL quote_all_identifiers = off; SET LOCAL search_path = ''";

/// Stored columns in the order of their names: a restore may put them in another.
const COLUMNS: &str = "SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
    WHERE n.nspname = $1 AND c.relname = $2";

/// What comes before the names of the columns, and before each row.
const NAMES: &[u8] = &[0];
const ROW: &[u8] = &[1];

/// Rows between two reports of progress.
const STEP: u64 = 1024;

/// The secret of the digests of one backup. Whoever does not know it cannot choose rows that come to the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// A fresh one.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        ring::rand::SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::Unsupported { what: "the system has no random numbers".into() })?;
        Ok(Self(bytes))
    }

    /// From raw bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(…)")
    }
}

/// The rows of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// How many.
    pub rows: u64,
    /// What they come to.
    pub sum: [u8; 32],
}

/// Takes COPY text in pieces of any length.
struct Summer {
    key: hmac::Key,
    sum: [u8; 32],
    rows: u64,
    /// The row that has begun.
    open: Option<hmac::Context>,
}

impl Summer {
    fn new(key: &DigestKey, columns: &[String]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
        let mut names = hmac::Context::with_key(&key);
        names.update(NAMES);
        names.update(columns.join("\0").as_bytes());
        let mut summer = Self { key, sum: [0; 32], rows: 0, open: None };
        add(&mut summer.sum, names.sign().as_ref());
        summer
    }

    fn push(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let end = memchr::memchr(b'\n', text);
            let row = self.open.get_or_insert_with(|| {
                let mut row = hmac::Context::with_key(&self.key);
                row.update(ROW);
                row
            });
            row.update(&text[..end.unwrap_or(text.len())]);
            let Some(end) = end else { return };
            if let Some(row) = self.open.take() {
                add(&mut self.sum, row.sign().as_ref());
                self.rows += 1;
            }
            text = &text[end + 1..];
        }
    }

    /// `None` if the last row has no end.
    fn finish(self) -> Option<TableDigest> {
        self.open.is_none().then_some(TableDigest { rows: self.rows, sum: self.sum })
    }
}

/// Adds numbers of 256 bits, the highest byte first, and forgets what is carried out of them.
fn add(sum: &mut [u8; 32], other: &[u8]) {
    let mut carry = 0;
    for (byte, more) in sum.iter_mut().zip(other).rev() {
        let [low, high] = (u16::from(*byte) + u16::from(*more) + carry).to_le_bytes();
        (*byte, carry) = (low, u16::from(high));
    }
}

/// Reads a table from end to end, inside whatever transaction is open, and holds no more than one row of it. `counted` is
/// told of rows as they pass. The settings of the transaction are changed.
pub(super) async fn of_table(
    client: &tokio_postgres::Client,
    table: &TableName,
    key: &DigestKey,
    counted: &(dyn Fn(u64) + Send + Sync),
) -> Result<TableDigest> {
    let failed = |e| Error::sql(&format!("read {table} for its digest"), e);
    client.batch_execute(TEXT_FORM).await.map_err(failed)?;
    let columns = client.query(COLUMNS, &[&table.schema, &table.table]).await.map_err(failed)?;
    let mut columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    columns.sort_unstable();
    let quoted: Vec<String> = columns.iter().map(|name| quote_identifier(name)).collect();
    let sql = format!("COPY (SELECT {} FROM ONLY {}) TO STDOUT", quoted.join(", "), table.quoted());
    let mut text = pin!(client.copy_out(&sql).await.map_err(failed)?);
    let (mut summer, mut told) = (Summer::new(key, &columns), 0);
    while let Some(piece) = text.try_next().await.map_err(failed)? {
        summer.push(&piece);
        if summer.rows - told >= STEP {
            counted(summer.rows - told);
            told = summer.rows;
        }
    }
    counted(summer.rows - told);
    let cut = || Error::Unsupported { what: format!("the rows of {table} end inside one of them") };
    summer.finish().ok_or_else(cut)
}

impl Session {
    /// What the rows of a table come to. The settings of the open transaction are changed: ask it as a
    /// [question](Session::question).
    pub async fn digest_rows(
        &self,
        table: &TableName,
        key: &DigestKey,
        counted: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<TableDigest> {
        of_table(self.client(), table, key, counted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: DigestKey = DigestKey::new([7; 32]);

    fn digest(key: &DigestKey, columns: &[&str], pieces: &[&str]) -> Option<TableDigest> {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let mut summer = Summer::new(key, &columns);
        for piece in pieces {
            summer.push(piece.as_bytes());
        }
        summer.finish()
    }

    #[test]
    fn order_and_pieces_do_not_matter_and_everything_else_does() {
        let whole = digest(&KEY, &["a", "b"], &["1\tx\n2\ty\n2\ty\n"]).unwrap();
        assert_eq!(whole.rows, 3);
        assert_eq!(digest(&KEY, &["a", "b"], &["2\ty\n", "1", "\tx\n2\ty", "\n"]), Some(whole));
        let others: [(&[&str], &str); 6] = [
            (&["a", "b"], "1\tx\n2\ty\n"),         // one of two equal rows is gone
            (&["a", "b"], "1\tx\n1\tx\n2\ty\n"),   // the other is there twice
            (&["a", "b"], "1\ty\n2\tx\n2\ty\n"),   // values that changed places
            (&["a", "c"], "1\tx\n2\ty\n2\ty\n"),   // another name
            (&["a\0b"], "1\tx\n2\ty\n2\ty\n\n"),   // an empty row more
            (&["a", "b"], "1\tx\n2\ty\n2\t\\N\n"), // a null
        ];
        for (columns, text) in others {
            assert_ne!(digest(&KEY, columns, &[text]), Some(whole), "{columns:?} {text:?}");
        }
        assert_ne!(digest(&DigestKey::new([8; 32]), &["a", "b"], &["1\tx\n2\ty\n2\ty\n"]), Some(whole));
        assert_eq!(digest(&KEY, &["a"], &["1\n2"]), None, "the end is missing");
        assert_eq!(digest(&KEY, &["a"], &[]).unwrap().rows, 0);
    }

    /// The example of docs/FORMAT.md.
    #[test]
    fn the_documented_example() {
        let example = digest(&DigestKey::new([0; 32]), &["id", "name"], &["1\tone\n2\t\\N\n"]).unwrap();
        let hex = example.sum.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(hex, "27c7b72da83477c54f748065ca1b617db2f5db202394963f28af47673034e869");
    }

    #[test]
    fn sums_carry_and_wrap() {
        let mut sum = [0xff; 32];
        let mut one = [0; 32];
        one[31] = 1;
        add(&mut sum, &one);
        assert_eq!(sum, [0; 32]);
        let mut sum = [0; 32];
        sum[31] = 0xff;
        add(&mut sum, &one);
        assert_eq!((sum[30], sum[31]), (1, 0));
    }
}
