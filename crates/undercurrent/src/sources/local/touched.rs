//! What one batch of signals says, path by path.

use std::collections::HashMap;
use std::path::PathBuf;

use super::signal::Signal;

/// What was said about one path in one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) path: PathBuf,
    /// What happened to the entry itself, if anything did, the last word counting.
    pub(super) entry: Option<Entry>,
    /// Whether something went from the path before the last thing appeared there.
    pub(super) was_replaced: bool,
    /// Whether what may be a directory appeared, even if it is said to have vanished after that: a directory that was
    /// moved away says its end under the path where it was, which another may have by then.
    pub(super) is_arrival: bool,
    /// Whether the watcher knows it for a directory or for something else; the last word counts.
    pub(super) is_dir: Option<bool>,
    pub(super) is_written: bool,
    pub(super) is_restamped: bool,
    /// Where it was before, if it was moved here and the watcher saw both ends.
    pub(super) moved_from: Option<PathBuf>,
}

/// What happened to an entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Created,
    MovedHere,
    Vanished,
}

/// What a batch of signals comes down to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Each path once, in the order in which they were first named.
    pub(super) touched: Vec<Touched>,
    pub(super) cookies: Vec<u64>,
    /// Why something may be missing. Nothing behind it counts.
    pub(super) lost: Option<String>,
}

/// Sorts signals by path. Remembers the last departure, whose arrival may be in the next batch.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    departed: Option<(usize, PathBuf)>,
}

impl Sorter {
    pub(super) fn sort(&mut self, signals: impl IntoIterator<Item = Signal>) -> Batch {
        let mut batch = Batch::default();
        let mut places = HashMap::new();
        let mut at = |path: &PathBuf, touched: &mut Vec<Touched>| {
            *places.entry(path.clone()).or_insert_with(|| {
                touched.push(Touched::new(path.clone()));
                touched.len() - 1
            })
        };
        for signal in signals {
            match signal {
                Signal::Cookie(number) => batch.cookies.push(number),
                Signal::Lost(reason) => {
                    batch.lost = Some(reason);
                    return batch;
                }
                Signal::Written { path } => {
                    let place = at(&path, &mut batch.touched);
                    batch.touched[place].is_written = true;
                }
                Signal::Restamped { path } => {
                    let place = at(&path, &mut batch.touched);
                    batch.touched[place].is_restamped = true;
                }
                Signal::Vanished { path, is_dir, tracker } => {
                    let place = at(&path, &mut batch.touched);
                    batch.touched[place].vanish(is_dir);
                    if let Some(tracker) = tracker {
                        self.departed = Some((tracker, path));
                    }
                }
                Signal::Appeared { path, is_dir, tracker } => {
                    let place = at(&path, &mut batch.touched);
                    let from = self.departed.take_if(|(departed, _)| Some(*departed) == tracker);
                    let entry = if tracker.is_some() { Entry::MovedHere } else { Entry::Created };
                    batch.touched[place].appear(entry, is_dir, from.map(|(_, path)| path));
                }
            }
        }
        batch
    }
}

impl Touched {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            entry: None,
            was_replaced: false,
            is_arrival: false,
            is_dir: None,
            is_written: false,
            is_restamped: false,
            moved_from: None,
        }
    }

    fn vanish(&mut self, is_dir: Option<bool>) {
        self.entry = Some(Entry::Vanished);
        self.is_dir = is_dir.or(self.is_dir);
        self.moved_from = None;
    }

    fn appear(&mut self, entry: Entry, is_dir: Option<bool>, moved_from: Option<PathBuf>) {
        self.was_replaced |= self.entry == Some(Entry::Vanished);
        self.entry = Some(entry);
        self.is_arrival |= is_dir != Some(false);
        self.is_dir = is_dir;
        self.moved_from = moved_from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appeared(path: &str, tracker: Option<usize>) -> Signal {
        Signal::Appeared { path: path.into(), is_dir: None, tracker }
    }

    fn vanished(path: &str, tracker: Option<usize>) -> Signal {
        Signal::Vanished { path: path.into(), is_dir: None, tracker }
    }

    fn written(path: &str) -> Signal {
        Signal::Written { path: path.into() }
    }

    #[test]
    fn each_path_is_named_once_with_its_last_word() {
        let batch = Sorter::default().sort([
            appeared("/a", None),
            written("/b"),
            written("/a"),
            written("/a"),
            vanished("/b", None),
            Signal::Cookie(1),
            vanished("/c", None),
            appeared("/c", None),
        ]);
        let short: Vec<_> = batch
            .touched
            .iter()
            .map(|one| (one.path.to_str().unwrap(), one.entry, one.is_written, one.was_replaced))
            .collect();
        let expected = [
            ("/a", Some(Entry::Created), true, false),
            ("/b", Some(Entry::Vanished), true, false),
            ("/c", Some(Entry::Created), false, true),
        ];
        assert_eq!(short, expected);
        assert_eq!(batch.cookies, [1]);
    }

    #[test]
    fn the_two_ends_of_a_move_are_joined_also_across_batches() {
        let mut sorter = Sorter::default();
        let batch = sorter.sort([vanished("/a", Some(1)), appeared("/b", Some(1)), vanished("/c", Some(2))]);
        assert_eq!(batch.touched[1].moved_from.as_deref(), Some("/a".as_ref()));
        assert_eq!(batch.touched[1].entry, Some(Entry::MovedHere));
        let batch = sorter.sort([appeared("/d", Some(2)), appeared("/e", Some(3))]);
        assert_eq!(batch.touched[0].moved_from.as_deref(), Some("/c".as_ref()));
        assert_eq!((batch.touched[1].entry, &batch.touched[1].moved_from), (Some(Entry::MovedHere), &None));
    }

    #[test]
    fn an_arrival_is_remembered_behind_an_end_that_may_be_of_another() {
        let batch = Sorter::default().sort([appeared("/a", Some(1)), vanished("/a", None)]);
        assert!(batch.touched[0].is_arrival && batch.touched[0].entry == Some(Entry::Vanished));
    }

    #[test]
    fn nothing_counts_behind_a_loss() {
        let batch = Sorter::default().sort([written("/a"), Signal::Lost("x".into()), Signal::Cookie(1)]);
        assert_eq!(batch.lost.as_deref(), Some("x"));
        assert!(batch.cookies.is_empty());
    }
}
