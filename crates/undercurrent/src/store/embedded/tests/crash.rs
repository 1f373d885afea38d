//! A machine that dies at any moment, many thousand times, with a disk that loses, tears and reorders what was not
//! synced, names of files as well, of which any call fails, and which is full.
//!
//! Each seed is one story: a store is used, and at many moments in between what a crash would leave is kept. Every one of
//! these disks is then opened and compared with what had been answered at that moment. The seed of a story that fails is
//! printed; `UNDERCURRENT_CRASH_SEED` has only that one told again, and `UNDERCURRENT_CRASH_STORIES` more or fewer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use undercurrent_types::{Cursor, Durability, Position, Seq};

use super::disk::{Failing, MemoryDisk};
use super::support::{clean, lasting, open_with, small};
use crate::dice::Dice;
use crate::store::contract::{bare, batch, event, key, publish, read_all, stream};
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{
    Batch, NewEvent, PublishError, Published, ReadStreamError, Record, Retention, RowWrite, Store,
    StreamSettings,
};

/// How many stories are told, and how many moments of all of them there have to be.
const STORIES: u64 = 100;
const MOMENTS: usize = 10_000;
/// How many events the stream keeps that does not keep all.
const KEPT: usize = 4;

const STREAMS: [(&str, Durability); 5] = [
    ("memory", Durability::Memory),
    ("page", Durability::Page),
    ("durable", Durability::Durable),
    ("trimmed", Durability::Durable),
    ("deleted", Durability::Durable),
];

/// Says the seed if the story ends badly.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to tell it again: UNDERCURRENT_CRASH_SEED={}", self.0);
        }
    }
}

/// What was asked of the store.
struct Asked {
    to: usize,
    /// The ids of a commit; none for the deletion of the stream.
    ids: Vec<String>,
    answer: Option<Answer>,
}

