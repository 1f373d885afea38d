//! What is made from what.

use crate::order::{Closure, Name};

use super::entry::Input;

/// A key of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Loaded from the first source; its scope is its own name.
    A,
    /// Loaded from the second source.
    B,
    /// Made from `a`, or `a` and `b`, and from what its tag stands for.
    M,
    /// Made from `m`, or `m` and `a`.
    K,
}

/// The tag of `m`: what it stands for is no key.
pub(super) const TAG: Name = Name(4);
/// The scope of `a`.
pub(super) const SCOPE: Name = Name(5);

/// What is invalidated when a source changes.
pub(super) const ABOUT: [Name; 3] = [Key::A.name(), Key::B.name(), TAG];

/// What a loader makes from two versions of one input: nothing that ever was.
const TORN: u8 = u8::MAX;

impl Key {
    /// All keys.
    pub(super) const ALL: [Self; 4] = [Self::A, Self::B, Self::M, Self::K];

    pub(super) const fn name(self) -> Name {
        Name(self as u8)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Says whether its loader reads a source of its own and no other key.
    pub(super) fn is_leaf(self) -> bool {
        matches!(self, Self::A | Self::B)
    }

    /// Returns the key and what its loader names. In the code: `cache::fill::own_names`.
    pub(super) fn own(self) -> Closure {
        match self {
            Self::A => Closure::of(&[self.name(), SCOPE]),
            Self::M => Closure::of(&[self.name(), TAG]),
            Self::B | Self::K => Closure::of(&[self.name()]),
        }
    }
}

/// What the loaders of `m` and `k` read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// `a → m → k`; every other version of `a` makes the same `m`.
    Chain,
    /// `k` reads `m` and `a`.
    Diamond,
    /// `m` reads `b` too, once `a` is there.
    Dynamic,
}

/// What a loader does next.
pub(super) enum Next {
    Reads(Key),
    Returns(u8),
}

impl Graph {
    /// Returns the value of a key in a state of the sources.
    pub(super) fn value(self, key: Key, sources: [u8; 3]) -> u8 {
        let [a, b, tag] = sources;
        match (key, self) {
            (Key::A, _) => a,
            (Key::B, _) => b,
            (Key::M, Self::Chain) => a / 2 * 4 + tag,
            (Key::M, Self::Diamond) => a * 4 + tag,
            (Key::M, Self::Dynamic) => {
                if a == 0 {
                    0
                } else {
                    b * 4 + tag
                }
            }
            (Key::K, Self::Diamond) => self.value(Key::M, sources) * 8 + a,
            (Key::K, _) => self.value(Key::M, sources),
        }
    }

    /// Returns what the loader of a key that has read `got` does next, reading what its tag stands for at the end.
    pub(super) fn next(self, key: Key, got: &[Input], tag: u8, once: bool) -> Next {
        match (key, self, got) {
            (Key::M, _, []) => Next::Reads(Key::A),
            (Key::M, Self::Chain | Self::Diamond, [_]) if !once => Next::Reads(Key::A),
            (Key::M, Self::Chain | Self::Diamond, [one, other]) if one.value != other.value => {
                Next::Returns(TORN)
            }
            (Key::M, Self::Dynamic, [a]) if a.value != 0 => Next::Reads(Key::B),
            (Key::M, _, [a, rest @ ..]) => {
                let b = rest.first().map_or(0, |b| b.value);
                Next::Returns(self.value(Key::M, [a.value, b, tag]))
            }
            (Key::K, _, []) => Next::Reads(Key::M),
            (Key::K, Self::Diamond, [_]) => Next::Reads(Key::A),
            (Key::K, Self::Diamond, [m, a, ..]) => {
                Next::Returns(m.value.wrapping_mul(8).wrapping_add(a.value))
            }
            (Key::K, _, [m, ..]) => Next::Returns(m.value),
            (Key::A | Key::B, ..) => Next::Returns(TORN),
        }
    }

    /// Returns the keys that a key is always made from, and itself.
    pub(super) fn always_from(self, key: Key) -> &'static [Key] {
        match key {
            Key::A => &[Key::A],
            Key::B => &[Key::B],
            Key::M => &[Key::A, Key::M],
            Key::K => &[Key::A, Key::M, Key::K],
        }
    }
}
