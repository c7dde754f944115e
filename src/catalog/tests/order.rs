//! Which backup is the latest.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::world::{Scripted, back_up, bucket, cluster, host, open, plain};

/// Ids tell whole seconds, and their random ends no order.
#[tokio::test]
async fn the_latest_backup_is_the_latest_within_a_second_too() {
    let store = Arc::new(bucket(1000));
    let repository = open(store.clone(), host()).await.unwrap();
    for _ in 0..24 {
        let source = Scripted::good(plain(3, 1000));
        let made = back_up(&store, &repository, source, 1, &CancellationToken::new()).await.unwrap();
        let (latest, _) = repository.latest(&cluster()).await.unwrap();
        assert_eq!(latest.clear().backup, made.clear.backup);
    }
}
