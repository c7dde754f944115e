//! Which of the recorded globals go into a target that has roles and tablespaces of its own.
//!
//! The rule: what the target has is never changed. A role that exists there keeps its password, rights, memberships,
//! settings and comment; only roles that do not exist are created, with everything that belongs to them.

use std::collections::BTreeSet;

use super::super::sql::names::{Token, tokens};
use super::super::sql::{quote_identifier, statements};
use super::super::{Error, Result};

/// What the target has already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// Role names.
    pub roles: BTreeSet<String>,
    /// Tablespace names.
    pub tablespaces: BTreeSet<String>,
}

/// The globals, ready for a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restorable {
    /// `CREATE TABLESPACE` statements. They cannot run in a transaction: each on its own, before it.
    pub tablespaces: Vec<String>,
    /// Everything else, to be run at the head of the restoring transaction.
    pub in_transaction: String,
    /// Roles created.
    pub roles_created: Vec<String>,
    /// Roles of the source that exist in the target and were left alone.
    pub roles_left_alone: Vec<String>,
    /// Tablespaces of the source that exist in the target and were left alone.
    pub tablespaces_left_alone: Vec<String>,
}

impl Restorable {
    /// Names of the tablespaces that do not exist yet.
    pub fn tablespace_names(&self) -> Vec<String> {
        self.tablespaces.iter().filter_map(|statement| name_at(&tokens(statement), 2)).collect()
    }
}

/// Picks the statements of a pg_dumpall script that concern what does not exist yet.
///
/// # Errors
/// Statements that pg_dumpall of PostgreSQL 13 to 18 does not write are refused, not passed on.
pub fn filter_globals(sql: &str, existing: &Existing) -> Result<Restorable> {
    let split = statements(sql).ok_or_else(|| unfit("the recorded globals end in the middle of a statement"))?;
    let mut out = Restorable::default();
    for statement in split {
        let tokens = tokens(&statement);
        match subject(&tokens)? {
            Subject::Session => {}
            Subject::Role(name) => {
                let created = is(&tokens, 0, "create");
                if !existing.roles.contains(&name) {
                    add(&mut out.in_transaction, &statement);
                    out.roles_created.extend(created.then_some(name));
                } else if created {
                    out.roles_left_alone.push(name);
                }
            }
            Subject::NewTablespace(name) if existing.tablespaces.contains(&name) => {
                out.tablespaces_left_alone.push(name);
            }
            Subject::NewTablespace(name) => new_tablespace(&mut out, &statement, &tokens, &name)?,
            Subject::Tablespace(name) => {
                if !existing.tablespaces.contains(&name) {
                    add(&mut out.in_transaction, &statement);
                }
            }
        }
    }
    Ok(out)
}

fn add(script: &mut String, statement: &str) {
    script.push_str(statement);
    script.push_str(";\n");
}

/// The owner may be a role that is created in the transaction, and so later: created without, handed over inside.
fn new_tablespace(out: &mut Restorable, statement: &str, tokens: &[(usize, Token)], name: &str) -> Result<()> {
    let unfit = || unfit("CREATE TABLESPACE of the recorded globals");
    let (owner, location) = (position(tokens, "owner"), position(tokens, "location").ok_or_else(unfit)?);
    out.tablespaces.push(format!("CREATE TABLESPACE {} {}", quote_identifier(name), &statement[tokens[location].0..]));
    if let Some(owner) = owner {
        let owner = name_at(tokens, owner + 1).ok_or_else(unfit)?;
        add(
            &mut out.in_transaction,
            &format!("ALTER TABLESPACE {} OWNER TO {}", quote_identifier(name), quote_identifier(&owner)),
        );
    }
    Ok(())
}

/// What a statement would change.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    /// Only the session that runs it.
    Session,
    Role(String),
    NewTablespace(String),
    Tablespace(String),
}

fn subject(tokens: &[(usize, Token)]) -> Result<Subject> {
    let word = |at: usize, keyword: &str| is(tokens, at, keyword);
    let role = |at: Option<usize>| at.and_then(|at| name_at(tokens, at)).map(Subject::Role);
    let space = |at: Option<usize>| at.and_then(|at| name_at(tokens, at)).map(Subject::Tablespace);
    let found = if word(0, "set") || (word(0, "select") && position(tokens, "set_config").is_some()) {
        Some(Subject::Session)
    } else if (word(0, "create") || word(0, "alter")) && word(1, "role") {
        role(Some(2))
    } else if word(0, "comment") && word(1, "on") && word(2, "role") {
        role(Some(3))
    } else if word(0, "security") && word(1, "label") {
        match position(tokens, "on") {
            Some(on) if word(on + 1, "role") => role(Some(on + 2)),
            Some(on) if word(on + 1, "tablespace") => space(Some(on + 2)),
            _ => None,
        }
    } else if word(0, "create") && word(1, "tablespace") {
        name_at(tokens, 2).map(Subject::NewTablespace)
    } else if word(0, "alter") && word(1, "tablespace") {
        space(Some(2))
    } else if word(0, "comment") && word(1, "on") && word(2, "tablespace") {
        space(Some(3))
    } else if word(0, "grant") || word(0, "revoke") {
        grant(tokens)
    } else {
        None
    };
    let shown: Vec<_> = tokens.iter().take(2).filter_map(|(_, token)| token.name()).collect();
    found.ok_or_else(|| {
        unfit(&format!("the recorded globals hold a statement that is not understood: {} …", shown.join(" ")))
    })
}

