//! Waiting for servers without being deaf to the operator.

use tokio_util::sync::CancellationToken;

use super::{Error, Result};

/// Does `work`, or drops it half-way when `cancel` is cancelled. For steps that hold nothing which needs an orderly end.
pub(super) async fn unless_interrupted<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Interrupted),
        done = work => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_never_ends_is_dropped_and_one_that_ends_is_kept() {
        let cancel = CancellationToken::new();
        assert_eq!(unless_interrupted(&cancel, async { Ok(1) }).await.unwrap(), 1);
        cancel.cancel();
        let never = unless_interrupted(&cancel, std::future::pending::<Result<()>>()).await;
        assert!(matches!(never, Err(Error::Interrupted)));
    }
}
