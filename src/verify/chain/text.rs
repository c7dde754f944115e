//! The hashed text of a row, and its digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::definition::{Algorithm, Definition, Encoding, Shape};
use super::json;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Written values of one row, in the order of the fields; `None` = null.
pub(super) type Values = Vec<Option<String>>;

/// Makes texts by one definition.
#[derive(Debug)]
pub(super) struct Composer {
    shape: Shape,
    algorithm: Algorithm,
    encoding: Encoding,
    /// Which field comes when, and what stands before its value.
    parts: Vec<(usize, String)>,
}

impl Composer {
    pub(super) fn new(definition: &Definition) -> Self {
        let mut parts: Vec<(usize, String)> = definition
            .fields
            .iter()
            .enumerate()
            .map(|(at, field)| {
                let mut key = String::new();
                json::quote(&field.name, &mut key);
                (at, key)
            })
            .collect();
        if definition.shape == Shape::Json {
            parts.sort_by(|a, b| json::key_order(&a.1, &b.1));
        }
        for (_, key) in &mut parts {
            key.push(':');
        }
        Self { shape: definition.shape.clone(), algorithm: definition.algorithm, encoding: definition.encoding, parts }
    }

    /// The text in which the nulls that `omitted` names, by the fields' numbers, are left out.
    pub(super) fn text(&self, values: &Values, omitted: impl Fn(usize) -> bool) -> String {
        let mut out = String::with_capacity(512);
        let parts = self.parts.iter().filter(|(at, _)| values[*at].is_some() || !omitted(*at));
        match &self.shape {
            Shape::Json => {
                out.push('{');
                for (number, (at, key)) in parts.enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    out.push_str(key);
                    out.push_str(values[*at].as_deref().unwrap_or("null"));
                }
                out.push('}');
            }
            Shape::Joined { separator, null } => {
                for (number, (at, _)) in parts.enumerate() {
                    if number > 0 {
                        out.push_str(separator);
                    }
                    out.push_str(values[*at].as_deref().unwrap_or(null));
                }
            }
        }
        out
    }

    /// Its digest, as it is stored.
    pub(super) fn digest(&self, text: &str) -> String {
        let algorithm = match self.algorithm {
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha512 => &digest::SHA512,
        };
        let digest = digest::digest(algorithm, text.as_bytes());
        match self.encoding {
            Encoding::Base64 => STANDARD.encode(digest),
            Encoding::Hex => digest.as_ref().iter().fold(String::with_capacity(128), |mut hex, byte| {
                hex.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
                hex
            }),
        }
    }
}
