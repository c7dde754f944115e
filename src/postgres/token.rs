//! Names that nobody else uses: markers and application names.

use ring::rand::SecureRandom as _;

use super::{Error, Result};

/// 16 random hexadecimal digits.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0_u8; 8];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Unsupported { what: "the system has no random numbers".into() })?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}
