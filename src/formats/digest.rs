//! XXH3 digests, as `xxhsum -H3` computes them: 64 bits that detect damage. Not cryptographic.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use twox_hash::XxHash3_64;

/// The prefix of a digest's hexadecimal digits.
const NAME: &str = "xxh3:";

/// A digest. As text: `xxh3:` and 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub u64);

impl Digest {
    /// A placeholder for an unknown digest, with a text of the same length.
    pub const UNKNOWN: Self = Self(0);

    /// Computes the digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_64::oneshot(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}{:016x}", self.0)
    }
}

impl FromStr for Digest {
    type Err = String;

    /// Accepts only the output of [`Display`](fmt::Display), so that every flipped bit of the text is detected.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(NAME).filter(|digits| digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
        let value = digits.filter(|digits| digits.len() == 16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.map(Self).ok_or_else(|| format!("{text:?} is not a checksum in a supported format"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An incremental [`Digest`].
#[derive(Clone, Default)]
pub struct Digester(XxHash3_64);

impl Digester {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        std::hash::Hasher::write(&mut self.0, bytes);
    }

    /// The digest of all bytes so far.
    pub fn digest(&self) -> Digest {
        Digest(std::hash::Hasher::finish(&self.0))
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digester({})", self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of xxhsum 0.8 (`-H3`).
    #[test]
    fn digests_equal_those_of_xxhsum() {
        assert_eq!(Digest::of(b"").to_string(), "xxh3:2d06800538d394c2");
        assert_eq!(Digest::of(b"a").to_string(), "xxh3:e6c632b61e964e1f");
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole_and_every_bit_counts() {
        let bytes: Vec<u8> = (0..5000u32).map(|n| (n * 7 % 251) as u8).collect();
        let whole = Digest::of(&bytes);
        let mut pieces = Digester::default();
        bytes.chunks(37).for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.digest(), whole);
        let mut seen = std::collections::HashSet::from([whole, Digest::of(&bytes[..4999])]);
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(Digest::of(&changed)), "bit {bit}");
        }
        let swapped = [&bytes[1024..2048], &bytes[..1024], &bytes[2048..]].concat();
        assert!(seen.insert(Digest::of(&swapped)));
    }

    #[test]
    fn only_valid_digests_are_parsed() {
        let text = Digest::of(b"a").to_string();
        assert_eq!(text.parse(), Ok(Digest::of(b"a")));
        let others = [text.to_uppercase(), text.replacen("xxh3", "xxh4", 1), format!("{text}0"), text[..20].into(), String::new(), text.replacen('e', "+", 1)];
        assert!(others.iter().all(|text| text.parse::<Digest>().is_err()));
        assert_eq!(Digest::UNKNOWN.to_string().len(), text.len());
    }
}
