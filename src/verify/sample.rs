//! A part of what is stored, drawn by lot: the same seed reads the same objects again.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::catalog::{Backup, Repository};
use crate::format::Digest;

/// Thousandths of a percent in the whole.
const WHOLE: u32 = 100_000;

/// How much is read, in thousandths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u32);

impl Percent {
    /// So many of `all`: never none.
    fn of(self, all: usize) -> usize {
        let part = (all as u64 * u64::from(self.0)).div_ceil(u64::from(WHOLE));
        usize::try_from(part).unwrap_or(all).min(all)
    }
}

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no percentage from 0.001 to 100");
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 3 || part.len() > 3 {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let part: u32 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
        let parts = whole * 1000 + part;
        if (1..=WHOLE).contains(&parts) { Ok(Self(parts)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

/// What is drawn of every backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// How much of the objects.
    pub percent: Percent,
    /// What the lot begins with.
    pub seed: u32,
}

/// Objects with data and how many of them were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// All there are.
    pub objects: u64,
    /// Those that were read.
    pub objects_read: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Bytes of those that were read.
    pub bytes_read: u64,
}

impl Coverage {
    /// Adds what was read of another backup.
    pub fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.objects_read += other.objects_read;
        self.bytes += other.bytes;
        self.bytes_read += other.bytes_read;
    }
}

impl Sample {
    /// How much of a backup is read.
    pub fn coverage(self, repository: &Repository, backup: &Backup) -> Coverage {
        let drawn = drawn(Some(&self), repository, backup);
        let streams = &backup.clear().streams;
        let all = streams.iter().flat_map(|stream| &stream.chunks);
        let read =
            drawn.iter().zip(streams).flat_map(|(drawn, stream)| drawn.iter().map(|at| &stream.chunks[*at as usize]));
        Coverage {
            objects: all.clone().count() as u64,
            objects_read: read.clone().count() as u64,
            bytes: all.map(|chunk| chunk.bytes).sum(),
            bytes_read: read.map(|chunk| chunk.bytes).sum(),
        }
    }

    /// The places in `keys` that are drawn, in order: those of the lowest lots. A lot depends on the seed and the key alone.
    fn draw(self, keys: impl Iterator<Item = impl AsRef<str>>) -> Vec<usize> {
        let lot = |key: &str| *Digest::of_parts(&[&self.seed.to_le_bytes(), key.as_bytes()]).bytes();
        let mut lots: Vec<_> = keys.enumerate().map(|(at, key)| (lot(key.as_ref()), at)).collect();
        let wanted = self.percent.of(lots.len());
        lots.sort_unstable();
        let mut drawn: Vec<usize> = lots.into_iter().take(wanted).map(|(_, at)| at).collect();
        drawn.sort_unstable();
        drawn
    }
}

/// For each stream of a backup the numbers of the chunks that are read: all of them without a sample.
pub(super) fn drawn(sample: Option<&Sample>, repository: &Repository, backup: &Backup) -> Vec<Vec<u32>> {
    let (streams, place) = (&backup.clear().streams, repository.place(backup));
    let Some(sample) = sample else {
        return streams.iter().map(|stream| (0..).zip(&stream.chunks).map(|(number, _)| number).collect()).collect();
    };
    let keys = streams.iter().flat_map(|stream| {
        let (place, name) = (&place, &stream.name);
        (0..).zip(&stream.chunks).map(move |(number, chunk)| place.chunk(name, number, chunk.tag))
    });
    let drawn = sample.draw(keys);
    let mut before = 0;
    let chunks = streams.iter().map(|stream| {
        let within = before..before + stream.chunks.len();
        before = within.end;
        let numbers = drawn.iter().filter(|at| within.contains(at)).map(|at| at - within.start);
        numbers.map(|number| u32::try_from(number).unwrap_or(u32::MAX)).collect()
    });
    chunks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(percent: &str, seed: u32) -> Sample {
        Sample { percent: percent.parse().unwrap(), seed }
    }

    /// PAINS B17: what one run read, another reads again.
    #[test]
    fn the_same_seed_draws_the_same_and_another_draws_others() {
        let keys: Vec<String> = (0..1000).map(|n| format!("prod/main/backups/b/dump/{n:08}-aa")).collect();
        let draw = |percent, seed| sample(percent, seed).draw(keys.iter());
        let drawn = draw("5%", 7);
        assert_eq!(drawn, draw("5", 7));
        assert_eq!(drawn.len(), 50);
        assert!(drawn.is_sorted() && drawn.windows(2).all(|pair| pair[0] < pair[1]));
        assert_ne!(drawn, draw("5", 8));
        assert!(draw("10", 7).iter().filter(|at| drawn.contains(at)).count() == 50, "more of the same lot");
        assert_eq!(draw("100", 7), (0..1000).collect::<Vec<_>>());
        assert_eq!(draw("0.001", 7).len(), 1, "never nothing");
        assert_eq!(draw("0.101", 7).len(), 2, "rounded up");
        assert_eq!(sample("100", 1).draw(std::iter::empty::<String>()), Vec::<usize>::new());
    }

    #[test]
    fn percentages_are_read_and_told() {
        for (text, told) in [("5%", "5%"), ("0.5", "0.5%"), ("100", "100%"), ("12.25%", "12.25%"), ("0.001", "0.001%")]
        {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), told);
        }
        for text in ["", "%", "0", "0.0004", "100.001", "101", "-1", "1e1", ".5", "5.", "NaN", "5 %", "1000000000000"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
