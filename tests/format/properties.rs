//! Properties: whatever goes in comes out; whatever is bent fails, and what was released is a beginning of what went in.

use proptest::prelude::*;
use stonewal::format::{BackupId, ChunkHeader, Codec, DataKey, Error, KeyId, RepositoryId, StreamId};
use stonewal::keys::{data_key, repository_id};
use stonewal::limits::FRAME_BYTES_MAX;
use stonewal::observe::Progress;
use stonewal::pipeline::StreamReader;
use stonewal::store::memory::Memory;
use zeroize::Zeroizing;

use crate::support::backup::{target, write};
use crate::support::set::{Set, drain};
use crate::support::{name, place, run};

const CODECS: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Lz4];

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(&CODECS[..])
}

/// Bytes that compress, and bytes that do not.
fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..max),
        (any::<u8>(), 0..max).prop_map(|(byte, length)| vec![byte; length]),
        prop::collection::vec(prop::sample::select(b"granite \n".to_vec()), 0..max),
    ]
}

/// A stream in frames of any length, in chunks of any number of frames.
fn sealed() -> impl Strategy<Value = (Set, Vec<u8>)> {
    let frames = prop::collection::vec(bytes(300), 1..8);
    (codec(), frames, prop::collection::vec(1..4usize, 1..4), any::<[u8; 32]>(), any::<[u8; 16]>()).prop_map(
        |(codec, frames, per_chunk, key, id)| {
            let (place, key) = (place(RepositoryId::new(id)), DataKey::new(Zeroizing::new(key)));
            let pieces: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let set = Set::seal(&place, &name("dump"), codec, &key, StreamId::new(id), &pieces, &per_chunk);
            (set, frames.concat())
        },
    )
}

/// One change of the chunk set that is not none.
#[derive(Clone, Debug)]
enum Mutation {
    Flip { chunk: prop::sample::Index, at: prop::sample::Index, bit: u8 },
    Cut { chunk: prop::sample::Index, at: prop::sample::Index },
    Append { chunk: prop::sample::Index, bytes: Vec<u8> },
    Remove { chunk: prop::sample::Index },
    Repeat { chunk: prop::sample::Index },
    Swap { chunk: prop::sample::Index },
    Splice { chunk: prop::sample::Index, at: prop::sample::Index, bytes: Vec<u8> },
    Drain { chunk: prop::sample::Index, at: prop::sample::Index, bytes: usize },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use Mutation as M;
    let (chunk, at) = (any::<prop::sample::Index>, any::<prop::sample::Index>);
    let some = || prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        4 => (chunk(), at(), 0..8u8).prop_map(|(chunk, at, bit)| M::Flip { chunk, at, bit }),
        2 => (chunk(), at()).prop_map(|(chunk, at)| M::Cut { chunk, at }),
        1 => (chunk(), some()).prop_map(|(chunk, bytes)| M::Append { chunk, bytes }),
        1 => chunk().prop_map(|chunk| M::Remove { chunk }),
        1 => chunk().prop_map(|chunk| M::Repeat { chunk }),
        1 => chunk().prop_map(|chunk| M::Swap { chunk }),
        2 => (chunk(), at(), some()).prop_map(|(chunk, at, bytes)| M::Splice { chunk, at, bytes }),
        2 => (chunk(), at(), 1..40usize).prop_map(|(chunk, at, bytes)| M::Drain { chunk, at, bytes }),
    ]
}

