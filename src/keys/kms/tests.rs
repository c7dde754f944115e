use std::sync::Mutex;

use async_trait::async_trait;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;

use super::*;
use crate::format::{KeyId, RepositoryId, WriterPublic};
use crate::keys::{Identity, Keyring, Recipient, data_key, unwrap, wrap};

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/mrk-0123456789abcdef";

/// Made by another program, from the text of docs/FORMAT.md: a public half, what it agrees on with the stanza's point, the
/// data key, and its wrap.
const POINT: &str = "BBbXiqlUKOVAv4nOGr_fFk-_7sjJICmVtCUo0Z4P2HzRm5bf4Koyo5UMyjTwlC_q1jbu0qopvg1aIReYTV5moq0";
const AGREED: [u8; 32] = [
    0xce, 0x8e, 0x25, 0x17, 0xc0, 0xcd, 0x19, 0xb4, 0x03, 0xdd, 0xdd, 0x22, 0x1b, 0x18, 0xd2, 0x86, 0x26, 0x15, 0x49,
    0xbb, 0x74, 0xff, 0xf1, 0xd0, 0x98, 0x37, 0x64, 0x26, 0xde, 0x7f, 0x9f, 0x9f,
];
const KEY_ID: &str = "8bdb2bf9eebeba839bbc0aa8d403fc2b";
const WRAP: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IGF3cy1rbXMtcDI1NiBsWXkyWmcgQkVURk5takFtQjhGTkx3bllHdHZFQnN0RDIrNUJ6cU5JOTlZNDA5REVXR0xJcmVBazVTYjVIRmw1dy95TWV2eU9rbTZ1bUQxbk9mUHBXd2U3SVhnY0pRCnhadkZQU2VTQWduUUtxQzI1TnRhaStDSDNkVnlBY1lMMDB0SG01THI1KzQKLS0tIDRxK21UQUs2WjVocnExdlAvR0FVbVZEUHRUdng4TzFnWmRLb1NvNmdSZFEKEBESExQVFhcYGRobHB0eH+HcWblat3+b8Pt0QATUQx/qUzcbVRUAUDj9gX3tuuXDikoKTGJOkbnVj08lqMSfxQ==";

/// A secret half that agrees once and is gone then, as ring's are.
struct Once(Mutex<Option<EphemeralPrivateKey>>);

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl Once {
    fn new() -> (std::sync::Arc<Self>, KmsKey) {
        let secret = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let key = KmsKey::new(ARN, secret.compute_public_key().unwrap().as_ref()).unwrap();
        (std::sync::Arc::new(Self(Mutex::new(Some(secret)))), key)
    }
}

#[async_trait]
impl Agreement for Once {
    async fn agree(&self, key: &KmsKey, point: &Point) -> Result<Agreed, KmsError> {
        let secret = self.0.lock().unwrap().take();
        let secret = secret.ok_or_else(|| KmsError::OutOfUse { key: key.arn().into(), said: "used".into() })?;
        let theirs = UnparsedPublicKey::new(&ECDH_P256, point);
        Ok(agree_ephemeral(secret, &theirs, |secret| Agreed::new(secret).unwrap()).unwrap())
    }
}

fn golden() -> (KmsKey, Vec<u8>, KeyId) {
    let key = format!("{PREFIX}{POINT}:{ARN}").parse().unwrap();
    (key, STANDARD.decode(WRAP).unwrap(), KEY_ID.parse().unwrap())
}

#[tokio::test]
async fn a_wrap_opens_with_one_answer_and_beside_other_recipients() {
    let (service, kms) = Once::new();
    let (operator, data) = (Identity::generate(), data_key().unwrap());
    let wrapped = wrap(&data, &[operator.recipient(), kms.clone().into()]).unwrap();
    assert_eq!(unwrap(&wrapped, &[operator], data.id()).unwrap().expose(), data.expose());
    let refused = unwrap(&wrapped, &[], data.id()).unwrap_err();
    assert!(matches!(refused, Error::NotARecipient { .. }), "{refused}");

    let door = Door::new(Some(service));
    for _ in 0..2 {
        assert_eq!(door.open(&kms, &wrapped, data.id()).await.unwrap().expose(), data.expose(), "it is asked once");
    }
    let others = wrap(&data, &[Identity::generate().recipient(), Once::new().1.into()]).unwrap();
    let refused = door.open(&kms, &others, data.id()).await.unwrap_err();
    assert!(matches!(refused, Error::NotARecipient { .. }), "KMS is not asked for others: {refused}");
    let again = wrap(&data, &[kms.clone().into()]).unwrap();
    let refused = door.open(&kms, &again, data.id()).await.unwrap_err();
    assert!(refused.is_of_kms() && refused.to_string().contains("out of use"), "{refused}");
    let refused = Door::new(None).open(&kms, &again, data.id()).await.unwrap_err();
    assert!(matches!(refused, Error::NoKms) && refused.to_string().contains("feature `kms`"), "{refused}");
}

