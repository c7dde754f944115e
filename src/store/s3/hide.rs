//! Hiding an object: what deletes without a version really do in a versioned bucket.

use super::super::{ObjectKey, Result};
use super::S3;
use super::retry::Call;

impl S3 {
    /// `DeleteObject` without a version: lays a delete marker over the object, which a restore ignores. Only `doctor`
    /// asks for it, to tell that credentials allow it, and whoever plays an attacker.
    pub async fn hide(&self, key: &ObjectKey) -> Result<()> {
        let call = Call::key("s3:DeleteObject", key);
        let attempt = || async {
            let request = self.client.delete_object().bucket(&self.bucket).key(key.as_str());
            request.send().await.map_err(|error| self.failure(call, &error))
        };
        self.call(call, || self.patiently(call, attempt())).await?;
        Ok(())
    }
}