/// Applies the mutation; `false` if it left the set as it was.
fn mutate(set: &mut Set, mutation: &Mutation) -> bool {
    let before = set.bodies.clone();
    let pick = |chunk: &prop::sample::Index| chunk.index(before.len());
    match mutation {
        Mutation::Flip { chunk, at, bit } => {
            let body = &mut set.bodies[pick(chunk)];
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
        }
        Mutation::Cut { chunk, at } => {
            let body = &mut set.bodies[pick(chunk)];
            body.truncate(at.index(body.len()));
        }
        Mutation::Append { chunk, bytes } => set.bodies[pick(chunk)].extend(bytes),
        Mutation::Remove { chunk } => drop(set.remove(pick(chunk))),
        Mutation::Repeat { chunk } => {
            let chunk = pick(chunk);
            let frames = set.record.chunks[chunk].frames;
            set.push(before[chunk].clone(), frames);
        }
        Mutation::Swap { chunk } => set.bodies.swap(0, pick(chunk)),
        Mutation::Splice { chunk, at, bytes } => {
            let body = &mut set.bodies[pick(chunk)];
            let at = at.index(body.len());
            body.splice(at..at, bytes.iter().copied());
        }
        Mutation::Drain { chunk, at, bytes } => {
            let body = &mut set.bodies[pick(chunk)];
            let at = at.index(body.len());
            body.drain(at..(at + bytes).min(body.len()));
        }
    }
    set.bodies != before
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_frames_in_any_chunks_come_back((set, plain) in sealed()) {
        let (released, end) = run(set.read());
        prop_assert!(end.is_ok(), "{:?}", end);
        prop_assert_eq!(released, plain);
    }

    #[test]
    fn i05_any_single_mutation_is_refused((good, plain) in sealed(), mutation in mutation()) {
        let mut bent = good.clone();
        prop_assume!(mutate(&mut bent, &mutation));
        let (released, end) = run(bent.read());
        prop_assert!(end.is_err(), "{:?} went unnoticed", mutation);
        prop_assert!(plain.starts_with(&released), "{:?} released other bytes", mutation);
    }

    #[test]
    fn headers_have_one_spelling(
        codec in codec(), number in any::<u32>(), first_frame in any::<u64>(), ids in any::<[[u8; 16]; 3]>(),
        cluster in "[a-z0-9][a-z0-9._-]{0,62}", stream in "[a-z0-9][a-z0-9._-]{0,62}",
        junk in prop::collection::vec(any::<u8>(), 0..40), flip in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let Ok(cluster) = cluster.parse() else { return Ok(()) };
        let backup: BackupId = "20261124T031500Z-5b0c6f2e".parse().unwrap();
        let [repository, key, id] = ids;
        let header = ChunkHeader {
            codec, number, first_frame, repository: RepositoryId::new(repository), key: KeyId::new(key),
            stream: StreamId::new(id), cluster, backup, name: name(&stream),
        };
        let encoded = header.encode();
        let followed = [&encoded[..], &junk].concat();
        prop_assert_eq!(ChunkHeader::decode(&followed), Ok((header.clone(), encoded.len())));
        // What else can be read says something else.
        let mut bent = followed;
        bent[flip.index(encoded.len())] ^= 1 << bit;
        if let Ok((other, length)) = ChunkHeader::decode(&bent) {
            prop_assert_ne!(&other, &header);
            prop_assert_eq!(&other.encode()[..], &bent[..length]);
        }
    }

    #[test]
    fn any_bytes_are_no_header(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let ours = [&b"stonewal\x01"[..], &bytes].concat();
        for bytes in [&bytes, &ours] {
            if let Ok((header, length)) = ChunkHeader::decode(bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..length]);
            }
        }
        prop_assert!(bytes.starts_with(b"stonewal") || ChunkHeader::decode(&bytes) == Err(Error::NotOurs("chunk")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The real writer: full frames, chunks as small as one frame, several uploads at once.
    #[test]
    fn any_stream_comes_back_through_the_writer(
        seed in bytes(5000), length in 0..5 * FRAME_BYTES_MAX, exact in 0..4usize, codec in codec(),
        chunk_bytes in 10_000..3 * FRAME_BYTES_MAX,
    ) {
        // A quarter of the lengths are multiples of a frame: the edges.
        let length = if exact == 0 { length / FRAME_BYTES_MAX * FRAME_BYTES_MAX } else { length };
        let plain: Vec<u8> = seed.iter().copied().chain([0]).cycle().take(length).collect();
        let (released, end) = run(async {
            let (store, place) = (std::sync::Arc::new(Memory::default()), place(repository_id().unwrap()));
            let key = data_key().unwrap();
            let record = write(&target(&store, &place, chunk_bytes), "dump", codec, &key, &plain).await;
            assert_eq!(record.frames, length.div_ceil(FRAME_BYTES_MAX).max(1) as u64);
            let limit = chunk_bytes.max(FRAME_BYTES_MAX + FRAME_BYTES_MAX / 64 + 2048) as u64;
            assert!(record.chunks.iter().all(|chunk| chunk.bytes <= limit), "{record:?}");
            drain(StreamReader::new(store, place, record, &key, 2, Progress::new()).unwrap()).await
        });
        prop_assert!(end.is_ok(), "{:?}", end);
        prop_assert!(released == plain);
    }
}
