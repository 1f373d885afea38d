//! What every store must do: the tests that each implementation runs.
//!
//! A test gets an empty store, and for what concerns a restart a way to close it and open it again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::broadcast::error::RecvError;
use undercurrent_types::{
    Cursor, Data, Durability, Event, Incarnation, Key, Name, Position, Seq, StreamName, Token,
};

use super::{
    Batch, Commit, Committed, CreateStreamError, Invalidation, Mark, NewEvent, Outcome, PublishError,
    Published, ReadStreamError, Record, Retention, Row, RowWrite, Slot, Store, StreamSettings,
};

/// An empty store of some kind.
pub(crate) trait Subject: Send + Sync {
    fn store(&self) -> Arc<dyn Store>;

    /// Closes the store and opens it again.
    fn restart(&mut self) -> BoxFuture<'_, ()>;

    /// What a stream keeps that nobody sets up.
    fn retention(&self, stream: &StreamName) -> Retention {
        Retention::of(stream)
    }
}

pub(crate) fn stream(name: &str) -> StreamName {
    name.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn key(text: &str) -> Key {
    text.parse().unwrap()
}

pub(crate) fn event(id: &str) -> Event {
    let data = Data::from_json(format!(r#"{{"text":"{id}"}}"#).as_bytes()).unwrap();
    Event::new("message".parse().unwrap(), "agent/test".parse().unwrap()).with_id(id).with_data(data)
}

tokio::task_local! {
    /// The most that the store of a test of the contract promises.
    static PROMISED: Durability;
}

/// Returns the most that the store of this test promises.
pub(crate) fn promised() -> Durability {
    PROMISED.try_with(|durability| *durability).unwrap_or(Durability::Durable)
}

/// Runs a test of the contract on a store.
pub(crate) async fn run<S: Subject>(
    mut subject: S,
    test: impl for<'a> FnOnce(&'a mut dyn Subject) -> BoxFuture<'a, ()>,
) {
    let strongest = subject.store().strongest();
    PROMISED.scope(strongest, test(&mut subject)).await;
}

pub(crate) fn new(to: &str, id: &str) -> NewEvent {
    NewEvent {
        stream: stream(to),
        event: event(id),
        durability: promised(),
        expected_seq: None,
        latest: None,
    }
}

pub(crate) fn batch(events: Vec<NewEvent>) -> Batch {
    Batch { events, ..Batch::default() }
}

pub(crate) fn bare(names: &[&str]) -> Batch {
    let names = names.iter().map(|text| Invalidation::of(name(text))).collect();
    Batch { names, cause: "a test".to_owned(), ..Batch::default() }
}

pub(crate) async fn publish(store: &dyn Store, to: &str, id: &str) -> Published {
    store.publish(batch(vec![new(to, id)])).await.unwrap()
}

/// Reads a stream to its tail, page by page.
pub(crate) async fn read_all(store: &dyn Store, from: &str, limit: usize) -> Vec<Record> {
    let (mut records, mut after) = (Vec::new(), None);
    loop {
        let page = store.read_stream(&stream(from), after, limit).await.unwrap();
        records.extend(page.records);
        after = Some(page.next);
        if page.at_tail {
            return records;
        }
    }
}

pub(crate) fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(Record::id_text).collect()
}

/// Returns what the store remembers of a name.
async fn last_of(store: &dyn Store, name: &Name) -> (Option<Position>, bool) {
    let known = store.last(std::slice::from_ref(name)).await.unwrap();
    (known[0].position, known[0].in_doubt)
}

/// Evaluates the predicate, at once where that needs no round trip.
async fn still_valid(store: &dyn Store, closure: &[Name], as_of: Token) -> Option<Position> {
    // What follows the last barrier is not known to memory, so nothing is raised above that.
    store.barrier().await.unwrap();
    let asked = store.valid(closure, as_of).await.unwrap();
    if store.barrier_now().is_some() {
        assert_eq!(store.still_valid(closure, as_of.position), asked);
    }
    asked
}

async fn mark(store: &dyn Store, text: &str, mark: Mark) -> Token {
    let names = vec![Invalidation { name: name(text), mark, event: None }];
    let token = store.publish(Batch { names, ..Batch::default() }).await.unwrap().token;
    store.barrier().await.unwrap();
    token
}

pub(crate) async fn events_come_back_in_order_as_they_were_sent(subject: &mut dyn Subject) {
    let store = subject.store();
    let mut subjected = new("a", "2");
    subjected.event = subjected.event.with_subject("state:x");
    let first = publish(&*store, "a", "1").await;
    let second = store.publish(batch(vec![subjected, new("b", "3"), new("a", "4")])).await.unwrap();
    assert!(second.token.position > first.token.position);
    let seqs: Vec<_> = second.events.iter().map(|e| e.cursor.seq.0).collect();
    assert_eq!(seqs, [2, 1, 3]);
    let records = read_all(&*store, "a", 10).await;
    assert_eq!(ids(&records), ["1", "2", "4"]);
    for (record, published) in records[1..].iter().zip([&second.events[0], &second.events[2]]) {
        assert_eq!((record.cursor, record.token), (published.cursor, second.token));
        let read = record.event().unwrap();
        assert_eq!((read.sequence(), read.position()), (Some(published.cursor), Some(second.token)));
        assert_eq!((record.type_text(), record.source_text()), ("message", "agent/test"));
    }
    assert_eq!((records[1].subject_text(), records[2].subject_text()), (Some("state:x"), None));
    assert_eq!(records[2].event().unwrap().without_place(), event("4"));
    assert_eq!(ids(&read_all(&*store, "b", 10).await), ["3"]);
}

pub(crate) async fn pages_go_on_where_the_last_one_ended(subject: &mut dyn Subject) {
    let store = subject.store();
    for n in 0..10 {
        publish(&*store, "a", &n.to_string()).await;
    }
    let page = store.read_stream(&stream("a"), None, 4).await.unwrap();
    assert_eq!((page.records.len(), page.next.seq, page.at_tail), (4, Seq(4), false));
    let page = store.read_stream(&stream("a"), Some(page.next), 6).await.unwrap();
    assert_eq!((page.records[0].cursor.seq, page.next.seq, page.at_tail), (Seq(5), Seq(10), true));
    let page = store.read_stream(&stream("a"), Some(page.next), 6).await.unwrap();
    assert_eq!((page.records.len(), page.next.seq, page.at_tail), (0, Seq(10), true));
    let nobody = store.read_stream(&stream("nobody"), None, 6).await.unwrap();
    assert_eq!((nobody.records.len(), nobody.at_tail), (0, true));
    let page = store.read_stream(&stream("nobody"), Some(nobody.next), 6).await.unwrap();
    assert!(page.at_tail);
}

pub(crate) async fn a_cursor_that_can_not_be_continued_is_gone(subject: &mut dyn Subject) {
    let store = subject.store();
    let cursor = publish(&*store, "a", "1").await.events[0].cursor;
    let future = Cursor { seq: Seq(2), ..cursor };
    let epoch = Cursor { epoch: undercurrent_types::Epoch(77), ..cursor };
    for (given, expected) in [(future, "future"), (epoch, "epoch")] {
        let error = store.read_stream(&stream("a"), Some(given), 1).await.unwrap_err();
        let ReadStreamError::Gone { oldest, reason, .. } = error else { panic!("{error}") };
        assert_eq!((oldest, reason), (Cursor { seq: Seq(0), ..cursor }, expected));
        assert!(store.read_stream(&stream("nobody"), Some(given), 1).await.is_err());
    }
}

pub(crate) async fn a_refused_batch_leaves_nothing(subject: &mut dyn Subject) {
    let store = subject.store();
    publish(&*store, "a", "1").await;
    let before = store.barrier().await.unwrap();
    let conflict = NewEvent { event: event("1").with_subject("other"), ..new("a", "1") };
    let expected = NewEvent { expected_seq: Some(Seq(3)), ..new("a", "3") };
    for refused in [conflict, expected] {
        let mut batch = batch(vec![new("a", "2"), new("new", "x"), refused]);
        batch.names = vec![Invalidation::of(name("state:x"))];
        let error = store.publish(batch).await.unwrap_err();
        match error {
            PublishError::ExpectedSeq { index, expected, actual, .. } => {
                assert_eq!((index, expected, actual), (2, Seq(3), Seq(2)));
            }
            PublishError::IdConflict { index, event_source, id, .. } => {
                assert_eq!((index, &*event_source, &*id), (2, "agent/test", "1"));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(ids(&read_all(&*store, "a", 9).await), ["1"]);
    assert_eq!(store.streams().await.unwrap().len(), 1);
    assert_eq!(last_of(&*store, &name("state:x")).await, (None, false));
    assert_eq!(store.barrier().await.unwrap(), before);
}

pub(crate) async fn a_repeated_event_answers_its_old_place(subject: &mut dyn Subject) {
    let store = subject.store();
    let moving = |events| Batch { names: vec![Invalidation::of(name("state:x"))], ..batch(events) };
    let first = store.publish(moving(vec![new("a", "1"), new("a", "2")])).await.unwrap();
    let again = store.publish(moving(vec![new("a", "2"), new("a", "1")])).await.unwrap();
    assert_eq!(again.token, first.token);
    let places: Vec<_> = again.events.iter().map(|e| (e.cursor.seq.0, e.duplicate)).collect();
    assert_eq!(places, [(2, true), (1, true)]);
    assert_eq!(last_of(&*store, &name("state:x")).await, (Some(first.token.position), false));

    let mixed = store.publish(moving(vec![new("a", "2"), new("a", "3"), new("a", "3")])).await.unwrap();
    let places: Vec<_> = mixed.events.iter().map(|e| (e.cursor.seq.0, e.duplicate)).collect();
    assert_eq!(places, [(2, true), (3, false), (3, true)]);
    assert_eq!(last_of(&*store, &name("state:x")).await, (Some(mixed.token.position), false));
    assert_eq!(ids(&read_all(&*store, "a", 9).await), ["1", "2", "3"]);
    // The same id in another stream, or from another source, is another event.
    assert!(!publish(&*store, "b", "1").await.events[0].duplicate);
    let mut elsewhere = new("a", "1");
    elsewhere.event.source = "agent/other".parse().unwrap();
    let other = store.publish(batch(vec![elsewhere])).await.unwrap();
    assert!(!other.events[0].duplicate);
}

pub(crate) async fn ids_and_seqs_survive_a_restart(subject: &mut dyn Subject) {
    let first = publish(&*subject.store(), "a", "1").await;
    subject.restart().await;
    let store = subject.store();
    let again = publish(&*store, "a", "1").await;
    assert!(again.events[0].duplicate);
    assert_eq!(again.events[0].cursor, first.events[0].cursor);
    let conflict = NewEvent { event: event("1").with_subject("other"), ..new("a", "1") };
    let error = store.publish(batch(vec![conflict])).await.unwrap_err();
    assert!(matches!(error, PublishError::IdConflict { .. }), "{error}");
    let expecting = |seq| batch(vec![NewEvent { expected_seq: Some(Seq(seq)), ..new("a", "2") }]);
    assert!(store.publish(expecting(0)).await.is_err());
    assert_eq!(store.publish(expecting(1)).await.unwrap().events[0].cursor.seq, Seq(2));
}

pub(crate) async fn expected_seq_counts_the_events_before_it_in_the_batch(subject: &mut dyn Subject) {
    let store = subject.store();
    let expecting = |id: &str, seq| NewEvent { expected_seq: Some(Seq(seq)), ..new("a", id) };
    store.publish(batch(vec![expecting("1", 0), expecting("2", 1)])).await.unwrap();
    // A repeat is answered, whatever it expects.
    let again = store.publish(batch(vec![expecting("1", 0)])).await.unwrap();
    assert!(again.events[0].duplicate);
    let error = store.publish(batch(vec![expecting("3", 2), expecting("4", 2)])).await.unwrap_err();
    let PublishError::ExpectedSeq { index, actual, .. } = error else { panic!("{error}") };
    assert_eq!((index, actual), (1, Seq(3)));
}

pub(crate) async fn an_invalidation_is_in_force_when_it_returns(subject: &mut dyn Subject) {
    let store = subject.store();
    let h = store.barrier().await.unwrap();
    let closure = [name("state:x"), name("tag:t")];
    assert!(matches!(store.commit(Commit::of(h, &closure)).await.unwrap(), Committed::Accepted(_)));
    let token = store.publish(bare(&["tag:t"])).await.unwrap().token;
    assert!(token.position > h.position);
    assert!(store.barrier().await.unwrap().position >= token.position);
    let (horizon, slot) = (store.horizon(), Slot::of(&name("tag:t")));
    assert!(horizon.applied() >= token.position && horizon.floor(slot) >= token.position);
    assert_eq!(last_of(&*store, &name("tag:t")).await, (Some(token.position), false));
    assert_eq!(store.commit(Commit::of(h, &closure)).await.unwrap(), Committed::Moved);
    assert_eq!(still_valid(&*store, &closure, h).await, None);
    assert_eq!(still_valid(&*store, &closure[..1], h).await, Some(token.position));
    let accepted = store.commit(Commit::of(token, &closure)).await.unwrap();
    assert_eq!(accepted, Committed::Accepted(token.position));
    let elsewhere = Token { inc: Incarnation(token.inc.0 ^ 1), ..token };
    assert_eq!(store.commit(Commit::of(elsewhere, &closure)).await.unwrap(), Committed::Moved);
}

pub(crate) async fn a_name_in_doubt_is_never_valid(subject: &mut dyn Subject) {
    let store = subject.store();
    let closure = [name("scope:s")];
    let doubted = mark(&*store, "scope:s", Mark::InDoubt).await;
    assert_eq!(store.commit(Commit::of(doubted, &closure)).await.unwrap(), Committed::InDoubt);
    assert_eq!(still_valid(&*store, &closure, doubted).await, None);
    let kept = mark(&*store, "scope:s", Mark::Keep).await;
    assert_eq!(last_of(&*store, &name("scope:s")).await, (Some(kept.position), true));
    let vouched = mark(&*store, "scope:s", Mark::Vouched).await;
    store.barrier().await.unwrap();
    assert_eq!(store.commit(Commit::of(kept, &closure)).await.unwrap(), Committed::Moved);
    assert_eq!(
        store.commit(Commit::of(vouched, &closure)).await.unwrap(),
        Committed::Accepted(vouched.position)
    );
}

pub(crate) async fn a_change_found_is_announced(subject: &mut dyn Subject) {
    let store = subject.store();
    let h = store.barrier().await.unwrap();
    let changed = key("file:/a");
    let closure = [Name::from(&changed), name("tag:t")];
    let Committed::Accepted(at) =
        store.commit(Commit::of(h, &closure).announcing(Some(&changed))).await.unwrap()
    else {
        panic!()
    };
    assert!(at > h.position);
    store.barrier().await.unwrap();
    assert_eq!(last_of(&*store, &closure[0]).await, (Some(at), false));
    assert_eq!(still_valid(&*store, &closure, h).await, None);
    assert_eq!(still_valid(&*store, &closure, Token { position: at, ..h }).await, Some(at));
    // What does not hold announces nothing.
    assert_eq!(
        store.commit(Commit::of(h, &closure).announcing(Some(&changed))).await.unwrap(),
        Committed::Moved
    );
    assert_eq!(last_of(&*store, &closure[0]).await, (Some(at), false));
    let past = store.invalidations(&closure[..1], 5).await;
    assert_eq!((past[0].position, &*past[0].cause), (at, "a change found"));
}

pub(crate) async fn latest_is_the_last_fact(subject: &mut dyn Subject) {
    let store = subject.store();
    let about = key("state:t");
    let fact =
        |id: &str, value: Option<Bytes>| NewEvent { latest: Some((about.clone(), value)), ..new("s", id) };
    assert_eq!(store.latest(&about).await.unwrap(), None);
    let own = Bytes::from_static(b"\"not in the event\"");
    store.publish(batch(vec![fact("1", Some(own.clone()))])).await.unwrap();
    assert_eq!(store.latest(&about).await.unwrap(), Some(own));
    let data = Bytes::from_static(br#"{"text":"2"}"#);
    let large = Bytes::from(format!("\"{}\"", "x".repeat(100_000)));
    let other = NewEvent { latest: Some((key("state:u"), Some(large.clone()))), ..new("s", "3") };
    store.publish(batch(vec![fact("2", Some(data.clone())), other])).await.unwrap();
    for _ in 0..2 {
        assert_eq!(subject.store().latest(&about).await.unwrap(), Some(data.clone()));
        assert_eq!(subject.store().latest(&key("state:u")).await.unwrap(), Some(large.clone()));
        subject.restart().await;
    }
    subject.store().publish(batch(vec![fact("4", None)])).await.unwrap();
    assert_eq!(subject.store().latest(&about).await.unwrap(), None);
}

pub(crate) async fn invalidations_say_what_caused_them(subject: &mut dyn Subject) {
    let store = subject.store();
    let about = |id: &str, subject: &str| {
        let mut new = new("a", id);
        new.event = new.event.with_subject(subject);
        new
    };
    let caused = Batch {
        names: vec![Invalidation::by(name("state:x"), 0), Invalidation::by(name("state:y"), 1)],
        ..batch(vec![about("1", "state:x"), about("2", "state:y")])
    };
    let first = store.publish(caused).await.unwrap().token.position;
    let second = store.publish(bare(&["state:x"])).await.unwrap().token.position;
    for _ in 0..2 {
        let store = subject.store();
        let past = store.invalidations(&[name("state:y"), name("state:x"), name("tag:other")], 9).await;
        let seen: Vec<_> = past
            .iter()
            .inspect(|p| assert!(p.event.as_ref().is_none_or(|event| event.stream == stream("a"))))
            .map(|p| (p.position, p.name.as_str(), p.event.as_ref().map(Record::id_text), &*p.cause))
            .collect();
        let expected = [
            (second, "state:x", None, "a test"),
            (first, "state:y", Some("2"), ""),
            (first, "state:x", Some("1"), ""),
        ];
        assert_eq!(seen, expected);
        assert_eq!(store.invalidations(&[name("state:x")], 1).await.len(), 1);
        subject.restart().await;
    }
}

pub(crate) async fn history_and_live_join_without_a_gap(subject: &mut dyn Subject) {
    let store = subject.store();
    let writer = tokio::spawn({
        let store = store.clone();
        PROMISED.scope(promised(), async move {
            for n in 0..200 {
                publish(&*store, "a", &n.to_string()).await;
            }
        })
    });
    let mut live_rx = store.follow(&stream("a"));
    let mut seen: Vec<u64> =
        read_all(&*store, "a", 7).await.iter().map(|record| record.cursor.seq.0).collect();
    while seen.len() < 200 {
        let record = live_rx.recv().await.unwrap();
        if record.cursor.seq.0 > seen.last().copied().unwrap_or(0) {
            seen.push(record.cursor.seq.0);
        }
    }
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    writer.await.unwrap();
}

pub(crate) async fn a_follower_that_lags_finds_all_in_the_log(subject: &mut dyn Subject) {
    let store = subject.store();
    let mut live_rx = store.follow(&stream("a"));
    for n in 0..30 {
        let events = (0..100).map(|m| new("a", &format!("{n}.{m}"))).collect();
        store.publish(batch(events)).await.unwrap();
    }
    assert!(matches!(live_rx.recv().await, Err(RecvError::Lagged(_))));
    let live = live_rx.recv().await.unwrap().cursor.seq.0;
    let logged = read_all(&*store, "a", 1000).await;
    assert!(live > 1);
    assert_eq!(logged.iter().map(|r| r.cursor.seq.0).collect::<Vec<_>>(), (1..=3000).collect::<Vec<_>>());
}

pub(crate) async fn an_observer_sees_the_events_of_all_streams(subject: &mut dyn Subject) {
    let store = subject.store();
    assert_eq!(store.tail(&stream("a")).await.unwrap().seq, Seq(0));
    let mut all_rx = store.observe();
    let published = publish(&*store, "a", "1").await;
    assert_eq!(store.tail(&stream("a")).await.unwrap(), published.events[0].cursor);
    publish(&*store, "b", "2").await;
    assert_eq!(all_rx.recv().await.unwrap().id_text(), "1");
    assert_eq!(all_rx.recv().await.unwrap().id_text(), "2");
}

pub(crate) async fn live_rings_end_with_the_store(subject: &mut dyn Subject) {
    let store = subject.store();
    publish(&*store, "a", "1").await;
    let mut live_rxs = [store.follow(&stream("a")), store.follow(&stream("nobody")), store.observe()];
    publish(&*store, "a", "2").await;
    store.close().await;
    assert_eq!(live_rxs[0].recv().await.unwrap().id_text(), "2");
    assert_eq!(live_rxs[2].recv().await.unwrap().id_text(), "2");
    for live_rx in &mut live_rxs {
        assert!(matches!(live_rx.recv().await, Err(RecvError::Closed)));
    }
    assert!(matches!(store.follow(&stream("a")).recv().await, Err(RecvError::Closed)));
    assert!(matches!(store.observe().recv().await, Err(RecvError::Closed)));
}

pub(crate) async fn what_was_published_is_there_after_a_restart(subject: &mut dyn Subject) {
    let published = publish(&*subject.store(), "a", "1").await;
    let moved = subject.store().publish(bare(&["state:x"])).await.unwrap().token;
    let before = read_all(&*subject.store(), "a", 9).await;
    subject.restart().await;
    let store = subject.store();
    let after = read_all(&*store, "a", 9).await;
    assert_eq!((after.len(), &after[0].json, after[0].cursor), (1, &before[0].json, before[0].cursor));
    assert_eq!(store.streams().await.unwrap()[0].tail, published.events[0].cursor);
    let barrier = store.barrier().await.unwrap();
    assert!(barrier.inc == moved.inc && barrier.position >= moved.position);
    let next = publish(&*store, "a", "2").await;
    assert!(next.token.position > moved.position);
    assert_eq!(next.events[0].cursor.seq, Seq(2));
}

pub(crate) async fn what_is_published_before_the_close_is_settled(subject: &mut dyn Subject) {
    let store = subject.store();
    let token = publish(&*store, "a", "1").await.token;
    store.settled(token.position).await;
    store.settled(Position(0)).await;
    store.close().await;
    store.close().await;
    let error = store.publish(bare(&["state:x"])).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed), "{error}");
    let error = store.publish(batch(vec![new("a", "2")])).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed), "{error}");
    assert_eq!(ids(&read_all(&*store, "a", 9).await), ["1"]);
}

fn row(id: &str, expected: Option<Option<Position>>, value: Option<&'static str>) -> RowWrite {
    RowWrite { table: "t", id: id.to_owned(), expected, value: value.map(Bytes::from) }
}

async fn write(store: &dyn Store, rows: Vec<RowWrite>) -> Result<Position, PublishError> {
    Ok(store.publish(Batch::writing(rows)).await?.token.position)
}

pub(crate) async fn a_row_is_written_only_from_the_revision_expected(subject: &mut dyn Subject) {
    let store = subject.store();
    assert_eq!(store.row("t", "a").await.unwrap(), None);
    let first = write(&*store, vec![row("a", Some(None), Some("1"))]).await.unwrap();
    assert_eq!(store.row("t", "a").await.unwrap(), Some(Row { revision: first, value: "1".into() }));
    for refused in [row("a", Some(None), Some("x")), row("a", Some(Some(Position(0))), None)] {
        let error = write(&*store, vec![refused]).await.unwrap_err();
        let PublishError::RowConflict { table, id, actual } = error else { panic!("{error}") };
        assert_eq!((&*table, &*id, actual), ("t", "a", Some(first)));
    }
    let second = write(&*store, vec![row("a", Some(Some(first)), Some("2")), row("b", None, Some("3"))]);
    let second = second.await.unwrap();
    assert!(second > first);
    let rows = [("a", "2"), ("b", "3")];
    let rows = rows.map(|(id, value)| (id.to_owned(), Row { revision: second, value: value.into() }));
    assert_eq!(store.rows("t").await.unwrap(), rows);
    write(&*store, vec![row("a", Some(Some(second)), None)]).await.unwrap();
    assert_eq!(
        (
            store.row("t", "a").await.unwrap(),
            store.rows("t").await.unwrap().len(),
            store.rows("other").await.unwrap().len()
        ),
        (None, 1, 0)
    );
    let error = write(&*store, vec![row("a", Some(Some(second)), Some("x"))]).await.unwrap_err();
    assert!(matches!(error, PublishError::RowConflict { actual: None, .. }), "{error}");
    write(&*store, vec![row("a", Some(None), Some("4"))]).await.unwrap();
}

pub(crate) async fn a_row_conflict_refuses_the_whole_batch(subject: &mut dyn Subject) {
    let store = subject.store();
    let before = write(&*store, vec![row("a", None, Some("1"))]).await.unwrap();
    let rows = vec![row("b", None, Some("2")), row("a", Some(None), Some("3"))];
    let moved = vec![Invalidation::of(name("state:x"))];
    let both = Batch { names: moved, rows, ..batch(vec![new("s", "1")]) };
    assert!(store.publish(both.clone()).await.is_err());
    assert_eq!(store.barrier().await.unwrap().position, before);
    assert_eq!((store.rows("t").await.unwrap().len(), store.streams().await.unwrap().len()), (1, 0));
    assert_eq!(last_of(&*store, &name("state:x")).await, (None, false));
    let rows = vec![row("b", None, Some("2")), row("a", Some(Some(before)), Some("3"))];
    let published = store.publish(Batch { rows, ..both }).await.unwrap();
    assert_eq!(store.row("t", "a").await.unwrap().unwrap().revision, published.token.position);
    assert_eq!(ids(&read_all(&*store, "s", 9).await), ["1"]);
    // An event that is there already keeps no row from being written.
    let again = Batch { rows: vec![row("b", None, None)], ..batch(vec![new("s", "1")]) };
    assert!(store.publish(again).await.unwrap().events[0].duplicate);
    assert_eq!(store.row("t", "b").await.unwrap(), None);
}

pub(crate) async fn rows_are_there_after_a_restart(subject: &mut dyn Subject) {
    let store = subject.store();
    let first = write(&*store, vec![row("a", None, Some("1")), row("b", None, Some(""))]).await.unwrap();
    write(&*store, vec![row("gone", None, Some("1"))]).await.unwrap();
    write(&*store, vec![row("gone", None, None), row("a", Some(Some(first)), Some("2"))]).await.unwrap();
    let before = store.rows("t").await.unwrap();
    assert_eq!(before.len(), 2);
    drop(store);
    subject.restart().await;
    let store = subject.store();
    assert_eq!(store.rows("t").await.unwrap(), before);
    assert!(write(&*store, vec![row("a", Some(Some(first)), Some("x"))]).await.is_err());
    write(&*store, vec![row("a", Some(Some(before[0].1.revision)), Some("3"))]).await.unwrap();
}

pub(crate) async fn a_row_too_large_is_refused(subject: &mut dyn Subject) {
    let store = subject.store();
    let sized = |len| RowWrite { value: Some(vec![7; len].into()), ..row("a", None, None) };
    let error = write(&*store, vec![sized((1 << 20) + 1)]).await.unwrap_err();
    assert!(matches!(error, PublishError::RowTooLarge { .. }), "{error}");
    write(&*store, vec![sized(1 << 20)]).await.unwrap();
    assert_eq!(store.row("t", "a").await.unwrap().unwrap().value.len(), 1 << 20);
}

pub(crate) async fn the_log_gives_all_streams_in_one_order(subject: &mut dyn Subject) {
    let store = subject.store();
    store.publish(batch(vec![new("a", "1"), new("b", "2")])).await.unwrap();
    let moved = Batch { names: vec![Invalidation::of(name("state:x"))], ..batch(vec![new("a", "3")]) };
    store.publish(moved).await.unwrap();
    write(&*store, vec![row("a", None, Some("1"))]).await.unwrap();
    let middle = publish(&*store, "c", "4").await.token.position;
    drop(store);
    subject.restart().await;
    let store = subject.store();
    publish(&*store, "b", "5").await;
    let page = store.read_log(None, 99).await.unwrap();
    let events: Vec<_> = page.commits.iter().flat_map(|commit| &commit.events).collect();
    let seen: Vec<_> = events.iter().map(|event| (event.stream.as_str(), event.id_text())).collect();
    assert_eq!(seen, [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5")]);
    assert!(page.at_tail && page.next == store.visible().await.unwrap());
    assert_eq!(page.commits[1].names, [(name("state:x"), Some(0))]);
    assert_eq!(events[2].token, page.commits[1].token);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = store.read_log(after, 2).await.unwrap();
        assert!(page.commits.len() <= 2);
        paged.extend(page.commits.iter().flat_map(|commit| &commit.events).map(|e| e.id_text().to_owned()));
        after = Some(page.next);
        if page.at_tail {
            break;
        }
    }
    assert_eq!(paged, ["1", "2", "3", "4", "5"]);
    let page = store.read_log(Some(middle), 9).await.unwrap();
    assert_eq!(page.commits.len(), 1);
}

fn settings(durability: Durability, count: Option<u64>) -> StreamSettings {
    StreamSettings { durability, retention: Retention { count, ..Retention::UNLIMITED } }
}

pub(crate) async fn a_stream_is_set_up_before_its_first_event(subject: &mut dyn Subject) {
    let store = subject.store();
    let asked = settings(Durability::Memory, Some(5));
    let state = store.create_stream(&stream("a"), asked).await.unwrap();
    assert_eq!((state.tail.seq, state.durability), (Seq(0), Durability::Memory));
    let published = publish(&*store, "a", "1").await.events[0];
    assert_eq!(published.durability, Durability::Memory);
    publish(&*store, "b", "1").await;
    let more = settings(Durability::Memory, Some(7));
    let state = store.create_stream(&stream("a"), more).await.unwrap();
    assert_eq!(state.tail, published.cursor);
    if promised() > Durability::Memory {
        let error = store.create_stream(&stream("a"), settings(promised(), None)).await.unwrap_err();
        assert!(
            matches!(error, CreateStreamError::OtherDurability { has: Durability::Memory, .. }),
            "{error}"
        );
    }
    store.create_stream(&stream("c"), settings(promised(), None)).await.unwrap();
    drop(store);
    subject.restart().await;
    let states: Vec<_> = subject
        .store()
        .streams()
        .await
        .unwrap()
        .iter()
        .map(|s| (s.tail.seq.0, s.durability, s.retention))
        .collect();
    let expected = [
        (1, Durability::Memory, more.retention),
        (1, promised(), subject.retention(&stream("b"))),
        (0, promised(), Retention::UNLIMITED),
    ];
    assert_eq!(states, expected);
}

pub(crate) async fn a_deleted_stream_is_gone_with_all_it_said(subject: &mut dyn Subject) {
    let store = subject.store();
    let said = NewEvent { latest: Some((key("state:t"), Some("x".into()))), ..new("a", "1") };
    let old = store.publish(batch(vec![said, new("b", "2")])).await.unwrap();
    let cursor = old.events[0].cursor;
    let mut live_rx = store.follow(&stream("a"));
    assert!(!store.delete_stream(&stream("nobody")).await.unwrap());
    assert!(store.delete_stream(&stream("a")).await.unwrap());
    assert!(
        last_of(&*store, &name("state:t")).await.0.unwrap() > old.token.position,
        "what it said is stale"
    );
    for restarted in [false, true] {
        if restarted {
            subject.restart().await;
        }
        let store = subject.store();
        assert_eq!(store.latest(&key("state:t")).await.unwrap(), None);
        let names: Vec<_> = store.streams().await.unwrap().iter().map(|s| s.stream.to_string()).collect();
        assert_eq!(names, ["b"]);
        let gone = store.read_stream(&stream("a"), Some(cursor), 9).await;
        assert!(matches!(gone, Err(ReadStreamError::Gone { reason: "epoch", .. })), "{gone:?}");
        assert!(read_all(&*store, "a", 9).await.is_empty());
    }
    drop(store);
    let store = subject.store();
    // The id is free again, and its event is the first of another stream.
    let successor = publish(&*store, "a", "1").await.events[0];
    assert_eq!((successor.duplicate, successor.cursor.seq), (false, Seq(1)));
    assert!(successor.cursor.epoch > cursor.epoch);
    assert!(publish(&*store, "a", "1").await.events[0].duplicate);
    let gone = store.read_stream(&stream("a"), Some(cursor), 9).await;
    assert!(matches!(gone, Err(ReadStreamError::Gone { reason: "epoch", .. })), "{gone:?}");
    let page = store.read_log(None, 99).await.unwrap();
    let seen: Vec<_> = page.commits.iter().flat_map(|commit| &commit.events).map(|e| e.cursor).collect();
    assert_eq!(seen, [old.events[1].cursor, successor.cursor]);
    assert!(live_rx.try_recv().is_err(), "that ring ended with its store");
}

pub(crate) async fn who_follows_a_deleted_stream_follows_its_successor(subject: &mut dyn Subject) {
    let store = subject.store();
    let cursor = publish(&*store, "a", "1").await.events[0].cursor;
    let mut live_rx = store.follow(&stream("a"));
    store.delete_stream(&stream("a")).await.unwrap();
    publish(&*store, "a", "2").await;
    let seen = live_rx.recv().await.unwrap();
    assert_eq!(seen.id_text(), "2");
    assert!(seen.cursor.epoch > cursor.epoch && seen.cursor.seq == cursor.seq);
}

/// Asks what became of an event of the source that [`event`] has.
pub(crate) async fn outcome(store: &dyn Store, of: &str, id: &str) -> Outcome {
    store.outcome(&stream(of), "agent/test", id).await.unwrap()
}

pub(crate) async fn what_became_of_an_event_is_known_by_its_id_and_over_a_restart(subject: &mut dyn Subject) {
    let store = subject.store();
    publish(&*store, "a", "0").await;
    let published = publish(&*store, "a", "1").await;
    let expected = Outcome::Published {
        cursor: published.events[0].cursor,
        token: published.token,
        durability: published.events[0].durability,
    };
    publish(&*store, "b", "2").await;
    drop(store);
    for restarted in [false, true] {
        if restarted {
            subject.restart().await;
        }
        let store = subject.store();
        assert_eq!(outcome(&*store, "a", "1").await, expected);
        for (of, id) in [("a", "2"), ("b", "1"), ("nobody", "1"), ("a", "")] {
            assert_eq!(outcome(&*store, of, id).await, Outcome::NotKnown, "{of} {id}");
        }
        let other = store.outcome(&stream("a"), "agent/other", "1").await.unwrap();
        assert_eq!(other, Outcome::NotKnown);
    }
    let store = subject.store();
    store.delete_stream(&stream("a")).await.unwrap();
    assert_eq!(outcome(&*store, "a", "1").await, Outcome::NotKnown);
    publish(&*store, "a", "3").await;
    assert_eq!(outcome(&*store, "a", "1").await, Outcome::NotKnown);
}

/// Runs the whole contract, each test against a store of its own.
macro_rules! contract {
    ($subject:expr) => {
        contract!($subject;
            events_come_back_in_order_as_they_were_sent
            pages_go_on_where_the_last_one_ended
            a_cursor_that_can_not_be_continued_is_gone
            a_refused_batch_leaves_nothing
            a_repeated_event_answers_its_old_place
            ids_and_seqs_survive_a_restart
            expected_seq_counts_the_events_before_it_in_the_batch
            an_invalidation_is_in_force_when_it_returns
            a_name_in_doubt_is_never_valid
            a_change_found_is_announced
            latest_is_the_last_fact
            invalidations_say_what_caused_them
            history_and_live_join_without_a_gap
            a_follower_that_lags_finds_all_in_the_log
            an_observer_sees_the_events_of_all_streams
            live_rings_end_with_the_store
            what_was_published_is_there_after_a_restart
            what_is_published_before_the_close_is_settled
            a_row_is_written_only_from_the_revision_expected
            a_row_conflict_refuses_the_whole_batch
            rows_are_there_after_a_restart
            a_row_too_large_is_refused
            the_log_gives_all_streams_in_one_order
            a_stream_is_set_up_before_its_first_event
            a_deleted_stream_is_gone_with_all_it_said
            who_follows_a_deleted_stream_follows_its_successor
            what_became_of_an_event_is_known_by_its_id_and_over_a_restart
        );
    };
    ($subject:expr; $($test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                fn test(
                    subject: &mut dyn $crate::store::contract::Subject,
                ) -> futures_util::future::BoxFuture<'_, ()> {
                    Box::pin($crate::store::contract::$test(subject))
                }
                $crate::store::contract::run($subject, test).await;
            }
        )*
    };
}
pub(crate) use contract;
