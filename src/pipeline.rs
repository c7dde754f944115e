//! Streams in motion: frames cut, compressed and sealed on the way out; fetched, verified and opened on the way back.

pub mod stage;
