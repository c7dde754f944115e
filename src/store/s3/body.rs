//! Upload bodies that show their progress.
//!
//! A body in memory would go to the connection in one piece, and a connection that died under it would look like one that
//! is merely slow. So the body is handed out in small frames, just before sending and after signing, and whoever waits
//! for the answer can tell "still moving" from "stalled" whatever the size of the object and the speed of the line.
//!
//! The signature covers the SHA-256 of the body (S3 API, "Signature Calculations for the Authorization Header"). Whoever has it
//! already hands it over, and the signer reads no body.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::limits::STORE_UPLOAD_FRAME_BYTES;
use crate::store::types::hex;

/// The body of one try of an upload and the count of bytes that the connection has taken of it.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    body: Bytes,
    taken: Arc<AtomicU64>,
    sha256: Option<[u8; 32]>,
}

/// Nothing moved for this long.
#[derive(Debug)]
pub(super) struct Stalled;

impl Upload {
    /// Shares `body`, without copying it.
    pub(super) fn new(body: Bytes) -> Self {
        Self { body, taken: Arc::default(), sha256: None }
    }

    /// To be signed with `sha256`, if that is known.
    pub(super) fn hashed(self, sha256: Option<[u8; 32]>) -> Self {
        Self { sha256, ..self }
    }

    /// Waits for `request` as long as bytes keep moving, and `patience` (at most twice that) after the last one.
    pub(super) async fn watch<F: Future>(&self, patience: Duration, request: F) -> Result<F::Output, Stalled> {
        tokio::pin!(request);
        let mut seen = 0;
        let mut limit = Instant::now() + patience;
        loop {
            tokio::select! {
                output = &mut request => return Ok(output),
                () = sleep_until(limit) => {
                    let now = self.taken.load(Ordering::Relaxed);
                    if now == seen {
                        return Err(Stalled);
                    }
                    seen = now;
                    limit = Instant::now() + patience;
                }
            }
        }
    }
}

#[dyn_dispatch_hint]
impl Intercept for Upload {
    fn name(&self) -> &'static str {
        "Upload"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(sha256) = &self.sha256 {
            config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(hex(sha256)));
        }
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let framed = Framed { rest: self.body.clone(), taken: self.taken.clone() };
        *context.request_mut().body_mut() = SdkBody::from_body_1_x(framed);
        Ok(())
    }
}

struct Framed {
    rest: Bytes,
    taken: Arc<AtomicU64>,
}

impl Body for Framed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let frame = this.rest.split_to(this.rest.len().min(STORE_UPLOAD_FRAME_BYTES));
        this.taken.fetch_add(frame.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_request_without_progress_stalls() {
        let started = Instant::now();
        assert!(Upload::new(Bytes::from_static(b"x")).watch(PATIENCE, pending::<()>()).await.is_err());
        assert_eq!(started.elapsed(), PATIENCE);
    }

    /// A line that takes one frame every 50 s is slow, not stalled, however long the whole body takes.
    #[tokio::test(start_paused = true)]
    async fn slow_progress_is_waited_for_and_its_end_is_noticed() {
        let body = Bytes::from(vec![7; 40 * STORE_UPLOAD_FRAME_BYTES]);
        let upload = Upload::new(body.clone());
        let mut framed = Framed { rest: body, taken: upload.taken.clone() };
        let started = Instant::now();
        let request = async {
            let mut count = 0;
            while poll_fn(|context| Pin::new(&mut framed).poll_frame(context)).await.is_some() {
                tokio::time::sleep(Duration::from_secs(50)).await;
                count += 1;
            }
            assert_eq!(count, 40);
            // The answer never comes.
            pending::<()>().await;
        };
        assert!(upload.watch(PATIENCE, request).await.is_err());
        let elapsed = started.elapsed().as_secs();
        assert!((2_000..=2_000 + 2 * 60).contains(&elapsed), "{elapsed} s");
    }
}