#[tokio::test]
async fn planted_and_damaged_wraps_are_found_out() {
    let (kms, wrapped, id) = golden();
    let point = kms.question(&wrapped).unwrap().unwrap();
    let agreed = Agreed::new(&AGREED).unwrap();
    for i in 0..wrapped.len() {
        let mut bent = wrapped.clone();
        bent[i] ^= 1;
        assert!(kms.unwrap(&bent, &point, &agreed, id).is_err(), "bit flip at {i}");
        assert!(kms.unwrap(&wrapped[..i], &point, &agreed, id).is_err(), "cut at {i}");
    }
    let (service, ours) = Once::new();
    let (wanted, planted) = (data_key().unwrap(), data_key().unwrap());
    let wrapped = wrap(&planted, &[ours.clone().into()]).unwrap();
    let refused = Door::new(Some(service)).open(&ours, &wrapped, wanted.id()).await.unwrap_err();
    assert!(matches!(refused, Error::WrongKey { .. }), "{refused}");
}

/// docs/FORMAT.md, section 5.
#[test]
fn a_wrap_of_another_program_opens() {
    let (kms, wrapped, id) = golden();
    let point = kms.question(&wrapped).unwrap().expect("a stanza for the key");
    let key = kms.unwrap(&wrapped, &point, &Agreed::new(&AGREED).unwrap(), id).unwrap();
    assert_eq!(key.expose(), &std::array::from_fn::<u8, 32, _>(|i| 100 + u8::try_from(i).unwrap()));
    let refused = kms.unwrap(&wrapped, &point, &Agreed::new(&[7; 32]).unwrap(), id).unwrap_err();
    assert!(matches!(refused, Error::NotARecipient { .. }), "{refused}");
}

#[test]
fn recipients_are_read_as_they_are_written() {
    let text = format!("{PREFIX}{POINT}:{ARN}");
    let recipient: Recipient = text.parse().unwrap();
    assert_eq!((recipient.to_string(), recipient.kms().map(KmsKey::region)), (text.clone(), Some("eu-central-1")));
    assert_eq!(recipient.kms().unwrap().arn_in("us-east-1"), ARN.replace("eu-central-1", "us-east-1"));
    for bad in [
        text.replace("key/", "alias/"),
        text.replace(":kms:", ":s3:"),
        text.replace("key/mrk", "key/a b"),
        text.replace("BBbX", "BBbY"),
        text.replace("BBbX", "ABbX"),
        text.replace(POINT, ""),
        format!("{text}:more"),
        format!("{PREFIX}{POINT}"),
    ] {
        let refused = bad.parse::<Recipient>().unwrap_err();
        assert!(matches!(&refused, Error::BadRecipient { text } if *text == bad), "{bad}: {refused}");
    }
}

#[test]
fn i07_i13_a_kms_file_holds_no_secret_and_reads_without_publishing() {
    let (kms, ..) = golden();
    let file = KmsFile { repository: RepositoryId::new([3; 16]), root: WriterPublic::new([7; 32]), key: kms.clone() };
    let text = file.encode();
    assert!(KmsFile::is_one(&text) && KmsFile::decode(&text).unwrap() == file);
    let ring = Keyring::from_kms(file);
    assert!(ring.can_read_data() && ring.writer().is_err());
    assert_eq!((ring.reads_as(), ring.kms()), (vec![Recipient::from(kms.clone())], Some(&kms)));
    let carried = ring.reading_file().unwrap();
    assert_eq!(carried.expose_secret(), text.expose_secret(), "a recovery goes on with the same");
    let without = |gone: &str| -> String {
        text.expose_secret().split_inclusive('\n').filter(|line| !line.starts_with(gone)).collect()
    };
    assert_eq!(without("no line begins like this"), text.expose_secret());
    for gone in ["# repository", "# writer", PREFIX] {
        let cut = without(gone);
        assert!(cut.len() < text.expose_secret().len(), "{gone}");
        assert!(matches!(KmsFile::decode(&cut.into()), Err(Error::File { .. })), "{gone}");
    }
    assert!(!format!("{:?}", Agreed::new(&AGREED)).contains("206"));
}
