//! archive_command in a real server, and every byte back.

use stonewal::store::roles::Role;

use super::world::{World, archived, switch, wal_file};

/// Finished segments come back byte for byte, whatever their size.
async fn come_back(test: &str, segment_mib: u32, segments: usize) {
    let Some(world) = World::new(test).await else { return };
    let server = world.server("pg", segment_mib, true).await;
    let mut names = Vec::new();
    for _ in 0..segments {
        names.push(switch(&server).await);
    }
    archived(&server, names.last().unwrap()).await;
    for name in &names {
        world.fetch(name, "restored").await.good();
        let (was, is) = (std::fs::read(wal_file(&server, name)).unwrap(), world.fetched("restored"));
        assert!(was == is, "{name} came back otherwise");
    }
    let pieces = u64::from(segment_mib.div_ceil(16)) * segments as u64;
    let stored = world.objects("/wal/00000001/0").await;
    assert!(stored.len() as u64 >= pieces, "{} objects of {pieces}", stored.len());
    // E7: what is mostly empty costs next to nothing.
    for piece in &stored[usize::try_from(segment_mib.div_ceil(16)).unwrap()..] {
        assert!(piece.bytes < 64 << 10, "{} has {} bytes", piece.key, piece.bytes);
    }
    let verified = world.run("wal verify --level full --json", Role::Reader, Some("recovery"), &[]).await.good();
    let timeline = &verified.json()["clusters"][0]["timelines"][0];
    assert_eq!(timeline["missing_count"], 0);
    assert_eq!(timeline["windows"].as_array().unwrap().len(), 1);
    // What did not happen: a delete, a key written twice.
    let requests = world.requests();
    assert!(requests.iter().all(|(action, ..)| !action.contains("Delete")));
    let mut put: Vec<_> = requests.iter().filter(|(a, s, _)| a == "PutObject" && *s == 200).map(|(.., k)| k).collect();
    let all = put.len();
    put.sort();
    put.dedup();
    assert_eq!(put.len(), all, "a key was written twice");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fifty_segments_of_1_mib() {
    come_back("fifty_segments_of_1_mib", 1, 50).await;
}

#[tokio::test]
async fn segments_of_16_mib() {
    come_back("segments_of_16_mib", 16, 3).await;
}

#[tokio::test]
async fn segments_of_64_mib_in_pieces() {
    come_back("segments_of_64_mib_in_pieces", 64, 2).await;
}
