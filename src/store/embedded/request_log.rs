//! One JSON line per request, so that tests can assert what was asked: "no Delete", "no key PUT twice", "no aws-chunked".

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use s3s::path::S3Path;

use serde::Serialize;

use crate::store::roles::Role;

/// Headers worth keeping; none of them carries a secret.
const HEADERS: [&str; 10] = [
    "content-encoding",
    "content-md5",
    "if-match",
    "if-none-match",
    "range",
    "x-amz-bypass-governance-retention",
    "x-amz-decoded-content-length",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
    "user-agent",
];
const HEADER_PREFIXES: [&str; 2] = ["x-amz-checksum-", "x-amz-object-lock-"];

/// What the gate learns about a request while it is served.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Facts>>);

#[derive(Clone, Debug, Default)]
struct Facts {
    operation: Option<String>,
    role: Option<Role>,
    bucket: Option<String>,
    key: Option<String>,
}

impl Seen {
    pub(super) fn note(&self, operation: &str, role: Option<Role>, path: &S3Path) {
        let mut facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        facts.operation = Some(operation.to_owned());
        facts.role = role;
        facts.bucket = path.get_bucket_name().map(str::to_owned);
        facts.key = path.get_object_key().map(str::to_owned);
    }
}

/// One line of the log.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    time: Timestamp,
    /// The role; absent when the request was refused before the signature was known to be good.
    user: Option<Role>,
    /// The API's name of the operation; absent when refused before routing.
    action: Option<String>,
    method: String,
    bucket: Option<String>,
    key: Option<String>,
    /// The version answered, or else the one asked for.
    version: Option<String>,
    status: u16,
    /// `Content-Length` of the request.
    body_bytes: u64,
    headers: BTreeMap<String, String>,
}

impl Line {
    /// What the request itself says.
    pub(super) fn begin(time: Timestamp, method: &Method, query: Option<&str>, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let kept = |name: &str| HEADERS.contains(&name) || HEADER_PREFIXES.iter().any(|p| name.starts_with(p));
        Self {
            time,
            user: None,
            action: None,
            method: method.to_string(),
            bucket: None,
            key: None,
            version: query
                .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("versionId=")))
                .map(Into::into),
            status: 0,
            body_bytes: text("content-length").and_then(|length| length.parse().ok()).unwrap_or(0),
            headers: headers
                .iter()
                .filter(|(name, _)| kept(name.as_str()))
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
        }
    }

    /// What became of it.
    pub(super) fn end(mut self, seen: &Seen, status: StatusCode, answer: &HeaderMap) -> Self {
        let facts = seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.action, self.user, self.bucket, self.key) = (facts.operation, facts.role, facts.bucket, facts.key);
        self.status = status.as_u16();
        if let Some(version) = answer.get("x-amz-version-id").and_then(|value| value.to_str().ok()) {
            self.version = Some(version.to_owned());
        }
        self
    }
}

/// The log file. Each line is written before the response is sent.
#[derive(Debug)]
pub(super) struct RequestLog(Mutex<File>);

impl RequestLog {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::options().create(true).append(true).open(path).map(|file| Self(Mutex::new(file)))
    }

    pub(super) fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
    }
}
