//! What is made of AWS KMS's answers, where LocalStack gives none of the kind.

use stonewal::keys::{Error, KmsError};
use stonewal::kms::{KmsOptions, look_up};
use stonewal::store::StaticCredentials;

use super::SECRET;
use crate::support::scripted::{Reply, Scripted};

const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/1";

async fn answered(reply: Reply) -> (KmsError, String) {
    let server = Scripted::start(move |_, _| reply.clone()).await;
    let (access_key, secret_key) = ("AKIAWIRE".into(), SECRET.to_owned().into());
    let options = KmsOptions {
        endpoint: Some(server.endpoint().to_owned()),
        credentials: Some(StaticCredentials { access_key, secret_key, session_token: None }),
        ..KmsOptions::default()
    };
    let Err(Error::Kms(error)) = look_up(&options, ARN).await else { panic!("KMS refuses") };
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].header("x-amz-target")), (1, Some("TrentService.GetPublicKey")));
    (error, seen[0].header("authorization").unwrap_or_default().to_owned())
}

fn refusal(code: &str) -> Reply {
    let body = format!("{{\"__type\":\"{code}\",\"message\":\"says the script.\"}}");
    Reply::new(400).with("content-type", "application/x-amz-json-1.1").with_body(body)
}

#[tokio::test]
async fn kms_is_asked_in_the_region_of_the_key_and_its_refusals_are_told_apart() {
    let (denied, authorization) = answered(refusal("AccessDeniedException")).await;
    assert!(authorization.contains("/eu-west-1/kms/"), "{authorization}");
    assert!(matches!(&denied, KmsError::Denied { said, .. } if said.contains("says the script")), "{denied}");
    let (disabled, _) = answered(refusal("DisabledException")).await;
    assert!(matches!(disabled, KmsError::OutOfUse { .. }), "{disabled}");
    let (unknown, _) = answered(refusal("UnrecognizedClientException")).await;
    assert!(matches!(unknown, KmsError::Credentials { .. }), "{unknown}");
    let bare = Reply::new(200).with("content-type", "application/x-amz-json-1.1").with_body("{}");
    let (odd, _) = answered(bare).await;
    assert!(matches!(odd, KmsError::Refused { .. }), "{odd}");
}
