//! Settings that go along whatever is picked.

use super::{Statement, Words};

/// What pg_dump sets for the whole of a dump. `default_tablespace` is of single tables, and is not kept.
const SETTINGS: [&str; 13] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "client_encoding",
    "standard_conforming_strings",
    "check_function_bodies",
    "xmloption",
    "client_min_messages",
    "row_security",
    "escape_string_warning",
    "default_table_access_method",
    "default_with_oids",
];
/// The one call that is a setting.
pub(super) const NO_SEARCH_PATH: &str = "SELECT pg_catalog.set_config('search_path', '', false)";

/// Nothing else may pass as a setting: it is passed on as it stands.
pub(super) fn setting(words: &mut Words) -> Option<Statement> {
    words.one_of(&SETTINGS)?;
    (words.mark('=') && words.is_last()).then_some(Statement::Setting)
}
