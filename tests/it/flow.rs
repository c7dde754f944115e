//! The whole flow: databases through the commands into an Object-Locked bucket and back, in good times and bad.

mod attack;
mod audit;
mod clock;
mod copying;
mod damage;
mod forge;
mod ground;
mod imports;
mod keys;
#[cfg(feature = "kms")]
mod kms;
mod lifecycle;
mod memory;
mod network;
mod promote;
mod refusing;
mod retain;
mod rotation;
mod roundtrip;
mod secrecy;
mod stage;
mod tables;
