//! An explanation names what a value was made from and what made it stale.

use undercurrent::event_stream::Outgoing;
use undercurrent::types::wire::Explanation;
use undercurrent::{Event, Key};

use crate::kit::Engine;

async fn explain(engine: &Engine, text: &str) -> Explanation {
    engine.events.explain(&text.parse::<Key>().unwrap()).await.unwrap()
}

fn about(subject: &str, id: &str) -> Outgoing {
    let event = Event::new("state_update".parse().unwrap(), "agent/test".parse().unwrap());
    let event =
        event.with_subject(subject).with_id(id).with_data(undercurrent::Data::from_json(b"1").unwrap());
    Outgoing { stream: "s".parse().unwrap(), event, durability: None, expected_seq: None }
}

#[tokio::test]
async fn inputs_are_shown_with_theirs_and_each_once() {
    let engine = Engine::open();
    let script = engine.script("x");
    script.set("x:leaf", "1");
    for (key, inputs) in
        [("x:left", &["x:leaf"][..]), ("x:right", &["x:leaf"]), ("x:top", &["x:left", "x:right"])]
    {
        script.join(key, inputs);
    }
    engine.get("x:top").await;
    let entry = explain(&engine, "x:top").await.entry.unwrap();
    assert_eq!((entry.loader_version, entry.expires_in_ms), (1, None));
    let below: Vec<_> =
        entry.inputs.iter().map(|one| (one.key.as_str(), one.valid, one.inputs.len())).collect();
    assert_eq!(below, [("x:left", true, 1), ("x:right", true, 1)]);
    assert_eq!(entry.inputs[1].inputs[0].key.as_str(), "x:leaf");
    engine.invalidate("x:leaf").await;
    let entry = explain(&engine, "x:top").await.entry.unwrap();
    assert!(!entry.valid && entry.inputs.iter().all(|one| !one.valid));
}

#[tokio::test]
async fn each_name_of_a_batch_is_put_down_to_its_own_event_also_after_a_restart() {
    let engine = Engine::open();
    let events = vec![about("state:a", "1"), about("state:b", "2"), about("state:c", "3")];
    engine.events.publish_with(events, Vec::new(), "").await.unwrap();
    let check = async |engine: &Engine| {
        for (key, id) in [("state:a", "1"), ("state:b", "2"), ("state:c", "3")] {
            let past = explain(engine, key).await.invalidations;
            assert_eq!(past[0].event_id.as_deref(), Some(id), "of `{key}`: {past:?}");
            assert_eq!((past[0].name.as_str(), past[0].event_type.as_deref()), (key, Some("state_update")));
        }
    };
    check(&engine).await;
    let Engine { events, store, dir } = engine;
    events.close().await;
    drop((events, store));
    check(&Engine::open_in(dir)).await;
}

#[tokio::test]
async fn an_event_that_moves_what_it_does_not_name_is_the_cause_of_that() {
    let engine = Engine::open();
    let change = Event::new("observation.file_change".parse().unwrap(), "local/try".parse().unwrap())
        .with_subject("file:/a/b.rs")
        .with_id("change");
    let change = Outgoing { event: change, ..about("state:a", "1") };
    let moved = engine.events.handle_cache_invalidation(&change.event);
    let other = moved.iter().find(|name| name.as_str() != "file:/a/b.rs").expect("a rule names more").clone();
    engine.events.publish_with(vec![about("state:a", "1"), change], Vec::new(), "").await.unwrap();
    let past = engine.store.invalidations(&[other], 1).await;
    assert_eq!(past[0].event.as_ref().map(undercurrent::store::Record::id_text), Some("change"));
}
