//! What a statement of a dump is about: as far as a table, and what belongs to it, is concerned.

use super::super::rows::TableName;
use super::parse::{Words, name_in_literal};

mod setting;

use setting::{NO_SEARCH_PATH, setting};

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// `SET`, or a call of `set_config`: for all that follows.
    Setting,
    /// `CREATE TABLE`.
    Table {
        table: TableName,
        inherits: Vec<TableName>,
        /// Has partitions, and no rows of its own.
        partitioned: bool,
    },
    /// `CREATE VIEW` and the like, by what it is.
    NoTable(TableName, &'static str),
    /// Anything that is of a table.
    Of {
        table: TableName,
        what: What,
    },
    /// Anything that is of a sequence, with the role that it names.
    Sequence {
        sequence: TableName,
        role: Option<String>,
    },
    OwnedBy {
        sequence: TableName,
        table: TableName,
        column: String,
    },
    /// How far a sequence is: what stands behind its name.
    SetValue {
        sequence: TableName,
        behind: String,
    },
    /// Something with a name of its own that is of a table: an index, statistics.
    Part {
        table: TableName,
        part: TableName,
        /// Which word is its name, where that stands without a schema.
        place: Option<usize>,
    },
    /// Anything that is of such a part.
    OfPart(TableName),
    AttachIndex {
        parent: TableName,
        child: TableName,
    },
    Copy(TableName),
    Insert(TableName),
    Other,
}

/// What a statement does to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Needs nothing but the table.
    Plain,
    /// Needs a role: the owner, or who gets a right.
    Role(String),
    ForeignKey {
        name: String,
        references: TableName,
    },
    Attach(TableName),
    Identity {
        column: String,
        sequence: TableName,
    },
    /// Names an index without a schema.
    ByIndex(usize),
    Trigger {
        name: String,
        function: TableName,
    },
    Policy {
        name: String,
        roles: Vec<String>,
    },
    /// Is about something of the table that may have been left out: `trigger x`.
    About(String),
}

/// What this is, as pg_dump writes it. What it does not write for tables is [`Statement::Other`].
pub(super) fn parse(text: &str) -> Statement {
    // Bodies may be long, and are of no table.
    if ["CREATE FUNCTION", "CREATE PROCEDURE", "DO "].iter().any(|start| text.starts_with(start)) {
        return Statement::Other;
    }
    let mut words = Words::of(text);
    let known = ["SET", "SELECT pg_catalog", "CREATE", "ALTER", "COMMENT ON"];
    let found = match words.one_of(&known) {
        Some("SET") => setting(&mut words),
        Some("SELECT pg_catalog") => select(&mut words, text),
        Some("CREATE") => create(&mut words),
        Some("ALTER") => alter(&mut words),
        Some("COMMENT ON") => comment(&mut words),
        Some(_) => None,
        None => rows_or_rights(&mut words),
    };
    found.unwrap_or(Statement::Other)
}

fn rows_or_rights(words: &mut Words) -> Option<Statement> {
    match words.one_of(&["COPY", "INSERT INTO", "GRANT", "REVOKE"])? {
        "COPY" => Some(Statement::Copy(words.qualified()?)),
        "INSERT INTO" => Some(Statement::Insert(words.qualified()?)),
        _ => rights(words),
    }
}

fn rights(words: &mut Words) -> Option<Statement> {
    let mut on = || words.seek("ON").then(|| words.one_of(&["TABLE", "SEQUENCE"]));
    let sequence = on()?? == "SEQUENCE";
    let name = words.qualified()?;
    words.one_of(&["TO", "FROM"])?;
    words.eat("GROUP");
    let role = words.name()?;
    let role = (!role.eq_ignore_ascii_case("public")).then_some(role);
    Some(match (sequence, role) {
        (true, role) => Statement::Sequence { sequence: name, role },
        (false, Some(role)) => Statement::Of { table: name, what: What::Role(role) },
        (false, None) => Statement::Of { table: name, what: What::Plain },
    })
}

fn select(words: &mut Words, text: &str) -> Option<Statement> {
    if !words.mark('.') {
        return None;
    }
    if text == NO_SEARCH_PATH {
        return Some(Statement::Setting);
    }
    if !words.eat("setval") || !words.mark('(') {
        return None;
    }
    let start = words.offset()?;
    words.literal().then_some(())?;
    let end = words.offset()?;
    let sequence = name_in_literal(&text[start..end])?;
    Some(Statement::SetValue { sequence, behind: text[end..].to_owned() })
}