/// Memberships and rights on parameters change the one who gets them; rights on a tablespace change the tablespace.
fn grant(tokens: &[(usize, Token)]) -> Option<Subject> {
    let on = position(tokens, "on");
    let to = position(tokens, "to").or_else(|| position(tokens, "from"))?;
    match on {
        Some(on) if on < to && is(tokens, on + 1, "tablespace") => name_at(tokens, on + 2).map(Subject::Tablespace),
        Some(on) if on < to && is(tokens, on + 1, "parameter") && is(tokens, to + 1, "public") => {
            Some(Subject::Session)
        }
        _ => name_at(tokens, to + 1).map(Subject::Role),
    }
}

/// Where an unquoted keyword stands; quoted names never match.
fn position(tokens: &[(usize, Token)], keyword: &str) -> Option<usize> {
    tokens.iter().position(|(_, token)| token.is(keyword))
}

fn is(tokens: &[(usize, Token)], at: usize, keyword: &str) -> bool {
    tokens.get(at).is_some_and(|(_, token)| token.is(keyword))
}

fn name_at(tokens: &[(usize, Token)], at: usize) -> Option<String> {
    tokens.get(at).and_then(|(_, token)| token.name()).map(str::to_owned)
}

fn unfit(what: &str) -> Error {
    Error::Unsupported { what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"--
-- PostgreSQL database cluster dump
--
\restrict abc

SET default_transaction_read_only = off;
SET client_encoding = 'UTF8';

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:x$y:z';
COMMENT ON ROLE app IS 'two
-- lines; with '' quotes';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER;
CREATE ROLE "We""ird; Näme";
ALTER ROLE "We""ird; Näme" WITH LOGIN;
ALTER ROLE app SET search_path TO 'a', 'b';
ALTER ROLE postgres SET work_mem TO '1GB';
GRANT app TO postgres WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres;
GRANT pg_read_all_data TO "We""ird; Näme" WITH INHERIT TRUE GRANTED BY postgres;
GRANT "to" TO app GRANTED BY postgres;
GRANT SET ON PARAMETER work_mem TO app;
GRANT SET ON PARAMETER work_mem TO PUBLIC;
CREATE TABLESPACE fast OWNER "We""ird; Näme" LOCATION '/srv/owner; fast';
ALTER TABLESPACE fast SET (seq_page_cost=1);
COMMENT ON TABLESPACE fast IS 'quick';
REVOKE ALL ON TABLESPACE fast FROM app;
GRANT ALL ON TABLESPACE fast TO app;
CREATE TABLESPACE old OWNER postgres LOCATION '';
ALTER TABLESPACE old SET (seq_page_cost=2);

\unrestrict abc
"#;

    fn existing(roles: &[&str], spaces: &[&str]) -> Existing {
        let set = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Existing { roles: set(roles), tablespaces: set(spaces) }
    }

    #[test]
    fn b09_new_roles_come_whole_and_old_ones_are_left_alone() {
        let got = filter_globals(SCRIPT, &existing(&["postgres"], &["old"])).unwrap();
        assert_eq!(got.roles_created, ["app", "We\"ird; Näme"]);
        assert_eq!(got.roles_left_alone, ["postgres"]);
        assert_eq!(got.tablespaces_left_alone, ["old"]);
        assert_eq!(got.tablespaces, ["CREATE TABLESPACE \"fast\" LOCATION '/srv/owner; fast'"]);
        let sql = &got.in_transaction;
        for kept in [
            "PASSWORD 'SCRAM",
            "-- lines; with ''",
            "TO \"We\"\"ird; Näme\" WITH INHERIT",
            "GRANT \"to\" TO app",
            "PARAMETER work_mem TO app;",
            "ALTER TABLESPACE \"fast\" OWNER TO \"We\"\"ird; Näme\"",
            "SET (seq_page_cost=1)",
            "GRANT ALL ON TABLESPACE fast TO app",
            "'a', 'b'",
        ] {
            assert!(sql.contains(kept), "{kept} in {sql}");
        }
        for dropped in [
            "SUPERUSER;",
            "1GB",
            "GRANT app TO postgres",
            "PUBLIC",
            "restrict",
            "seq_page_cost=2",
            "client_encoding",
            "CREATE TABLESPACE",
        ] {
            assert!(!sql.replace("NOSUPERUSER", "").contains(dropped), "{dropped} in {sql}");
        }
    }

    #[test]
    fn nothing_is_left_when_all_exists() {
        let all = existing(&["postgres", "app", "We\"ird; Näme"], &["old", "fast"]);
        let got = filter_globals(SCRIPT, &all).unwrap();
        assert!(got.in_transaction.is_empty() && got.tablespaces.is_empty() && got.roles_created.is_empty());
    }

    #[test]
    fn unknown_statements_are_refused() {
        for bad in ["DROP ROLE x;", "ALTER SYSTEM SET a = 1;", "SELECT pg_sleep(1);", "CREATE ROLE x", "GRANT x;"] {
            assert!(matches!(filter_globals(bad, &Existing::default()), Err(Error::Unsupported { .. })), "{bad}");
        }
    }
}
