//! HTTP around the S3 service: connections, the checks before the signature, the headers that every answer has.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpRequest, HttpResponse, S3Result, s3_error};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, http_date};
use super::model::random_id;
use super::request_log::{Line, RequestLog, Seen};
use crate::limits::{EMBEDDED_BODY_BYTES_MAX, EMBEDDED_CONNECTIONS_MAX};

/// Requests older or newer than this are refused (S3 API, error `RequestTimeTooSkewed`: 15 minutes).
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(15);

/// How long open requests may take to finish once the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// What every connection needs.
pub(super) struct Front {
    pub(super) service: S3Service,
    pub(super) clock: Arc<Clock>,
    pub(super) log: Option<RequestLog>,
}

/// Accepts connections until cancelled, then lets open requests finish.
pub(super) async fn accept(listener: TcpListener, front: Arc<Front>, cancel: CancellationToken) {
    let slots = Arc::new(Semaphore::new(EMBEDDED_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    while let Some(slot) = cancel.run_until_cancelled(slots.clone().acquire_owned()).await {
        let Ok(slot) = slot else { break };
        match cancel.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => {
                connections.spawn(serve(stream, front.clone(), cancel.clone(), slot));
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("requests still open after {} s are cut off", DRAIN.as_secs());
    }
}

async fn serve(stream: TcpStream, front: Arc<Front>, cancel: CancellationToken, _slot: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(front.clone(), request));
    let connection = http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(front: Arc<Front>, mut request: hyper::Request<Incoming>) -> Result<HttpResponse, HttpError> {
    let seen = Seen::default();
    request.extensions_mut().insert(seen.clone());
    let line = front
        .log
        .as_ref()
        .map(|_| Line::begin(front.clock.now(), request.method(), request.uri().query(), request.headers()));
    let mut response = match admit(request.uri().query(), request.headers(), front.clock.now()) {
        Ok(()) => front.service.call(HttpRequest::from(request.map(Body::from))).await?,
        Err(refusal) => refusal.to_http_response().map_err(|error| HttpError::new(Box::new(error)))?,
    };
    complete(response.headers_mut(), front.clock.now());
    if let (Some(log), Some(line)) = (&front.log, line) {
        let line = line.end(&seen, response.status(), response.headers());
        log.write(&line).map_err(|error| HttpError::new(Box::new(error)))?;
    }
    Ok(response)
}

/// `Date` is the store's time; clients measure their skew by it.
fn complete(headers: &mut HeaderMap, now: Timestamp) {
    let id = random_id().unwrap_or_default().to_ascii_uppercase();
    for (name, value) in [("x-amz-request-id", id), (DATE.as_str(), http_date(now)), ("server", "stonewal".into())] {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
}

/// Only SigV4 in the `Authorization` header: s3s would also take SigV2, presigned URLs and browser forms, whose rules
/// this server does not enforce.
fn admit(query: Option<&str>, headers: &HeaderMap, now: Timestamp) -> S3Result<()> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if query.is_some_and(|query| query.contains("X-Amz-Signature=") || query.contains("Signature=")) {
        return Err(s3_error!(NotImplemented, "Presigned URLs are not implemented by this server"));
    }
    if text(CONTENT_TYPE.as_str()).is_some_and(|value| value.starts_with("multipart/form-data")) {
        return Err(s3_error!(NotImplemented, "Browser uploads are not implemented by this server"));
    }
    let Some(authorization) = text(AUTHORIZATION.as_str()) else {
        return Err(s3_error!(AccessDenied, "Requests must be signed"));
    };
    if !authorization.starts_with("AWS4-HMAC-SHA256") {
        return Err(s3_error!(InvalidRequest, "Please use AWS4-HMAC-SHA256."));
    }
    let length = text("content-length").and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if length > EMBEDDED_BODY_BYTES_MAX {
        return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed object size."));
    }
    let sent = text("x-amz-date").and_then(amz_date);
    let sent = sent.ok_or_else(|| s3_error!(AccessDenied, "A valid x-amz-date header is required"))?;
    if now.duration_since(sent).abs() > SKEW_MAX {
        return Err(s3_error!(
            RequestTimeTooSkewed,
            "The difference between the request time and the current time is too large."
        ));
    }
    Ok(())
}

fn amz_date(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;

    fn admitted(now: &str, query: Option<&str>, headers: &[(&'static str, &'static str)]) -> Option<S3ErrorCode> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        admit(query, &headers, now.parse().unwrap()).err().map(|error| error.code().clone())
    }

    #[test]
    fn skew_and_signature_kinds() {
        let signed = [("authorization", "AWS4-HMAC-SHA256 x"), ("x-amz-date", "20260101T000000Z")];
        assert_eq!(admitted("2026-01-01T00:15:00Z", None, &signed), None);
        assert_eq!(admitted("2025-12-31T23:45:00Z", None, &signed), None);
        assert_eq!(admitted("2026-01-01T00:15:01Z", None, &signed), Some(S3ErrorCode::RequestTimeTooSkewed));
        assert_eq!(admitted("2025-12-31T23:44:59Z", None, &signed), Some(S3ErrorCode::RequestTimeTooSkewed));
        let now = "2026-01-01T00:00:00Z";
        assert_eq!(admitted(now, None, &[]), Some(S3ErrorCode::AccessDenied));
        assert_eq!(admitted(now, None, &signed[..1]), Some(S3ErrorCode::AccessDenied));
        assert_eq!(admitted(now, None, &[("authorization", "AWS a:b"), signed[1]]), Some(S3ErrorCode::InvalidRequest));
        assert_eq!(admitted(now, Some("X-Amz-Signature=1"), &signed), Some(S3ErrorCode::NotImplemented));
        let huge = [signed[0], signed[1], ("content-length", "5368709121")];
        assert_eq!(admitted(now, None, &huge), Some(S3ErrorCode::EntityTooLarge));
    }
}