fn create(words: &mut Words) -> Option<Statement> {
    let kinds = [
        "TABLE",
        "UNLOGGED TABLE",
        "FOREIGN TABLE",
        "SEQUENCE",
        "UNLOGGED SEQUENCE",
        "INDEX",
        "UNIQUE INDEX",
        "TRIGGER",
        "CONSTRAINT TRIGGER",
        "POLICY",
        "RULE",
        "STATISTICS",
        "VIEW",
        "OR REPLACE VIEW",
        "MATERIALIZED VIEW",
    ];
    match words.one_of(&kinds)? {
        "TABLE" | "UNLOGGED TABLE" => table(words),
        "FOREIGN TABLE" => Some(Statement::NoTable(words.qualified()?, "a foreign table: its rows are elsewhere")),
        "SEQUENCE" | "UNLOGGED SEQUENCE" => Some(Statement::Sequence { sequence: words.qualified()?, role: None }),
        "INDEX" | "UNIQUE INDEX" => index(words),
        "TRIGGER" | "CONSTRAINT TRIGGER" => trigger(words),
        "POLICY" => policy(words),
        "RULE" => {
            let _name = words.name()?;
            let found = words.seek("TO");
            Some(Statement::Of { table: found.then(|| words.qualified())??, what: What::Plain })
        }
        "STATISTICS" => {
            let part = words.qualified()?;
            let found = words.seek("FROM");
            Some(Statement::Part { table: found.then(|| words.qualified())??, part, place: None })
        }
        _ => Some(Statement::NoTable(words.qualified()?, "a view")),
    }
}

fn table(words: &mut Words) -> Option<Statement> {
    let table = words.qualified()?;
    let place = words.place();
    let partitioned = words.seek("PARTITION BY");
    words.back_to(place);
    let mut inherits = Vec::new();
    if words.seek("INHERITS") && words.mark('(') {
        while let Some(parent) = words.qualified() {
            inherits.push(parent);
            words.mark(',');
        }
    }
    Some(Statement::Table { table, inherits, partitioned })
}

fn index(words: &mut Words) -> Option<Statement> {
    let place = words.place();
    let name = words.name()?;
    words.eat("ON").then_some(())?;
    words.eat("ONLY");
    let table = words.qualified()?;
    let part = TableName { schema: table.schema.clone(), table: name };
    Some(Statement::Part { table, part, place: Some(place) })
}

fn trigger(words: &mut Words) -> Option<Statement> {
    let name = words.name()?;
    let table = words.seek("ON").then(|| words.qualified())??;
    words.seek("EXECUTE").then_some(())?;
    words.one_of(&["FUNCTION", "PROCEDURE"])?;
    // Functions of PostgreSQL itself stand without a schema, and are there.
    let what = words.qualified().map_or(What::Plain, |function| What::Trigger { name, function });
    Some(Statement::Of { table, what })
}

fn policy(words: &mut Words) -> Option<Statement> {
    let name = words.name()?;
    words.eat("ON").then_some(())?;
    let table = words.qualified()?;
    let mut roles = Vec::new();
    if words.seek("TO") {
        while let Some(role) = words.name() {
            roles.push(role);
            if !words.mark(',') {
                break;
            }
        }
    }
    Some(Statement::Of { table, what: What::Policy { name, roles } })
}

fn alter(words: &mut Words) -> Option<Statement> {
    match words.one_of(&["TABLE", "FOREIGN TABLE", "SEQUENCE", "INDEX", "STATISTICS"])? {
        "TABLE" | "FOREIGN TABLE" => alter_table(words),
        "SEQUENCE" => alter_sequence(words),
        "STATISTICS" => Some(Statement::OfPart(words.qualified()?)),
        _ => {
            let parent = words.qualified()?;
            if words.eat("ATTACH PARTITION") {
                return Some(Statement::AttachIndex { parent, child: words.qualified()? });
            }
            Some(Statement::OfPart(parent))
        }
    }
}

fn alter_sequence(words: &mut Words) -> Option<Statement> {
    let sequence = words.qualified()?;
    if words.eat("OWNED BY") {
        let table = words.qualified()?;
        words.mark('.').then_some(())?;
        return Some(Statement::OwnedBy { sequence, table, column: words.name()? });
    }
    let role = words.eat("OWNER TO").then(|| words.name()).flatten();
    Some(Statement::Sequence { sequence, role })
}

fn alter_table(words: &mut Words) -> Option<Statement> {
    words.eat("IF EXISTS");
    words.eat("ONLY");
    let table = words.qualified()?;
    let known = [
        "OWNER TO",
        "ATTACH PARTITION",
        "ADD CONSTRAINT",
        "ALTER COLUMN",
        "CLUSTER ON",
        "REPLICA IDENTITY USING INDEX",
        "DISABLE TRIGGER",
        "ENABLE ALWAYS TRIGGER",
        "ENABLE REPLICA TRIGGER",
    ];
    let what = match words.one_of(&known) {
        Some("OWNER TO") => What::Role(words.name()?),
        Some("ATTACH PARTITION") => What::Attach(words.qualified()?),
        Some("ADD CONSTRAINT") => return constraint(words, table),
        Some("ALTER COLUMN") => column(words)?,
        Some("CLUSTER ON" | "REPLICA IDENTITY USING INDEX") => What::ByIndex(words.place()),
        Some(_) => What::About(format!("trigger {}", words.name()?)),
        None => What::Plain,
    };
    Some(Statement::Of { table, what })
}

