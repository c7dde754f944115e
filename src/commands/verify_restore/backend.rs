//! Which release does the backend run that is attached to the restored database? One GET of one JSON document.

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::Value;

use crate::limits::{RELEASE_BYTES_MAX, RELEASE_SECONDS_MAX};
use crate::observe::chain;
use crate::verify::restored::Backend;

/// Where a backend tells its release.
#[derive(Clone, Debug)]
pub struct Place {
    /// A JSON document.
    pub url: String,
    /// The names on the way to the release in it.
    pub field: Vec<String>,
}

/// Asks. That there is no answer is an answer too: whoever names a backend wants it to be the right one.
pub(super) async fn ask(place: Place) -> Backend {
    let asking = tokio::time::timeout(Duration::from_secs(RELEASE_SECONDS_MAX), document(&place.url));
    let document = asking.await.unwrap_or_else(|_| Err(format!("no answer within {RELEASE_SECONDS_MAX} s")));
    let answer = document.and_then(|bytes| field(&bytes, &place.field));
    Backend { url: place.url, answer }
}

async fn document(url: &str) -> Result<Vec<u8>, String> {
    let mut request = HttpRequest::get(url).map_err(|error| chain(&error))?;
    request.headers_mut().insert("accept", "application/json");
    request.headers_mut().insert("user-agent", concat!("stonewal/", env!("CARGO_PKG_VERSION")));
    let response = connector(url)?.call(request).await.map_err(|error| chain(&error))?;
    let status = response.status().as_u16();
    match status {
        200 => body(response).await,
        // Somebody else's word is not the backend's.
        300..=399 => Err(format!("it answers {status} and sends elsewhere, where nothing is asked")),
        _ => Err(format!("it answers {status}")),
    }
}

async fn body(response: HttpResponse) -> Result<Vec<u8>, String> {
    let mut body = ByteStream::new(response.into_body());
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| chain(&error))?);
        if bytes.len() > RELEASE_BYTES_MAX {
            return Err(format!("its document is longer than {RELEASE_BYTES_MAX} bytes"));
        }
    }
    Ok(bytes)
}

/// TLS by the system's roots; the proxy of the environment, except towards the local host.
fn connector(url: &str) -> Result<Connector, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split('/').next().unwrap_or(rest);
    let local = host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]");
    let proxy = if local { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
    let builder = Connector::builder().proxy_config(proxy);
    if scheme == "http" {
        return Ok(builder.build_http());
    }
    // The client takes a host without roots for a programming error.
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err("this host has no certificate authorities (SSL_CERT_FILE)".into());
    }
    let tls = TlsContext::builder().build().map_err(|error| chain(&error))?;
    Ok(builder.tls_provider(Provider::rustls(CryptoMode::Ring)).tls_context(tls).build())
}

/// The text or number at the end of the way.
fn field(bytes: &[u8], way: &[String]) -> Result<String, String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|_| "its document is not JSON".to_owned())?;
    let mut value = Some(&document);
    for name in way {
        value = match value {
            Some(Value::Object(members)) => members.get(name),
            Some(Value::Array(items)) => name.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
    }
    match value {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err(format!("its document has no text at {}", way.join("."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_text_or_a_number_at_the_end_of_the_way() {
        let document = br#"{"buildMetadata": {"commitHash": "abc", "number": 7, "none": null, "list": [{"a": "b"}]}}"#;
        let get = |way: &str| field(document, &way.split('.').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(get("buildMetadata.commitHash").as_deref(), Ok("abc"));
        assert_eq!(get("buildMetadata.number").as_deref(), Ok("7"));
        assert_eq!(get("buildMetadata.list.0.a").as_deref(), Ok("b"));
        for nothing in
            ["buildMetadata", "buildMetadata.none", "commitHash", "buildMetadata.list.1", "buildMetadata.commitHash.x"]
        {
            assert!(get(nothing).is_err_and(|why| why.contains(nothing)), "{nothing}");
        }
        assert!(field(b"<html>", &["a".to_owned()]).is_err_and(|why| why.contains("not JSON")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_says_nothing_does_not_run_the_release() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let backend = ask(Place { url, field: vec!["a".to_owned()] }).await;
        assert!(backend.answer.is_err_and(|why| why.contains("no answer within")));
    }
}
