//! What is watched and corrected on every request and answer, below the operations of the SDK.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use jiff::Timestamp;

use super::super::StoreClock;
use super::Checksum;

/// Whether the store has ever answered.
#[derive(Debug, Default)]
pub(super) struct Contact(AtomicBool);

impl Contact {
    pub(super) fn made(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes the store's time from the `Date` header of every answer, errors included.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) clock: Arc<StoreClock>,
    pub(super) contact: Arc<Contact>,
}

#[dyn_dispatch_hint]
impl Intercept for Observer {
    fn name(&self) -> &'static str {
        "StoreClockObserver"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.contact.0.store(true, Ordering::Relaxed);
        let headers = context.response().headers();
        // An `Age` header marks an answer from a cache, whose date is old (RFC 9111, section 5.1).
        if headers.get("age").is_none()
            && let Some(date) = headers.get("date").and_then(|date| DateTime::from_str(date, Format::HttpDate).ok())
            && let Ok(store_now) = Timestamp::new(date.secs(), 0)
        {
            self.clock.observe(store_now);
        }
        Ok(())
    }
}

/// The store's time as the SDK's time.
#[derive(Clone, Debug)]
pub(super) struct StoreTime(pub(super) Arc<StoreClock>);

impl TimeSource for StoreTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.0.now().as_duration().unsigned_abs()
    }
}

/// Requests with an XML document (retention, versioning) need a checksum too (S3 API Reference, PutObjectRetention). The
/// SDK would choose CRC32, which older stores do not know; they get the one configured for objects.
#[derive(Debug)]
pub(super) struct DocumentChecksum(pub(super) Checksum);

/// Any header of this family keeps the SDK from adding its own; this one is taken out again before signing.
const PLACEHOLDER: &str = "x-amz-checksum-placeholder";

#[dyn_dispatch_hint]
impl Intercept for DocumentChecksum {
    fn name(&self) -> &'static str {
        "DocumentChecksum"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if request.headers().get("content-type") == Some("application/xml")
            && let Some(sum) = request.body().bytes().filter(|body| !body.is_empty()).map(|body| self.0.of(body))
        {
            request.headers_mut().insert(self.0.header(), sum);
            if let Some(algorithm) = self.0.algorithm() {
                request.headers_mut().insert("x-amz-sdk-checksum-algorithm", algorithm);
            }
            request.headers_mut().insert(PLACEHOLDER, "x");
        }
        Ok(())
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().remove(PLACEHOLDER);
        Ok(())
    }
}
