//! Users: an access key, a secret, a role, perhaps a session that expires.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::disk;
use super::model::random_id;
use crate::store::roles::Role;

/// What a client needs to sign requests.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Public half.
    pub access_key: String,
    /// Signing secret.
    pub secret_key: SecretString,
}

/// A user beside those that every server has, one per role.
#[derive(Clone, Debug)]
pub struct User {
    /// How the user signs.
    pub credentials: Credentials,
    /// What the user may do.
    pub role: Role,
    /// Temporary credentials: the token must come with each request, and not after its end.
    pub session: Option<Session>,
}

/// Temporary credentials as STS gives them out.
#[derive(Clone, Debug)]
pub struct Session {
    /// Sent as `x-amz-security-token`.
    pub token: SecretString,
    /// From this moment (store time) the answer is `ExpiredToken`.
    pub expires: Timestamp,
}

/// Everyone the server knows, by access key.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_access_key: HashMap<String, User>,
    by_role: HashMap<Role, Credentials>,
}

/// The form in `users.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    role: Role,
    access_key: String,
    secret_key: String,
}

impl Users {
    /// The users of this root, made at the first start, and `extra` ones that are not stored.
    pub(super) fn load(path: &Path, extra: Vec<User>) -> io::Result<Self> {
        let mut stored: Vec<Stored> = disk::read_json(path)?.unwrap_or_default();
        let before = stored.len();
        for role in Role::ALL {
            if !stored.iter().any(|user| user.role == role) {
                let access_key = format!("STONEWAL{}", random_id()?[..12].to_ascii_uppercase());
                let secret_key = format!("{}{}", random_id()?, &random_id()?[..8]);
                stored.push(Stored { role, access_key, secret_key });
            }
        }
        if stored.len() != before {
            disk::write_json(path, &stored)?;
        }
        let mut users = Self::default();
        for Stored { role, access_key, secret_key } in stored {
            let credentials = Credentials { access_key, secret_key: secret_key.into() };
            users.by_role.insert(role, credentials.clone());
            users.insert(User { credentials, role, session: None });
        }
        for user in extra {
            users.insert(user);
        }
        Ok(users)
    }

    fn insert(&mut self, user: User) {
        self.by_access_key.insert(user.credentials.access_key.clone(), user);
    }

    pub(super) fn get(&self, access_key: &str) -> Option<&User> {
        self.by_access_key.get(access_key)
    }

    pub(super) fn of_role(&self, role: Role) -> Option<&Credentials> {
        self.by_role.get(&role)
    }
}

/// The signature check asks here for the secret.
#[derive(Clone)]
pub(super) struct Auth(pub(super) std::sync::Arc<Users>);

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

#[async_trait::async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let user = self.0.get(access_key).ok_or_else(|| {
            s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.")
        })?;
        Ok(SecretKey::from(user.credentials.secret_key.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn users_survive_restarts_and_never_print() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("users.json");
        let first = Users::load(&path, Vec::new()).unwrap();
        let again = Users::load(&path, Vec::new()).unwrap();
        for role in Role::ALL {
            let (a, b) = (first.of_role(role).unwrap(), again.of_role(role).unwrap());
            assert_eq!((&a.access_key, a.secret_key.expose_secret()), (&b.access_key, b.secret_key.expose_secret()));
            assert!(!format!("{first:?}").contains(a.secret_key.expose_secret()));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
