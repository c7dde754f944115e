//! Files of `openssl enc -aes-256-cbc`: `Salted__`, eight bytes of salt, then blocks that nothing authenticates.
//!
//! The key and the first chaining value come from passphrase and salt, in a way that the file does not tell. What is
//! encrypted is known to be gzip, so the way that gives its first bytes is the one; one wrong passphrase in thirty million
//! passes by accident. What is wrong behind that is damage, not the passphrase.

use std::io::{self, Read};

use aes::cipher::{Block, BlockDecrypt as _, KeyInit as _};
use aes::{Aes256, Aes256Dec};
use ring::digest::{Context, SHA256, digest};
use ring::pbkdf2;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::format::hex;

const MAGIC: &[u8; 8] = b"Salted__";
const BLOCK_BYTES: usize = 16;
/// Blocks decrypted at once.
const BLOCKS: usize = 4096;
/// Key and chaining value.
const DERIVED_BYTES: usize = 48;

/// How openssl made a key of the passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Derivation {
    /// `-pbkdf2 -iter N`, with SHA-256.
    Pbkdf2(u32),
    /// Without `-pbkdf2`, by openssl 1.1 and newer.
    Sha256,
    /// Without `-pbkdf2`, by older ones, or with `-md md5`.
    Md5,
}

/// The ways that are tried, in this order, behind the one that was named.
const WAYS: [Derivation; 4] =
    [Derivation::Pbkdf2(100_000), Derivation::Pbkdf2(10_000), Derivation::Sha256, Derivation::Md5];

impl std::fmt::Display for Derivation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pbkdf2(rounds) => write!(f, "-pbkdf2 -iter {rounds}"),
            Self::Sha256 => f.write_str("-md sha256"),
            Self::Md5 => f.write_str("-md md5"),
        }
    }
}

impl Derivation {
    fn derive(self, passphrase: &SecretString, salt: [u8; 8]) -> Zeroizing<[u8; DERIVED_BYTES]> {
        let secret = passphrase.expose_secret().as_bytes();
        let mut out = Zeroizing::new([0; DERIVED_BYTES]);
        match self {
            Self::Pbkdf2(rounds) => {
                let rounds = std::num::NonZeroU32::new(rounds).unwrap_or(std::num::NonZeroU32::MIN);
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, secret, &mut *out);
            }
            Self::Sha256 => stretch(&mut *out, secret, &salt, |text| digest(&SHA256, text).as_ref().to_vec()),
            Self::Md5 => stretch(&mut *out, secret, &salt, |text| {
                use md5::Digest as _;
                md5::Md5::digest(text).to_vec()
            }),
        }
        out
    }
}