fn constraint(words: &mut Words, table: TableName) -> Option<Statement> {
    let place = words.place();
    let name = words.name()?;
    match words.one_of(&["FOREIGN KEY", "PRIMARY KEY", "UNIQUE", "EXCLUDE"]) {
        Some("FOREIGN KEY") => {
            let references = words.seek("REFERENCES").then(|| words.qualified())??;
            Some(Statement::Of { table, what: What::ForeignKey { name, references } })
        }
        // Its index bears its name.
        Some(_) => {
            let part = TableName { schema: table.schema.clone(), table: name };
            Some(Statement::Part { table, part, place: Some(place) })
        }
        None => Some(Statement::Of { table, what: What::Plain }),
    }
}

fn column(words: &mut Words) -> Option<What> {
    let column = words.name()?;
    if words.eat("ADD GENERATED") && words.seek("AS IDENTITY") && words.mark('(') && words.eat("SEQUENCE NAME") {
        return Some(What::Identity { column, sequence: words.qualified()? });
    }
    Some(What::Plain)
}

fn comment(words: &mut Words) -> Option<Statement> {
    match words.one_of(&[
        "TABLE",
        "COLUMN",
        "SEQUENCE",
        "INDEX",
        "STATISTICS",
        "CONSTRAINT",
        "TRIGGER",
        "POLICY",
        "RULE",
    ])? {
        "TABLE" | "COLUMN" => Some(Statement::Of { table: words.qualified()?, what: What::Plain }),
        "SEQUENCE" => Some(Statement::Sequence { sequence: words.qualified()?, role: None }),
        "INDEX" | "STATISTICS" => Some(Statement::OfPart(words.qualified()?)),
        "CONSTRAINT" => about(words, "constraint"),
        "TRIGGER" => about(words, "trigger"),
        "POLICY" => about(words, "policy"),
        _ => about(words, "rule"),
    }
}

fn about(words: &mut Words, kind: &str) -> Option<Statement> {
    let part = format!("{kind} {}", words.name()?);
    let table = words.eat("ON").then(|| words.qualified())??;
    Some(Statement::Of { table, what: What::About(part) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(table: &str) -> TableName {
        TableName { schema: "s".into(), table: table.into() }
    }

    fn of(what: What) -> Statement {
        Statement::Of { table: name("t"), what }
    }

    #[test]
    fn statements_are_told_by_what_they_say() {
        let role = |role: &str| of(What::Role(role.into()));
        let trigger = What::Trigger { name: "g".into(), function: name("f") };
        let part = |part: &str, place| Statement::Part { table: name("t"), part: name(part), place };
        let cases = [
            ("SET xmloption = content", Statement::Setting),
            ("SET default_tablespace = fast", Statement::Other),
            ("SET SESSION AUTHORIZATION x", Statement::Other),
            ("SET client_encoding = 'UTF8'", Statement::Setting),
            ("SET row_security = off \\! x", Statement::Other),
            ("SET session_replication_role = replica", Statement::Other),
            ("SELECT pg_catalog.set_config('search_path', '', false)", Statement::Setting),
            ("SELECT pg_catalog.set_config('search_path', '', false), s.f()", Statement::Other),
            ("SELECT pg_catalog.set_config('role', 'x', false)", Statement::Other),
            ("ALTER TABLE ONLY s.t ALTER COLUMN a SET DEFAULT 1", of(What::Plain)),
            ("ALTER TABLE s.t OWNER TO \"R ö\"", role("R ö")),
            ("GRANT SELECT(a),UPDATE(\"on\") ON TABLE s.t TO r WITH GRANT OPTION", role("r")),
            ("REVOKE ALL ON TABLE s.t FROM PUBLIC", of(What::Plain)),
            ("GRANT ALL ON FUNCTION s.t() TO r", Statement::Other),
            (
                "CREATE TRIGGER g AFTER UPDATE OF a ON s.t FOR EACH ROW WHEN ((old.a = 1)) EXECUTE FUNCTION s.f('x')",
                of(trigger),
            ),
            (
                "CREATE TRIGGER g BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
                of(What::Plain),
            ),
            ("CREATE UNIQUE INDEX i ON ONLY s.t USING btree (a)", part("i", Some(3))),
            ("ALTER TABLE ONLY s.t\n    ADD CONSTRAINT k PRIMARY KEY (a)", part("k", Some(8))),
            ("ALTER TABLE s.t\n    ADD CONSTRAINT k CHECK ((a > 0)) NOT VALID", of(What::Plain)),
            ("CREATE RULE r AS\n    ON DELETE TO s.t DO INSTEAD NOTHING", of(What::Plain)),
            ("COMMENT ON TRIGGER g ON s.t IS 'x'", of(What::About("trigger g".into()))),
            ("CREATE FUNCTION s.f() RETURNS int AS $$ CREATE TABLE s.t (a int) $$", Statement::Other),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
