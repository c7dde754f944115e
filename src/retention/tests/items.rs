//! What names are.

use crate::format::names::{Names, WalName};
use crate::format::wal::WalRange;
use crate::format::{ClusterName, KeyId, Lsn, Tag, Timeline, WalFileName, WriterPublic};
use crate::retention::Item;

#[test]
fn every_name_of_ours_is_known_for_what_it_is() {
    for prefix in ["p/q", ""] {
        let names = Names::new(prefix).unwrap();
        let cluster: ClusterName = "main".parse().unwrap();
        let (tag, key) = (Tag::new([7; 8]), KeyId::new([1; 16]));
        let id: crate::format::BackupId = "20261124T031500Z-5b0c6f2e".parse().unwrap();
        let timeline = Timeline::new(3).unwrap();
        let range = WalRange { start: Lsn::new(0x300_0000), end: Lsn::new(0x400_0000) };
        let stream = "base".parse().unwrap();
        let wal = |name: WalName| names.wal(&cluster, &name);
        let backup_history: WalFileName = "000000030000000A000000FF.00000028.backup".parse().unwrap();
        let WalFileName::BackupHistory(segment, _) = backup_history else { panic!("not a backup history file") };
        let file = |name, tag| wal(WalName::File { timeline, name, tag });
        let history = WalFileName::History(timeline);
        let prefix = names.prefix();
        for (name, item) in [
            (names.repository(), Item::Foundation),
            (names.identity(tag, tag), Item::Foundation),
            (names.writer(&WriterPublic::new([4; 32]).id(), tag), Item::Foundation),
            (names.wrap(key, tag), Item::Wrap(key)),
            (names.manifest(&cluster, &id, tag), Item::Backup(id.clone())),
            (names.chunk(&cluster, &id, &stream, 12, tag), Item::Backup(id.clone())),
            (format!("{}junk", names.backup(&cluster, &id)), Item::Backup(id.clone())),
            (wal(WalName::Piece { timeline, range, tag: None }), Item::Piece { timeline, range }),
            (wal(WalName::Piece { timeline, range, tag: Some(tag) }), Item::Piece { timeline, range }),
            (wal(WalName::Partial { timeline, range, tag }), Item::Partial { timeline, range }),
            (wal(WalName::Gap { timeline, range, tag }), Item::Gap(timeline)),
            (file(history, None), Item::History(timeline)),
            (file(history, Some(tag)), Item::History(timeline)),
            (file(backup_history, None), Item::Notes(segment)),
            (names.cluster_record(&cluster), Item::ClusterRecord),
            (names.cluster_record_alternate(&cluster, tag), Item::ClusterRecord),
            (format!("{prefix}main/evidence/x"), Item::Evidence),
            (format!("{prefix}audit/2026-11/x"), Item::Audit),
            (names.canary(tag), Item::Canary),
            (names.cluster_record(&"other".parse().unwrap()), Item::OtherCluster("other".parse().unwrap())),
        ] {
            assert_eq!(Item::of(&names, &cluster, &name), item, "{name}");
            let in_folder = name.starts_with(&format!("{prefix}main/")).then(|| cluster.clone());
            let owned = match item {
                Item::OtherCluster(other) => (Some(other), Item::ClusterRecord),
                item => (in_folder, item),
            };
            assert_eq!(Item::with_owner(&names, &name), owned, "{name}");
        }
    }
}

#[test]
fn every_other_name_is_not_known() {
    let names = Names::new("p").unwrap();
    let cluster: ClusterName = "main".parse().unwrap();
    for name in [
        "",
        "p",
        "p/",
        "q/repository",
        "p/repositoryx",
        "p/repository/x",
        "p/x",
        "p/Main/x",
        "p/keys/x",
        "p/keys/01010101010101010101010101010101/x.age",
        "p/keys/01010101010101010101010101010101/0707070707070707",
        "p/identities/x",
        "p/writers/0101010101010101",
        "p/main/",
        "p/main/x",
        "p/main/cluster-x",
        "p/main/backups/",
        "p/main/backups/x",
        "p/main/backups/20261124T031500Z-5b0c6f2e",
        "p/main/backups/20261124T031500Z-5b0c6f2e/",
        "p/main/backups/20261124T031500Z-5b0c6f2/x",
        "p/main/wal/00000003/x",
        "p/main/wal/00000003/00000004.history",
        "p/main/wal/00000003/000000030000000A000000FF",
        "p/main/wal/00000003/partial/0000000003000000-0000000004000000",
    ] {
        assert_eq!(Item::of(&names, &cluster, name), Item::Unknown, "{name}");
        assert_eq!(Item::with_owner(&names, name).1, Item::Unknown, "{name}");
    }
}
