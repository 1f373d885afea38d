//! The JSON of events: one, a batch, and what the store gives.

use undercurrent_types::Event;

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(event) = Event::from_json(bytes) {
        let json = check_again(&event);
        let sent = Event::from_json(&json).expect("what was accepted is accepted again");
        assert_eq!(sent.content_hash(), event.content_hash());
    }
    if let Ok(event) = Event::from_committed_json(bytes) {
        check_again(&event);
    }
    if let Ok(events) = Event::batch_from_json(bytes) {
        let json: Vec<_> = events.iter().map(Event::to_json).collect();
        let again = Event::batch_from_json(&[b"[", &*json.join(&b','), b"]"].concat());
        let again = again.expect("a batch that was accepted is accepted again");
        assert!(again.iter().map(Event::to_json).eq(json));
    }
}

/// What is written is one line, and says the same.
fn check_again(event: &Event) -> Vec<u8> {
    let json = event.to_json();
    assert!(!json.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "more than one line");
    let again = Event::from_committed_json(&json).expect("what was written can be read");
    assert_eq!(again.to_json(), json);
    assert_eq!((again.sequence(), again.position()), (event.sequence(), event.position()));
    assert_eq!(again.content_hash(), event.content_hash());
    json
}
