//! The one order of a namespace: positions, `last`, `low`, the log, and the predicate over them.

/// A place in the order; 0 is before everything.
pub type Position = u8;

/// How many names a model can have.
const NAMES: usize = 6;

/// A key, a tag or a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub u8);

impl Name {
    /// Returns the name's place in an array.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Closure(u8);

impl Closure {
    /// Makes the set of these names.
    pub const fn of(names: &[Name]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < names.len() {
            bits |= 1 << names[i].0;
            i += 1;
        }
        Self(bits)
    }

    /// Returns the names of both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Goes through the names.
    pub fn iter(self) -> impl Iterator<Item = Name> {
        (0..NAMES as u8).map(Name).filter(move |name| self.0 & 1 << name.0 != 0)
    }
}

/// The steps of the order that can be left out, and how much it remembers.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// How many records the log keeps.
    pub records: usize,
    /// A name that is not remembered counts as `low`.
    pub absent_counts_as_low: bool,
    /// Forgetting a name raises `low` to the position that is forgotten.
    pub forgetting_raises_low: bool,
    /// A trimmed record removes a name only if it is the name's last.
    pub only_the_last_record_removes: bool,
    /// Trimming passes names in doubt over.
    pub doubt_is_not_trimmed: bool,
    /// A name in doubt is never at or below any `as_of`.
    pub doubt_counts: bool,
    /// An invalidation moves the position and keeps the mark.
    pub invalidation_keeps_doubt: bool,
    /// Only a step that takes a position ends a doubt.
    pub vouching_takes_a_position: bool,
}

impl Steps {
    /// The protocol, over a log that forgets nothing.
    pub const ALL: Self = Self {
        records: usize::MAX,
        absent_counts_as_low: true,
        forgetting_raises_low: true,
        only_the_last_record_removes: true,
        doubt_is_not_trimmed: true,
        doubt_counts: true,
        invalidation_keeps_doubt: true,
        vouching_takes_a_position: true,
    };
}

/// What the predicate says of a closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No name moved since, and all can be vouched for.
    Valid,
    /// A name moved.
    Moved,
    /// Nobody can vouch for a name.
    InDoubt,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Last {
    at: Option<Position>,
    doubt: bool,
}

/// The order at the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    position: Position,
    low: Position,
    last: [Last; NAMES],
    log: Vec<(Position, Name)>,
}

impl Order {
    /// Returns the highest position that was taken.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes a position for a name. In the code: `store::Store::publish` with a bare invalidation.
    pub fn invalidate(&mut self, name: Name, steps: &Steps) -> Position {
        let doubt = self.last[name.index()].doubt && steps.invalidation_keeps_doubt;
        self.set(name, doubt, steps)
    }

    /// Puts a name in doubt, which takes a position. In the code: `store::Mark::InDoubt`.
    pub fn put_in_doubt(&mut self, name: Name, steps: &Steps) -> Position {
        self.set(name, true, steps)
    }

    /// Takes a name out of doubt, which takes a position. In the code: `store::Mark::Vouched`.
    pub fn vouch(&mut self, name: Name, steps: &Steps) -> Position {
        if !steps.vouching_takes_a_position {
            self.last[name.index()].doubt = false;
            return self.position;
        }
        self.set(name, false, steps)
    }

    fn set(&mut self, name: Name, doubt: bool, steps: &Steps) -> Position {
        self.position += 1;
        self.last[name.index()] = Last { at: Some(self.position), doubt };
        self.log.push((self.position, name));
        self.trim(steps);
        self.position
    }

    /// Removes the oldest records. In the code: `store::embedded`, where `last` retires its oldest names.
    fn trim(&mut self, steps: &Steps) {
        while self.log.len() > steps.records {
            let (position, name) = self.log.remove(0);
            let last = &mut self.last[name.index()];
            if last.doubt && steps.doubt_is_not_trimmed {
                continue;
            }
            if last.at == Some(position) || !steps.only_the_last_record_removes {
                *last = Last::default();
                if steps.forgetting_raises_low {
                    self.low = self.low.max(position);
                }
            }
        }
    }

    /// Says whether the record of a position is in the log.
    pub fn holds(&self, position: Position) -> bool {
        self.log.iter().any(|record| record.0 == position)
    }

    /// Begins anew: names and log are dropped, and the first record is written, about this name.
    pub fn begin_at(position: Position, name: Name) -> Self {
        Self { position, low: position, last: <[Last; NAMES]>::default(), log: vec![(position, name)] }
    }

    /// Leaves out all positions up to this one, and writes its record.
    pub fn raise_to(&mut self, position: Position, name: Name, steps: &Steps) -> Position {
        self.position = position - 1;
        self.set(name, self.last[name.index()].doubt, steps)
    }

    /// Loses all names and all else.
    pub fn lose_names(&mut self) {
        self.last = <[Last; NAMES]>::default();
    }

    /// Returns the name that was invalidated longest ago and is not in doubt.
    pub fn oldest(&self) -> Option<Name> {
        let known = (0..NAMES as u8).map(Name).filter(|name| self.last[name.index()].at.is_some());
        let sure = known.filter(|name| !self.last[name.index()].doubt);
        sure.min_by_key(|name| self.last[name.index()].at)
    }

    /// Forgets a name, so that `last` stays bounded.
    pub fn retire(&mut self, name: Name, steps: &Steps) {
        let last = std::mem::take(&mut self.last[name.index()]);
        if steps.forgetting_raises_low {
            self.low = self.low.max(last.at.unwrap_or(0));
        }
    }

    /// Says whether nobody can vouch for a name.
    pub fn is_in_doubt(&self, name: Name) -> bool {
        self.last[name.index()].doubt
    }

    /// Marks a name without a position, which the protocol never does.
    pub fn mark(&mut self, name: Name) {
        self.last[name.index()].doubt = true;
    }

    /// Evaluates the predicate. In the code: `store::Store::commit` and `store::Store::still_valid`.
    pub fn standing(&self, closure: Closure, as_of: Position, steps: &Steps) -> Standing {
        let absent = if steps.absent_counts_as_low { self.low } else { 0 };
        let mut in_doubt = false;
        for name in closure.iter() {
            let last = self.last[name.index()];
            if last.at.unwrap_or(absent) > as_of {
                return Standing::Moved;
            }
            in_doubt |= last.doubt && steps.doubt_counts;
        }
        if in_doubt { Standing::InDoubt } else { Standing::Valid }
    }

    /// Returns the records above a position, or `None` for a jump: something between was trimmed.
    pub fn records_above(&self, position: Position) -> Option<&[(Position, Name)]> {
        let from = self.log.iter().position(|record| record.0 > position).unwrap_or(self.log.len());
        let records = &self.log[from..];
        let whole = records.len() == usize::from(self.position.saturating_sub(position));
        (position >= self.low && whole).then_some(records)
    }

    /// Returns the records above a position that are left, whether or not some are missing.
    pub fn records_left_above(&self, position: Position) -> &[(Position, Name)] {
        let from = self.log.iter().position(|record| record.0 > position).unwrap_or(self.log.len());
        &self.log[from..]
    }
}
