//! The operations: one method each, handed to the module of its subject.

use std::sync::Arc;

use s3s::{S3, S3Error, S3Request, S3Response, S3Result, dto};

use super::backend::Backend;

mod bucket;
#[macro_use]
mod convert;
mod delete;
mod get;
mod list;
mod lock;
mod multipart;
mod put;
mod settings;
mod thaw;
mod uploads;

/// The service behind the HTTP layer.
#[derive(Clone, Debug)]
pub(super) struct Api {
    backend: Arc<Backend>,
}

impl Api {
    pub(super) fn new(backend: Backend) -> Self {
        Self { backend: Arc::new(backend) }
    }

    /// Runs what touches the disk on a blocking thread. A client that goes away does not undo it.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Backend) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let backend = self.backend.clone();
        tokio::task::spawn_blocking(move || work(&backend)).await.map_err(S3Error::internal_error)?
    }
}

/// Writes a method of the trait as a call of the function with the same name.
macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ident in $module:ident;)*) => {
        #[async_trait::async_trait]
        impl S3 for Api {
            $(async fn $name(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                $module::$name(self, request).await.map(S3Response::new)
            })*
        }
    };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput in bucket;
    create_bucket(CreateBucketInput) -> CreateBucketOutput in bucket;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput in bucket;
    head_bucket(HeadBucketInput) -> HeadBucketOutput in bucket;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput in bucket;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput in bucket;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput in bucket;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput in bucket;
    put_object_lock_configuration(PutObjectLockConfigurationInput) -> PutObjectLockConfigurationOutput in bucket;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput in settings;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput in settings;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput in settings;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput in settings;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput in settings;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput in settings;
    put_object(PutObjectInput) -> PutObjectOutput in put;
    get_object(GetObjectInput) -> GetObjectOutput in get;
    head_object(HeadObjectInput) -> HeadObjectOutput in get;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput in delete;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput in delete;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output in list;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput in list;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput in lock;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput in lock;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput in lock;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput in lock;
    restore_object(RestoreObjectInput) -> RestoreObjectOutput in thaw;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput in multipart;
    upload_part(UploadPartInput) -> UploadPartOutput in multipart;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput in multipart;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput in multipart;
    list_parts(ListPartsInput) -> ListPartsOutput in multipart;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput in uploads;
}