impl Asked {
    /// Returns the events of the stream after it was done.
    fn after<'a>(&'a self, list: &[&'a str]) -> Vec<&'a str> {
        match &*self.ids {
            [] => Vec::new(),
            ids => list.iter().copied().chain(ids.iter().map(String::as_str)).collect(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Acknowledged(Option<Cursor>),
    Refused,
    Unknown,
}

/// What had been asked and answered when a crash came.
struct Moment {
    disk: MemoryDisk,
    asked: usize,
    answered: BTreeSet<usize>,
    highest: Position,
}

struct Story {
    dice: Dice,
    disk: MemoryDisk,
    store: Arc<EmbeddedStore>,
    asked: Vec<Asked>,
    answered: BTreeSet<usize>,
    highest: Position,
    moments: Vec<Moment>,
    ids: u64,
}

fn options() -> StoreOptions {
    let full_retry = Duration::from_millis(1);
    StoreOptions { segment_bytes: 4096, first_segment_bytes: 2048, full_retry, ..small() }
}

fn answer(result: &Result<Published, PublishError>) -> Answer {
    match result {
        Ok(published) => Answer::Acknowledged(published.events.last().map(|event| event.cursor)),
        Err(PublishError::Unknown { .. }) => Answer::Unknown,
        Err(_) => Answer::Refused,
    }
}

impl Story {
    async fn begin(seed: u64) -> Self {
        let disk = MemoryDisk::default();
        let store = Arc::new(open_with(&disk, options()).unwrap());
        let retention = Retention { count: Some(KEPT as u64), ..Retention::UNLIMITED };
        let settings = StreamSettings { durability: Durability::Durable, retention };
        store.create_stream(&stream("trimmed"), settings).await.unwrap();
        let dice = Dice(seed);
        let (asked, answered, moments) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self { dice, disk, store, asked, answered, highest: Position(0), moments, ids: 0 }
    }

    async fn go_on(&mut self) {
        self.disk.keep_images();
        let before = (self.asked.len(), self.answered.clone(), self.highest);
        match self.dice.roll(20) {
            0 => {
                let token = self.store.publish(bare(&["state:moved"])).await;
                self.highest = token.map_or(self.highest, |published| published.token.position);
            }
            1 => self.delete().await,
            2 | 3 => clean_some(&self.store, &self.disk).await,
            4 => self.restart().await,
            5 => self.fill().await,
            _ => self.publish().await,
        }
        // What is asked now may be on any disk of this step, and what was answered before it is on all.
        let (_, answered, highest) = before;
        let asked = self.asked.len();
        for disk in self.disk.take_images() {
            if self.dice.roll(6) == 0 {
                let disk = if self.dice.roll(2) == 0 { disk } else { self.torn(&disk) };
                self.moments.push(Moment { disk, asked, answered: answered.clone(), highest });
            }
        }
        let disk = if self.dice.roll(2) == 0 { self.disk.copy() } else { self.torn(&self.disk.clone()) };
        let answered = self.answered.clone();
        self.moments.push(Moment { disk, asked, answered, highest: self.highest });
    }

    /// Returns what is left when sectors are lost here and there.
    fn torn(&mut self, disk: &MemoryDisk) -> MemoryDisk {
        disk.crash(|| self.dice.roll(3) == 0)
    }

    fn commit(&mut self, to: usize) -> Batch {
        let (name, durability) = STREAMS[to];
        let count = 1 + self.dice.roll(3);
        let size = self.dice.roll(4) * 150;
        let events: Vec<_> = (0..count)
            .map(|_| {
                self.ids += 1;
                let id = self.ids.to_string();
                let mut new = lasting(durability, name, &id);
                new.event = event(&id).with_subject("x".repeat(1 + size as usize));
                new
            })
            .collect();
        let ids = events.iter().map(|new| new.event.id.clone()).collect();
        self.asked.push(Asked { to, ids, answer: None });
        let mut commit = batch(events);
        // What the durable stream says about a key, and a row, is the number of what was asked.
        if name == "durable" {
            let number = Bytes::from((self.asked.len() - 1).to_string());
            let last = commit.events.pop().unwrap();
            commit.events.push(NewEvent { latest: Some((key("state:x"), Some(number.clone()))), ..last });
            let row = RowWrite { table: "t", id: "1".to_owned(), expected: None, value: Some(number) };
            commit.rows = vec![row];
        }
        commit
    }

    /// Publishes a few commits at once.
    async fn publish(&mut self) {
        let store = self.store.clone();
        let mut under_way = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let to = self.dice.roll(STREAMS.len() as u64) as usize;
            let commit = self.commit(to);
            let mut publishing = store.publish(commit);
            let at_once = (&mut publishing).now_or_never();
            under_way.push((self.asked.len() - 1, at_once, publishing));
        }
        for (i, at_once, publishing) in under_way {
            let result = match at_once {
                Some(result) => result,
                None => publishing.await,
            };
            self.note(i, &result);
        }
    }

    fn note(&mut self, i: usize, result: &Result<Published, PublishError>) {
        if let Ok(published) = result {
            self.highest = self.highest.max(published.token.position);
        }
        self.asked[i].answer = Some(answer(result));
        self.answered.insert(i);
    }

    async fn delete(&mut self) {
        self.asked.push(Asked { to: 4, ids: Vec::new(), answer: None });
        let result = self.store.delete_stream(&stream("deleted")).await;
        let i = self.asked.len() - 1;
        self.asked[i].answer = Some(match result {
            Ok(_) => Answer::Acknowledged(None),
            // It is done in memory, and on disk when there is room.
            Err(_) => Answer::Unknown,
        });
        self.answered.insert(i);
    }

    async fn restart(&mut self) {
        self.store.close().await;
        // A call that fails while it is opened leaves all as it was for the next try.
        if self.dice.roll(2) == 0 {
            self.disk.fail_call(self.dice.roll(40) as usize, self.dice.roll(2) == 0);
            drop(open_with(&self.disk, options()));
            self.disk.mend();
        }
        self.store = Arc::new(open_with(&self.disk, options()).unwrap());
    }

    /// Publishes while there is little room or none, and makes room again.
    async fn fill(&mut self) {
        match self.dice.roll(3) {
            0 => self.disk.fail(Failing::Room),
            _ => self.disk.fill(self.dice.roll(6000) as usize),
        }
        for _ in 0..3 {
            self.publish().await;
        }
        self.disk.mend();
        self.disk.empty();
        while self.store.state().failed.is_some_and(|why| why.contains("make room")) {
            tokio::task::yield_now().await;
        }
        if self.store.state().failed.is_some() {
            self.restart().await;
        }
    }

    /// Ends with a disk that breaks, in one of several ways.
    async fn end(&mut self) {
        self.disk.keep_images();
        let answered = self.answered.clone();
        match self.dice.roll(4) {
            0 => self.disk.fail(Failing::Syncs),
            1 => self.disk.fail(Failing::Writes),
            on => self.disk.fail_call(self.dice.roll(16) as usize, on == 2),
        }
        for _ in 0..4 {
            self.publish().await;
        }
        let (asked, highest) = (self.asked.len(), self.highest);
        for disk in self.disk.take_images() {
            let answered = answered.clone();
            self.moments.push(Moment { disk, asked, answered, highest: Position(0) });
        }
        let disk = self.torn(&self.disk.clone());
        self.moments.push(Moment { disk, asked, answered: self.answered.clone(), highest });
    }

    /// Returns every list of events that a stream may have.
    fn possible(&self, moment: &Moment, to: usize) -> Vec<Vec<&str>> {
        let mut lists: Vec<Vec<&str>> = vec![Vec::new()];
        for (i, asked) in self.asked[..moment.asked].iter().enumerate().filter(|(_, asked)| asked.to == to) {
            let answer = asked.answer.filter(|_| moment.answered.contains(&i));
            let after = |list: &Vec<_>| asked.after(list);
            lists = match answer {
                Some(Answer::Acknowledged(_)) => lists.iter().map(after).collect(),
                Some(Answer::Refused) => lists,
                None | Some(Answer::Unknown) => {
                    let more: Vec<_> = lists.iter().map(after).collect();
                    lists.into_iter().chain(more).collect()
                }
            };
            lists.sort();
            lists.dedup();
        }
        lists
    }

    /// Checks a moment, and for some of them also each crash while the log is opened after it.
    async fn check(&self, moment: &Moment, with_second: bool) {
        if with_second {
            let disk = moment.disk.copy();
            disk.keep_images();
            drop(open_with(&disk, options()).unwrap_or_else(|e| panic!("{e}")));
            for disk in disk.take_images() {
                let Moment { asked, ref answered, highest, .. } = *moment;
                self.check_one(&Moment { disk, asked, answered: answered.clone(), highest }).await;
            }
        }
        self.check_one(moment).await;
    }

    async fn check_one(&self, moment: &Moment) {
        let store = open_with(&moment.disk, options()).unwrap_or_else(|e| panic!("{e}"));
        for (to, (name, durability)) in STREAMS.iter().enumerate() {
            let records = read_all(&store, name, 7).await;
            let left: Vec<_> = records.iter().map(Record::id_text).collect();
            let first = records.first().map_or(1, |record| record.cursor.seq.0);
            let seqs: Vec<_> = records.iter().map(|record| record.cursor.seq.0).collect();
            assert_eq!(seqs, (first..first + records.len() as u64).collect::<Vec<_>>(), "{name}");
            if *durability == Durability::Durable {
                let fits = |list: &Vec<&str>| {
                    let kept = if *name == "trimmed" { list.len().min(KEPT) } else { list.len() };
                    list.ends_with(&left) && left.len() >= kept
                };
                let possible = self.possible(moment, to);
                assert!(possible.iter().any(fits), "`{name}` has {left:?}, and may have {possible:?}");
            } else {
                self.check_seen(&store, moment, to).await;
            }
        }
        self.check_states(&store, moment).await;
        let now = store.barrier().await.unwrap().position;
        assert!(now >= moment.highest, "position {now} after {}", moment.highest);
        let next = publish(&store, "next", &now.to_string()).await.token.position;
        assert!(next > moment.highest);
        store.close().await;
    }

    /// The last event that somebody saw of a weaker stream is there, or the stream is in a new epoch.
    async fn check_seen(&self, store: &EmbeddedStore, moment: &Moment, to: usize) {
        let name = stream(STREAMS[to].0);
        let seen = moment.answered.iter().rev().map(|i| &self.asked[*i]).filter(|asked| asked.to == to);
        let mut seen = seen.filter_map(|asked| match asked.answer {
            Some(Answer::Acknowledged(Some(cursor))) => Some((cursor, asked.ids.last()?)),
            _ => None,
        });
        let Some((cursor, id)) = seen.next() else { return };
        match store.read_stream(&name, Some(cursor), 9).await {
            Ok(_) => {}
            // In the same epoch the next event would take the place of one that was seen.
            Err(ReadStreamError::Gone { reason, .. }) => return assert_eq!(reason, "epoch", "`{name}`"),
            Err(other) => panic!("{other}"),
        }
        let before = Cursor { seq: Seq(cursor.seq.0 - 1), ..cursor };
        let page = store.read_stream(&name, Some(before), 1).await.unwrap();
        assert_eq!(page.records[0].id_text(), id, "`{name}` goes on in its epoch");
    }

    /// The last state and the row are those of one commit that may be the last.
    async fn check_states(&self, store: &EmbeddedStore, moment: &Moment) {
        let state = store.latest(&key("state:x")).await.unwrap();
        let row = store.row_now("t", "1").map(|row| row.value);
        assert_eq!(state, row);
        let durable = |i: &usize| STREAMS[self.asked[*i].to].0 == "durable";
        let acknowledged =
            |i: &usize| matches!(self.asked[*i].answer, Some(Answer::Acknowledged(_))) && durable(i);
        let last = moment.answered.iter().copied().filter(acknowledged).max();
        let found = state.map(|state| std::str::from_utf8(&state).unwrap().parse::<usize>().unwrap());
        assert!(found >= last, "the state is of {found:?}, and {last:?} was acknowledged");
        if let Some(found) = found.filter(|found| moment.answered.contains(found)) {
            assert!(self.asked[found].answer != Some(Answer::Refused), "{found} was refused");
        }
    }
}

/// Makes one pass, as if it were later. On a disk without room it may fail.
async fn clean_some(store: &EmbeddedStore, disk: &MemoryDisk) {
    if store.state().failed.is_none() {
        clean(store, disk).await;
    }
}

#[test]
fn a_machine_that_dies_at_any_moment_loses_nothing_it_promised() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let only = read("UNDERCURRENT_CRASH_SEED");
    let stories = read("UNDERCURRENT_CRASH_STORIES").unwrap_or(STORIES);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut moments = 0;
    for seed in only.map_or(0..stories, |seed| seed..seed + 1) {
        let said = Seed(seed);
        moments += runtime.block_on(async {
            let mut story = Story::begin(seed).await;
            for _ in 0..24 {
                story.go_on().await;
            }
            story.end().await;
            for (i, moment) in story.moments.iter().enumerate() {
                story.check(moment, i % 20 == 0).await;
            }
            story.moments.len()
        });
        drop(said);
    }
    assert!(only.is_some() || stories < STORIES || moments >= MOMENTS, "only {moments} moments");
}
