//! A secret that was found too late is nowhere any more, and everything else is where it was.

use bytes::Bytes;
use undercurrent_types::{Data, Durability, Name, Seq};

use super::disk::MemoryDisk;
use super::support::{clean, lasting, log, open_with, small};
use crate::store::contract::{bare, batch, event, ids, key, publish, read_all, stream};
use crate::store::embedded::{EmbeddedStore, StoreOptions};
use crate::store::{Batch, NewEvent, RowWrite, Secret, Store};

const SECRET: &str = "hunter2-\"quoted\"";

fn tiny() -> StoreOptions {
    StoreOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..small() }
}

fn telling(id: &str) -> NewEvent {
    let data = serde_json::json!({ "output": format!("the password is {SECRET}, keep it"), "id": id });
    let sent = lasting(Durability::Durable, "a", id);
    let state = Bytes::from(data.to_string());
    let event = event(id).with_data(Data::from_json(&state).unwrap());
    NewEvent { event, latest: Some((key(&format!("state:{id}")), Some(state))), ..sent }
}

/// Says whether any file has it, in any form that it was written in.
fn is_on(disk: &MemoryDisk) -> bool {
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    disk.names(&log()).iter().any(|name| secret.is_in(&disk.read(&log().join(name))))
}

async fn filled(disk: &MemoryDisk) -> EmbeddedStore {
    let store = open_with(disk, tiny()).unwrap();
    for n in 0..60 {
        publish(&store, "a", &n.to_string()).await;
        if n % 20 == 5 {
            store.publish(batch(vec![telling(&format!("told{n}"))])).await.unwrap();
        }
    }
    let value = Some(Bytes::from(SECRET));
    let row = RowWrite { table: "t", id: "1".to_owned(), expected: None, value };
    store.publish(Batch::writing(vec![row])).await.unwrap();
    clean(&store, disk).await;
    store.publish(batch(vec![telling("last")])).await.unwrap();
    store
}

#[tokio::test]
async fn a_secret_is_nowhere_after_a_scrub_and_every_event_where_it_was() {
    let disk = MemoryDisk::default();
    let store = filled(&disk).await;
    assert!(is_on(&disk));
    let before = read_all(&store, "a", 99).await;
    let revision = store.row_now("t", "1").unwrap().revision;
    let (scrubbed, names) = store.scrub(&Secret::new(SECRET.as_bytes()).unwrap()).await.unwrap();
    assert_eq!(scrubbed.commits, 5, "{scrubbed:?}");
    let told = ["last", "told25", "told45", "told5"].map(|id| Name::from(&key(&format!("state:{id}"))));
    assert_eq!(names, told);
    assert!(!is_on(&disk));
    for store in [store, open_with(&disk.copy(), tiny()).unwrap()] {
        let after = read_all(&store, "a", 99).await;
        assert_eq!(ids(&after), ids(&before));
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(
                (before.cursor, before.token, before.json.len()),
                (after.cursor, after.token, after.json.len())
            );
            assert!(after.event().is_ok());
        }
        let state = store.latest(&key("state:told5")).await.unwrap().unwrap();
        assert!(state.starts_with(br#"{"id":"told5","output":"the password is ****"#), "{state:?}");
        let row = store.row_now("t", "1").unwrap();
        assert_eq!((row.revision, &row.value[..]), (revision, "*".repeat(SECRET.len()).as_bytes()));
        // What was published with it is the same event still.
        let again = store.publish(batch(vec![telling("told5")])).await.unwrap().events[0];
        assert_eq!((again.duplicate, again.cursor.seq), (true, Seq(7)));
    }
}

#[tokio::test]
async fn a_crash_during_a_scrub_takes_nothing_else_and_asking_again_ends_it() {
    let disk = MemoryDisk::default();
    let store = filled(&disk).await;
    let before = read_all(&store, "a", 99).await;
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    disk.keep_images();
    store.scrub(&secret).await.unwrap();
    let images = disk.take_images();
    assert!(images.len() > 20, "{}", images.len());
    for image in images {
        let store = open_with(&image, tiny()).unwrap();
        assert_eq!(ids(&read_all(&store, "a", 99).await), ids(&before));
        store.scrub(&secret).await.unwrap();
        assert!(!is_on(&image));
    }
}

#[tokio::test]
async fn a_secret_that_names_a_stream_is_refused_and_nothing_is_changed() {
    let disk = MemoryDisk::default();
    let store = open_with(&disk, tiny()).unwrap();
    publish(&store, "sessions/hunter22", "1").await;
    store.publish(bare(&["tag:x"])).await.unwrap();
    let error = store.scrub(&Secret::new(b"hunter22").unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("delete the stream") && !error.contains("hunter22"), "{error}");
    assert_eq!(read_all(&store, "sessions/hunter22", 9).await.len(), 1);
    store.delete_stream(&stream("sessions/hunter22")).await.unwrap();
}
