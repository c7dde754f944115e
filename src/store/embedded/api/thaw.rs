//! `RestoreObject`: asking an archive tier for an object.

use s3s::dto::{RestoreObjectInput, RestoreObjectOutput};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};

use super::super::frost::Answer;
use super::Api;

pub(super) async fn restore_object(api: &Api, request: S3Request<RestoreObjectInput>) -> S3Result<RestoreObjectOutput> {
    let input = request.input;
    let version = api.backend.find(&input.bucket, &input.key, input.version_id.as_deref())?;
    let wanted = input.restore_request.ok_or_else(|| s3_error!(MalformedXML))?;
    let tier = wanted.glacier_job_parameters.map(|how| how.tier).or(wanted.tier);
    let tier = tier.as_ref().map_or("Standard", |tier| tier.as_str());
    let now = api.backend.clock.now();
    match api.backend.frost.thaw(&version.key, &version.id, wanted.days, tier, now) {
        Answer::Taken => Ok(RestoreObjectOutput::default()),
        Answer::UnderWay => Err(s3_error!(RestoreAlreadyInProgress, "Object restore is already in progress")),
        Answer::NotFrozen => {
            let why = "Restore is not allowed for the object's current storage class";
            Err(S3Error::with_message(S3ErrorCode::InvalidObjectState, why))
        }
        Answer::BadDays => Err(s3_error!(MalformedXML, "Days are for objects that are copied out of an archive")),
        Answer::NotOffered => Err(s3_error!(InvalidArgument, "Expedited is not offered for this storage class")),
    }
}
