//! pg_dump and pg_dumpall as sources of a stream.

use super::dump::Dump;
use super::globals::Globals;
use super::{Error, Result};
use crate::pipeline::stage::Source;

impl Source for Dump {
    type Error = Error;

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Self::read(self, buffer).await
    }
}

impl Source for Globals {
    type Error = Error;

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Self::read(self, buffer).await
    }
}
