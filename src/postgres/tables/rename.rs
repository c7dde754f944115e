//! A table under another name: its own, and those of everything that lives beside it in its schema.

use std::collections::HashSet;

use super::super::rows::TableName;
use super::super::sql::names::{Token, tokens};
use super::super::sql::{quote_identifier, quote_literal};
use super::parse::name_in_literal;

/// PostgreSQL cuts longer names, and then they may collide.
const NAME_BYTES_MAX: usize = 63;

/// The old name and the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// In the dump.
    pub from: TableName,
    /// In the target.
    pub to: TableName,
}

impl Rename {
    /// The name of something that belongs to the table: an index, a sequence, a partition, or the table itself.
    pub fn apply(&self, name: &TableName) -> TableName {
        TableName { schema: self.to.schema.clone(), table: self.local(&name.table) }
    }

    /// `old_pkey` becomes `new_pkey`, `other` becomes `new_other`.
    pub(super) fn local(&self, name: &str) -> String {
        let (from, to) = (&self.from.table, &self.to.table);
        let new = name.strip_prefix(from.as_str()).map_or_else(|| format!("{to}_{name}"), |rest| format!("{to}{rest}"));
        shortened(&new)
    }

    /// The statement with the new names for everything in `known`, and for the word at `place` if it is in there.
    pub(super) fn statement(&self, text: &str, known: &HashSet<TableName>, place: Option<usize>) -> String {
        let tokens = tokens(text);
        let mut out = String::with_capacity(text.len() + 64);
        let mut copied = 0;
        let mut at = 0;
        while at < tokens.len() {
            let start = tokens[at].0;
            let (used, new) = self.replacement(text, &tokens, at, known, place);
            if let Some(new) = new {
                out.push_str(&text[copied..start]);
                out.push_str(&new);
                copied = end_of(text, &tokens, at + used - 1);
            }
            at += used;
        }
        out.push_str(&text[copied..]);
        out
    }

    /// What stands instead of the words from `at` on, and how many they are.
    fn replacement(
        &self,
        text: &str,
        tokens: &[(usize, Token)],
        at: usize,
        known: &HashSet<TableName>,
        place: Option<usize>,
    ) -> (usize, Option<String>) {
        if let Some((schema, table)) = pair(tokens, at) {
            let name = TableName { schema, table };
            return (3, known.contains(&name).then(|| self.apply(&name).quoted()));
        }
        let token = &tokens[at].1;
        if place == Some(at) {
            return (1, token.name().map(|name| quote_identifier(&self.local(name))));
        }
        if *token == Token::Literal && is_class(tokens, at + 1) {
            let name = name_in_literal(&text[tokens[at].0..end_of(text, tokens, at)]);
            let name = name.filter(|name| known.contains(name));
            return (1, name.map(|name| quote_literal(&self.apply(&name).quoted())));
        }
        (1, None)
    }
}

/// `name.name`, and not as a part of a longer one in front.
fn pair(tokens: &[(usize, Token)], at: usize) -> Option<(String, String)> {
    let token = |at: usize| tokens.get(at).map(|(_, token)| token);
    if at > 0 && token(at - 1) == Some(&Token::Mark('.')) || token(at + 1) != Some(&Token::Mark('.')) {
        return None;
    }
    Some((token(at)?.name()?.to_owned(), token(at + 2)?.name()?.to_owned()))
}

/// `::regclass`.
fn is_class(tokens: &[(usize, Token)], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some((_, Token::Mark(':'))));
    colon(at) && colon(at + 1) && tokens.get(at + 2).is_some_and(|(_, token)| token.is("regclass"))
}

/// Where a word ends: white space before the next one does not belong to it.
fn end_of(text: &str, tokens: &[(usize, Token)], at: usize) -> usize {
    let next = tokens.get(at + 1).map_or(text.len(), |(offset, _)| *offset);
    tokens[at].0 + text[tokens[at].0..next].trim_end().len()
}

/// Cut to what PostgreSQL takes, with a mark of the whole name so that two stay two.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let sum = name.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut end = NAME_BYTES_MAX - 9;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{sum:08x}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, table: &str) -> TableName {
        TableName { schema: schema.into(), table: table.into() }
    }

    fn rename() -> Rename {
        Rename { from: name("public", "log"), to: name("public", "log back") }
    }

    #[test]
    fn names_of_what_belongs_to_the_table_change_and_others_do_not() {
        let known = HashSet::from([name("public", "log"), name("public", "log_id_seq"), name("s.x", "p\"1")]);
        let cases = [
            ("CREATE TABLE public.log (\n    a int", "CREATE TABLE \"public\".\"log back\" (\n    a int"),
            ("ALTER TABLE ONLY public.logs ADD x", "ALTER TABLE ONLY public.logs ADD x"),
            (
                "SET DEFAULT nextval('public.log_id_seq'::regclass)",
                "SET DEFAULT nextval('\"public\".\"log back_id_seq\"'::regclass)",
            ),
            ("DEFAULT 'public.log'::text", "DEFAULT 'public.log'::text"),
            ("ATTACH PARTITION \"s.x\".\"p\"\"1\" FOR", "ATTACH PARTITION \"public\".\"log back_p\"\"1\" FOR"),
            (
                "COMMENT ON COLUMN public.log.public IS 'public.log'",
                "COMMENT ON COLUMN \"public\".\"log back\".public IS 'public.log'",
            ),
        ];
        for (text, want) in cases {
            assert_eq!(rename().statement(text, &known, None), want);
        }
        let text = "CREATE INDEX log_at ON public.log USING btree (at)";
        let want = "CREATE INDEX \"log back_at\" ON \"public\".\"log back\" USING btree (at)";
        assert_eq!(rename().statement(text, &known, Some(2)), want);
    }

    #[test]
    fn long_names_stay_different() {
        let long = "ü".repeat(40);
        let (one, two) = (rename().local(&format!("{long}1")), rename().local(&format!("{long}2")));
        assert!(one.len() <= 63 && two.len() <= 63 && one != two, "{one} {two}");
    }
}
