//! Sections that may stand in the file several times, each under a name of the operator's: `[verify.chain.NAME]`.
//!
//! They have no variables and no flags: a name in a variable's name could not be told from the key behind it.

use super::key::{Key, nearest};

/// A kind of section.
#[derive(Debug)]
pub struct NamedSection {
    /// Dotted path, without the name.
    pub path: &'static str,
    /// Its keys; each has the section's path, `NAME` and its own word for a path, and no variable.
    pub keys: &'static [Key],
}

macro_rules! named {
    ($($section:ident = $path:literal { $($name:literal, $default:expr, $allowed:literal;)* })*) => {
        $(
            #[doc = concat!("The sections `", $path, ".NAME`.")]
            pub static $section: NamedSection = NamedSection {
                path: $path,
                keys: &[$(Key { path: concat!($path, ".NAME.", $name), variable: "", default: $default, allowed: $allowed }),*],
            };
        )*
        /// All kinds, in the order of the reference in README.md.
        pub static ALL: &[&NamedSection] = &[$(&$section),*];
    };
}

named! {
    REPLICA = "replica" {
        "repository", None, "s3://BUCKET or s3://BUCKET/PREFIX, with the prefix of the repository";
        "endpoint", None, "http://HOST[:PORT] or https://HOST[:PORT]";
        "region", None, "a region name, such as \"eu-west-1\"";
        "profile", None, "a profile of the AWS configuration files";
        "path_style", None, "true or false";
        "ca_file", None, "a PEM file with the certificate authority of the endpoint";
        "checksum", None, "\"crc64nvme\", \"sha256\", \"crc32c\" or \"md5\"";
        "max_lag", Some("1h"), "a duration from 1s to 31d: so long may something be missing there";
    }
    VERIFY_CHAIN = "verify.chain" {
        "table", None, "a table: SCHEMA.TABLE, or TABLE in the schema public, written as PostgreSQL stores it";
        "preset", None, "\"sequelize-audit-log\"";
        "fields", None, "a list of NAME, NAME=COLUMN or NAME=COLUMN:FORM, where FORM is text, number, boolean, json or time";
        "order", None, "a list of columns";
        "previous", None, "the column with the hash of the row before";
        "hash", None, "the column with the row's own hash";
        "genesis", None, "what the first row has for the hash of the row before; left out: null";
        "algorithm", None, "\"sha256\" or \"sha512\"";
        "encoding", None, "\"hex\" or \"base64\"";
        "text", None, "\"json\" or \"joined\"";
        "separator", None, "the text between the fields of text = \"joined\"";
        "null_text", None, "what stands for null in text = \"joined\"";
        "null_rule", None, "\"keep\", \"omit\" or \"auto\"";
        "head", None, "the hash of a row that must be in it";
    }
}

/// How long a name may be.
const NAME_BYTES_MAX: usize = 63;

/// What is allowed for a name.
pub(super) const NAME_ALLOWED: &str = "1 to 63 of a-z, 0-9, '_' and '-'";

impl NamedSection {
    /// The key with this word.
    pub(super) fn key(&self, word: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| word_of(key) == word)
    }

    /// The dotted path of a key in the section called `name`.
    pub(super) fn path_of(&self, name: &str, word: &str) -> String {
        format!("{}.{name}.{word}", self.path)
    }

    /// The known path that looks most like the one of `word`, if any does.
    pub(super) fn nearest(&self, name: &str, word: &str) -> Option<String> {
        nearest(word, self.keys.iter().map(word_of)).map(|known| self.path_of(name, known))
    }

    /// Whether `path` is that of a section of this kind, and its name.
    pub(super) fn name_in<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.path)?.strip_prefix('.').filter(|name| !name.contains('.'))
    }
}

/// The last word of a key's path.
fn word_of(key: &Key) -> &'static str {
    key.path.rsplit('.').next().unwrap_or(key.path)
}

pub(super) fn is_name(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}
