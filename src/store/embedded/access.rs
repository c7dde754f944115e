//! After the signature: is it complete, for this region, unexpired, and may this role do that?

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use secrecy::ExposeSecret as _;

use super::clock::Clock;
use super::request_log::Seen;
use super::users::{User, Users};
use crate::store::roles::Role;

/// Who asks; operations find it in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) Role);

/// The gate in front of every operation.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) users: Arc<Users>,
    pub(super) clock: Arc<Clock>,
    pub(super) region: String,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let seen = cx.extensions_mut().get::<Seen>().cloned();
        let operation = cx.s3_op().name();
        let user = cx.credentials().and_then(|known| self.users.get(&known.access_key));
        if let Some(seen) = seen {
            seen.note(operation, user.map(|user| user.role), cx.s3_path());
        }
        let user = user.ok_or_else(|| s3_error!(AccessDenied, "Requests must be signed"))?;
        self.signature_covers(cx.headers())?;
        self.session_is_valid(user, cx.headers())?;
        let request = Asked { headers: cx.headers(), versioned: has_query(cx.uri().query(), "versionId") };
        let Some(actions) = actions(operation, &request) else {
            return Err(s3_error!(NotImplemented, "{operation} is not implemented by this server"));
        };
        if let Some(missing) = actions.into_iter().find(|action| !user.role.allows(action)) {
            return Err(denied(user.role, missing));
        }
        demand_checksum_header(operation, cx.headers())?;
        refuse_foreign_keys(cx.headers())?;
        cx.extensions_mut().insert(Caller(user.role));
        Ok(())
    }
}

/// AWS names the action in its message since 2021 ("is not authorized to perform").
pub(super) fn denied(role: Role, action: &str) -> S3Error {
    s3_error!(AccessDenied, "User: {role} is not authorized to perform: {action}")
}

impl Access {
    /// The credential scope names the region, and host and all `x-amz-*` headers are signed (AWS General Reference,
    /// "Create a signed AWS API request": these headers must be included).
    fn signature_covers(&self, headers: &HeaderMap) -> S3Result<()> {
        let authorization = header(headers, "authorization").unwrap_or_default();
        let scope = Scope::parse(authorization).ok_or_else(|| s3_error!(AuthorizationHeaderMalformed))?;
        if scope.region != self.region {
            return Err(self.wrong_region(scope.region));
        }
        let unsigned = headers.keys().find(|name| {
            let name = name.as_str();
            (name == "host" || name.starts_with("x-amz-")) && !scope.signed_headers.split(';').any(|s| s == name)
        });
        match unsigned {
            None => Ok(()),
            Some(name) => {
                Err(s3_error!(AccessDenied, "There were headers present in the request which were not signed: {name}"))
            }
        }
    }

    fn wrong_region(&self, asked: &str) -> S3Error {
        let mut error = S3Error::with_message(
            S3ErrorCode::AuthorizationHeaderMalformed,
            format!(
                "The authorization header is malformed; the region '{asked}' is wrong; expecting '{}'",
                self.region
            ),
        );
        if let Ok(region) = HeaderValue::from_str(&self.region) {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-bucket-region", region);
            error.set_headers(headers);
        }
        error
    }

    fn session_is_valid(&self, user: &User, headers: &HeaderMap) -> S3Result<()> {
        match (&user.session, header(headers, "x-amz-security-token")) {
            (None, None) => Ok(()),
            (Some(session), Some(token)) if session.token.expose_secret() == token => {
                if session.expires <= self.clock.now() {
                    return Err(s3_error!(ExpiredToken, "The provided token has expired."));
                }
                Ok(())
            }
            _ => Err(s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid.")),
        }
    }
}

/// The parts of a SigV4 `Authorization` header that s3s does not hand on.
struct Scope<'a> {
    region: &'a str,
    signed_headers: &'a str,
}

impl<'a> Scope<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let fields = authorization.strip_prefix("AWS4-HMAC-SHA256")?;
        let field = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name));
        let region = field("Credential=")?.split('/').rev().nth(2)?;
        Some(Self { region, signed_headers: field("SignedHeaders=")? })
    }
}

/// What of a request decides the actions it needs.
struct Asked<'a> {
    headers: &'a HeaderMap,
    /// The request names a version.
    versioned: bool,
}

impl Asked<'_> {
    fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }
}

