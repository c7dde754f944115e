//! Which checksum a PUT or part must bring, and whether it was right.
//!
//! Stricter than AWS on purpose: AWS demands "Content-MD5 or x-amz-sdk-checksum-algorithm" for uploads with a retention
//! period (API PutObject, note on Object Lock) and many clones demand nothing. Here every upload into a bucket with
//! Object Lock needs the value in a header, with a plain body, because that is the one form all stores accept.

use hyper::HeaderMap;
use s3s::{S3Error, S3Result, s3_error};

use super::digest::{Algorithm, decode};
use super::receive::Received;

/// What the client announced about the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Computed for the stored checksum, and compared when there is a value.
    pub(super) algorithm: Algorithm,
    value: Option<String>,
    md5: Option<Vec<u8>>,
    /// The value follows the body.
    trailer: bool,
}

const NAMES_WITHOUT_VALUE: [&str; 3] = ["x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode"];

impl Announced {
    /// Reads the headers of a PutObject or UploadPart; refuses what cannot be verified. `fallback` is the algorithm
    /// used when the client names none: AWS adds CRC64NVME itself ("Checking object integrity").
    pub(super) fn read(headers: &HeaderMap, locked_bucket: bool, fallback: Algorithm) -> S3Result<Self> {
        let value = single_checksum(headers)?;
        let md5 = match text(headers, "content-md5") {
            Some(md5) => Some(decode(md5, 16).ok_or_else(|| s3_error!(InvalidDigest))?),
            None => None,
        };
        let trailer = text(headers, "x-amz-trailer").map(trailer_algorithm).transpose()?;
        if locked_bucket {
            demand_plain_body(headers)?;
            if value.is_none() && md5.is_none() {
                return Err(s3_error!(
                    InvalidRequest,
                    "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
                ));
            }
        }
        let announced = text(headers, "x-amz-sdk-checksum-algorithm").map(named).transpose()?;
        let brought = value.as_ref().map(|(algorithm, _)| *algorithm).or(trailer);
        // API PutObject, x-amz-sdk-checksum-algorithm: without a value in header or trailer S3 fails the request.
        if announced.is_some() && brought.is_none() {
            return Err(s3_error!(
                InvalidRequest,
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
            ));
        }
        if announced.is_some() && announced != brought {
            return Err(s3_error!(InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid."));
        }
        Ok(Self {
            algorithm: brought.unwrap_or(fallback),
            trailer: value.is_none() && trailer.is_some(),
            value: value.map(|(_, value)| value),
            md5,
        })
    }

    /// Compares what arrived. `trailers` are those of an `aws-chunked` body.
    pub(super) fn verify(&self, received: &Received, trailers: Option<&HeaderMap>) -> S3Result<()> {
        let mut expected = self.value.clone();
        if self.trailer {
            let name = format!("x-amz-checksum-{}", self.algorithm.name().to_ascii_lowercase());
            expected = trailers.and_then(|trailers| text(trailers, &name)).map(str::to_owned);
            if expected.is_none() {
                return Err(s3_error!(InvalidRequest, "The trailer {name} did not arrive"));
            }
        }
        if let Some(expected) = expected
            && expected != received.checksum.value
        {
            return Err(bad_digest(self.algorithm.name()));
        }
        if self.md5.as_ref().is_some_and(|md5| *md5 != received.md5) {
            return Err(bad_digest("Content-MD5"));
        }
        Ok(())
    }
}

pub(super) fn bad_digest(what: &str) -> S3Error {
    s3_error!(BadDigest, "The {what} you specified did not match the calculated checksum.")
}

/// The one `x-amz-checksum-…` value, decoded far enough to know that it has the right length.
fn single_checksum(headers: &HeaderMap) -> S3Result<Option<(Algorithm, String)>> {
    let mut found = None;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-checksum-") || NAMES_WITHOUT_VALUE.contains(&name) {
            continue;
        }
        let Some(algorithm) = Algorithm::from_header(name) else {
            return Err(s3_error!(NotImplemented, "{name} is not verified by this server"));
        };
        let value = value.to_str().ok().filter(|value| decode(value, algorithm.bytes()).is_some());
        let value = value.ok_or_else(|| s3_error!(InvalidRequest, "Value for {name} header is invalid."))?;
        if found.replace((algorithm, value.to_owned())).is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
    }
    Ok(found)
}

