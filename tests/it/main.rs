//! Tests against real servers, one module per subject.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod support;
#[cfg(test)]
mod wire;