/// The actions of an operation (Service Authorization Reference, "Actions, resources, and condition keys for Amazon
/// S3", and "Permissions" of each API page); `None` for operations that this server does not have.
fn actions(operation: &str, asked: &Asked<'_>) -> Option<Vec<&'static str>> {
    let by_version = |plain, versioned| vec![if asked.versioned { versioned } else { plain }];
    let mut actions = match operation {
        "ListBuckets" => vec!["s3:ListAllMyBuckets"],
        "CreateBucket" => create_bucket(asked),
        "DeleteBucket" => vec!["s3:DeleteBucket"],
        "HeadBucket" | "ListObjectsV2" => vec!["s3:ListBucket"],
        "ListObjectVersions" => vec!["s3:ListBucketVersions"],
        "GetBucketLocation" => vec!["s3:GetBucketLocation"],
        "GetBucketVersioning" => vec!["s3:GetBucketVersioning"],
        "PutBucketVersioning" => vec!["s3:PutBucketVersioning"],
        "GetObjectLockConfiguration" => vec!["s3:GetBucketObjectLockConfiguration"],
        "PutObjectLockConfiguration" => vec!["s3:PutBucketObjectLockConfiguration"],
        "GetBucketLifecycleConfiguration" => vec!["s3:GetLifecycleConfiguration"],
        // Deleting the rules is putting none (API DeleteBucketLifecycle, "Permissions").
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => vec!["s3:PutLifecycleConfiguration"],
        "GetBucketPolicy" => vec!["s3:GetBucketPolicy"],
        "PutBucketPolicy" => vec!["s3:PutBucketPolicy"],
        "DeleteBucketPolicy" => vec!["s3:DeleteBucketPolicy"],
        "PutObject" | "CreateMultipartUpload" => put(asked),
        "UploadPart" | "CompleteMultipartUpload" => vec!["s3:PutObject"],
        "AbortMultipartUpload" => vec!["s3:AbortMultipartUpload"],
        "ListParts" => vec!["s3:ListMultipartUploadParts"],
        "ListMultipartUploads" => vec!["s3:ListBucketMultipartUploads"],
        "GetObject" | "HeadObject" => by_version("s3:GetObject", "s3:GetObjectVersion"),
        "DeleteObject" => by_version("s3:DeleteObject", "s3:DeleteObjectVersion"),
        // Each key is authorised by itself, in the operation; so is the bypass.
        "DeleteObjects" => return Some(Vec::new()),
        "GetObjectRetention" => vec!["s3:GetObjectRetention"],
        "PutObjectRetention" => vec!["s3:PutObjectRetention"],
        "GetObjectLegalHold" => vec!["s3:GetObjectLegalHold"],
        "PutObjectLegalHold" => vec!["s3:PutObjectLegalHold"],
        "RestoreObject" => vec!["s3:RestoreObject"],
        _ => return None,
    };
    if bypass_requested(asked.headers) {
        actions.push("s3:BypassGovernanceRetention");
    }
    Some(actions)
}

/// `x-amz-bypass-governance-retention: true`, which needs the permission as well ("Bypassing governance mode").
pub(super) fn bypass_requested(headers: &HeaderMap) -> bool {
    header(headers, "x-amz-bypass-governance-retention").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Lock headers on a PUT need the action of the call that would set them (API PutObject, "Permissions").
fn put(asked: &Asked<'_>) -> Vec<&'static str> {
    let mut actions = vec!["s3:PutObject"];
    if asked.has("x-amz-object-lock-mode") || asked.has("x-amz-object-lock-retain-until-date") {
        actions.push("s3:PutObjectRetention");
    }
    if asked.has("x-amz-object-lock-legal-hold") {
        actions.push("s3:PutObjectLegalHold");
    }
    actions
}

/// API CreateBucket, "Permissions": enabling Object Lock needs both bucket actions.
fn create_bucket(asked: &Asked<'_>) -> Vec<&'static str> {
    let mut actions = vec!["s3:CreateBucket"];
    if asked.has("x-amz-bucket-object-lock-enabled") {
        actions.extend(["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]);
    }
    actions
}

/// API DeleteObjects, PutObjectRetention, …: "Content-MD5 or a checksum is required" for these XML bodies.
fn demand_checksum_header(operation: &str, headers: &HeaderMap) -> S3Result<()> {
    let needs = matches!(
        operation,
        "DeleteObjects"
            | "PutObjectRetention"
            | "PutObjectLegalHold"
            | "PutObjectLockConfiguration"
            | "PutBucketLifecycleConfiguration"
            | "PutBucketPolicy"
    );
    let has = headers.keys().any(|name| name == "content-md5" || name.as_str().starts_with("x-amz-checksum-"));
    if needs && !has {
        return Err(s3_error!(InvalidRequest, "Missing required header for this request: Content-MD5"));
    }
    Ok(())
}

/// SSE-C: this server encrypts nothing, and must not answer as if it had.
fn refuse_foreign_keys(headers: &HeaderMap) -> S3Result<()> {
    if headers.contains_key("x-amz-server-side-encryption-customer-algorithm") {
        return Err(s3_error!(NotImplemented, "Encryption under a customer's key is not implemented by this server"));
    }
    Ok(())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn has_query(query: Option<&str>, name: &str) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(operation: &str, versioned: bool, headers: &[&'static str]) -> Option<Vec<&'static str>> {
        let headers =
            headers.iter().map(|name| (hyper::header::HeaderName::from_static(name), HeaderValue::from_static("true")));
        actions(operation, &Asked { headers: &headers.collect(), versioned })
    }

    #[test]
    fn actions_follow_versions_and_headers() {
        assert_eq!(needs("GetObject", false, &[]), Some(vec!["s3:GetObject"]));
        assert_eq!(needs("GetObject", true, &[]), Some(vec!["s3:GetObjectVersion"]));
        assert_eq!(needs("DeleteObject", true, &[]), Some(vec!["s3:DeleteObjectVersion"]));
        assert_eq!(
            needs("PutObject", false, &["x-amz-object-lock-mode", "x-amz-object-lock-legal-hold"]),
            Some(vec!["s3:PutObject", "s3:PutObjectRetention", "s3:PutObjectLegalHold"])
        );
        assert_eq!(
            needs("PutObjectRetention", true, &["x-amz-bypass-governance-retention"]),
            Some(vec!["s3:PutObjectRetention", "s3:BypassGovernanceRetention"])
        );
        assert_eq!(needs("PutBucketAcl", false, &[]), None, "unknown operations are refused, whoever asks");
    }

    #[test]
    fn scopes_are_read_from_the_end() {
        let text = "AWS4-HMAC-SHA256 Credential=A/B/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=0";
        let scope = Scope::parse(text).unwrap();
        assert_eq!((scope.region, scope.signed_headers), ("eu-west-1", "host;x-amz-date"));
        assert!(Scope::parse("AWS A:b").is_none());
    }
}