/// No `aws-chunked` framing and no trailers.
fn demand_plain_body(headers: &HeaderMap) -> S3Result<()> {
    let streaming = text(headers, "x-amz-content-sha256").is_some_and(|value| value.starts_with("STREAMING-"));
    let chunked = text(headers, "content-encoding").is_some_and(|value| value.contains("aws-chunked"));
    if streaming || chunked || headers.contains_key("x-amz-trailer") {
        return Err(s3_error!(
            InvalidRequest,
            "aws-chunked bodies and checksum trailers are refused on a bucket with Object Lock; send the checksum in a header"
        ));
    }
    Ok(())
}

fn trailer_algorithm(trailer: &str) -> S3Result<Algorithm> {
    Algorithm::from_header(&trailer.trim().to_ascii_lowercase())
        .ok_or_else(|| s3_error!(InvalidRequest, "The value specified in the x-amz-trailer header is not supported"))
}

fn named(name: &str) -> S3Result<Algorithm> {
    Algorithm::from_name(name).ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm {name} is not supported"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use s3s::S3ErrorCode;

    use super::*;

    const CRC32: (&str, &str) = ("x-amz-checksum-crc32", "y/Q5Jg==");
    const MD5: (&str, &str) = ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==");

    fn read(locked: bool, headers: &[(&'static str, &'static str)]) -> Result<Announced, S3ErrorCode> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Announced::read(&headers, locked, Algorithm::Crc64nvme).map_err(|error| error.code().clone())
    }

    #[test]
    fn lock_buckets_want_a_header_checksum_and_a_plain_body() {
        let invalid = Err(S3ErrorCode::InvalidRequest);
        assert!(read(true, &[CRC32]).is_ok() && read(true, &[MD5]).is_ok() && read(false, &[]).is_ok());
        assert_eq!(read(true, &[]), invalid);
        // A signed payload hash is no checksum header.
        assert_eq!(read(true, &[("x-amz-content-sha256", "e3b0c442")]), invalid);
        assert_eq!(read(true, &[CRC32, ("content-encoding", "aws-chunked")]), invalid);
        assert_eq!(read(true, &[CRC32, ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")]), invalid);
        assert_eq!(read(true, &[("x-amz-trailer", "x-amz-checksum-crc32")]), invalid);
        assert!(read(false, &[("x-amz-trailer", "x-amz-checksum-crc32")]).is_ok_and(|a| a.trailer));
    }

    #[test]
    fn malformed_announcements_are_refused() {
        let invalid = Err(S3ErrorCode::InvalidRequest);
        assert_eq!(read(false, &[("x-amz-checksum-crc32", "AAA=")]), invalid);
        assert_eq!(read(false, &[("x-amz-checksum-sha256", "y/Q5Jg==")]), invalid);
        assert_eq!(read(false, &[CRC32, ("x-amz-checksum-crc32c", "y/Q5Jg==")]), invalid);
        assert_eq!(read(false, &[("content-md5", "short")]), Err(S3ErrorCode::InvalidDigest));
        assert_eq!(read(false, &[("x-amz-checksum-xxhash64", "AAAA")]), Err(S3ErrorCode::NotImplemented));
        assert_eq!(read(false, &[("x-amz-sdk-checksum-algorithm", "CRC64NVME")]), invalid);
        assert_eq!(read(false, &[CRC32, ("x-amz-sdk-checksum-algorithm", "SHA256")]), invalid);
        assert!(read(false, &[CRC32, ("x-amz-sdk-checksum-algorithm", "CRC32")]).is_ok());
    }
}