/// `EVP_BytesToKey` with one round: each digest is over the one before, the passphrase and the salt.
fn stretch(out: &mut [u8], secret: &[u8], salt: &[u8], hash: impl Fn(&[u8]) -> Vec<u8>) {
    let (mut filled, mut last) = (0, Zeroizing::new(Vec::new()));
    while filled < out.len() {
        let text = Zeroizing::new([last.as_slice(), secret, salt].concat());
        last = Zeroizing::new(hash(&text));
        let count = last.len().min(out.len() - filled);
        out[filled..filled + count].copy_from_slice(&last[..count]);
        filled += count;
    }
}

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Refused {
    /// It cannot be read.
    Io(io::Error),
    /// It is something else.
    NotOurs(&'static str),
    /// None of the ways gives what must be in it.
    WrongPassphrase,
}

/// Reads what is in the file. Its end is the end only if the padding says so.
pub(super) struct Decrypt<R> {
    inner: R,
    cipher: Aes256Dec,
    /// The block before, as it is in the file.
    chain: [u8; BLOCK_BYTES],
    /// Read and not yet decrypted.
    pending: Vec<u8>,
    plain: Vec<u8>,
    at: usize,
    ended: bool,
    hash: Context,
}

impl<R: Read> Decrypt<R> {
    /// Reads the beginning and finds the way that fits; `iterations` of PBKDF2 are tried first.
    pub(super) fn open(
        mut inner: R,
        passphrase: &SecretString,
        iterations: Option<u32>,
    ) -> Result<(Self, Derivation), Refused> {
        let mut head = [0; 2 * BLOCK_BYTES];
        let count = fill(&mut inner, &mut head).map_err(Refused::Io)?;
        if head.starts_with(&[0x1f, 0x8b]) {
            return Err(Refused::NotOurs("it is gzip and not encrypted"));
        }
        if !head.starts_with(MAGIC) {
            return Err(Refused::NotOurs("it does not begin as `openssl enc -salt` writes it"));
        }
        if count < head.len() {
            return Err(Refused::NotOurs("it is cut off behind its salt"));
        }
        let mut salt = [0; 8];
        salt.copy_from_slice(&head[8..16]);
        let first = &head[BLOCK_BYTES..];
        let fitting = iterations.map(Derivation::Pbkdf2).into_iter().chain(WAYS).find_map(|way| {
            let derived = way.derive(passphrase, salt);
            let cipher = Aes256Dec::new_from_slice(&derived[..32]).ok()?;
            let mut chain = [0; BLOCK_BYTES];
            chain.copy_from_slice(&derived[32..]);
            looks_like_gzip(&cipher, chain, first).then_some((way, cipher, chain))
        });
        let Some((way, cipher, chain)) = fitting else { return Err(Refused::WrongPassphrase) };
        let mut hash = Context::new(&SHA256);
        hash.update(&head);
        let pending = first.to_vec();
        Ok((Self { inner, cipher, chain, pending, plain: Vec::new(), at: 0, ended: false, hash }, way))
    }

    /// SHA-256 of the file, once it has been read to its end.
    pub(super) fn digest(self) -> String {
        hex(self.hash.finish().as_ref())
    }

    /// Decrypts what has been read; the last block is held back until it is known whether it is the last.
    fn advance(&mut self) -> io::Result<()> {
        let start = self.pending.len();
        self.pending.resize(BLOCKS * BLOCK_BYTES, 0);
        let count = fill(&mut self.inner, &mut self.pending[start..])?;
        self.hash.update(&self.pending[start..start + count]);
        self.ended = start + count < self.pending.len();
        self.pending.truncate(start + count);
        if self.ended && !self.pending.len().is_multiple_of(BLOCK_BYTES) {
            return Err(damaged("it does not end with a whole block"));
        }
        let keep = if self.ended { 0 } else { BLOCK_BYTES };
        let ready = self.pending.len() - keep;
        self.decrypt(ready);
        if self.ended {
            self.unpad()?;
        }
        Ok(())
    }

    fn decrypt(&mut self, ready: usize) {
        let ciphertext: Vec<u8> = self.pending.drain(..ready).collect();
        let mut blocks: Vec<Block<Aes256>> =
            ciphertext.chunks_exact(BLOCK_BYTES).map(Block::<Aes256>::clone_from_slice).collect();
        self.cipher.decrypt_blocks(&mut blocks);
        self.plain.clear();
        self.at = 0;
        for (block, own) in blocks.iter().zip(ciphertext.chunks_exact(BLOCK_BYTES)) {
            self.plain.extend(block.iter().zip(self.chain).map(|(byte, link)| byte ^ link));
            self.chain.copy_from_slice(own);
        }
    }

    /// The last block says in each of its last bytes how many they are.
    fn unpad(&mut self) -> io::Result<()> {
        let count = usize::from(*self.plain.last().unwrap_or(&0));
        let fits = (1..=BLOCK_BYTES).contains(&count) && count <= self.plain.len();
        let start = self.plain.len().saturating_sub(count);
        if !fits || self.plain[start..].iter().any(|byte| usize::from(*byte) != count) {
            return Err(damaged("its last block is not the last one of a whole file"));
        }
        self.plain.truncate(start);
        Ok(())
    }
}

impl<R: Read> Read for Decrypt<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() && !self.ended {
            self.advance()?;
        }
        let count = buffer.len().min(self.plain.len() - self.at);
        buffer[..count].copy_from_slice(&self.plain[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// A gzip header: magic, deflate, no reserved flags.
fn looks_like_gzip(cipher: &Aes256Dec, chain: [u8; BLOCK_BYTES], first: &[u8]) -> bool {
    let mut block = Block::<Aes256>::clone_from_slice(first);
    cipher.decrypt_block(&mut block);
    let plain: Vec<u8> = block.iter().zip(chain).map(|(byte, link)| byte ^ link).collect();
    plain.starts_with(&[0x1f, 0x8b, 0x08]) && plain[3] & 0xe0 == 0
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads until the buffer is full or the input ends.
fn fill(inner: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match inner.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
