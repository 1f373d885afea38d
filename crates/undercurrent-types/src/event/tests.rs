//! The event as a whole: what survives the codec, what is refused, and the limits.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::{Epoch, Incarnation, Position, Seq};

const SEQUENCE: &str = "00000000000000a1.0000000000000007";
const POSITION: &str = "00000000000000b2-9";

fn parse(json: &str) -> Result<Event, EventError> {
    Event::from_json(json.as_bytes())
}

/// A minimal event with more members, given as `,"name":value…`.
fn with(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"agent/7","type":"message"{members}}}"#)
}

fn minimal() -> Event {
    Event::new("message".parse().unwrap(), "agent/7".parse().unwrap()).with_id("1")
}

fn place() -> (Cursor, Token) {
    (SEQUENCE.parse().unwrap(), POSITION.parse().unwrap())
}

fn text(event: &Event) -> String {
    String::from_utf8(event.to_json()).unwrap()
}

// What is read.

#[test]
fn valid_events_come_out_in_the_one_order_with_their_bytes() {
    let all = r#"{"specversion":"1.0","id":"A234-1234-1234","source":"https://a.example/x","type":"com.example.someevent","subject":"file:/a","time":"2018-04-05T17:31:00Z","datacontenttype":"application/json","dataschema":"https://a.example/s","a":1,"b":"x","data":{"z":1,"a":[]}}"#;
    let shuffled = r#" {"data": {"z":1,"a":[]}, "b": "x", "a": 1, "dataschema": "https://a.example/s", "type": "com.example.someevent",
        "time": "2018-04-05T17:31:00Z", "source": "https:\/\/a.example\/x", "datacontenttype": "application/json", "subject": "file:/a",
        "\u0069d": "A234-1234-1234", "specversion": "1.0"}
    "#;
    let same = |members: &str| (with(members), with(members));
    let cases = [
        same(""),
        (all.to_owned(), all.to_owned()),
        (shuffled.to_owned(), all.to_owned()),
        // Data: null is data, absent is not; other content types carry JSON strings.
        same(r#","data":null"#),
        same(r#","data":"""#),
        same(r#","data":1e400"#),
        same(r#","data":{"a":1,"a":2,"\u0041":"\ud800","n":1.00}"#),
        same(r#","datacontenttype":"application/xml","data":"<much wow=\"xml\"/>""#),
        same(r#","datacontenttype":"text/plain; charset=utf-8","data":"a\r\nb""#),
        same(r#","data_base64":"""#),
        same(r#","datacontenttype":"image/png","data_base64":"AAH+/w==""#),
        (with(r#","data_base64":"AAH+\/w==""#), with(r#","data_base64":"AAH+/w==""#)),
        (with(",\"data\":{\"a\":\r\n 1,\n\"b\":[\r]}"), with(r#","data":{"a":   1, "b":[ ]}"#)),
        // Null attributes are absent.
        (with(r#","subject":null,"time":null,"dataschema":null,"datacontenttype":null,"x":null"#), with("")),
        (with(r#","data_base64":null,"data":1"#), with(r#","data":1"#)),
        (with(r#","sequence":null,"position":null"#), with("")),
        // Extensions keep their bytes.
        same(
            r#","a":"\u0041\/\ud83d\ude00 😀","b":-0,"c":true,"d":false,"e":"","f":-2147483648,"g":2147483647"#,
        ),
        same(r#","0":"digits","abcdefghijklmnopqrst":"twenty""#),
        // Unknown extensions of registered specifications.
        same(
            r#","partitionkey":"k","sampledrate":30,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01""#,
        ),
    ];
    for (given, expected) in cases {
        let event = parse(&given).unwrap_or_else(|e| panic!("`{given}` gave `{e}`"));
        assert_eq!(text(&event), expected, "from `{given}`");
        assert_eq!(event.validate(), Ok(()), "from `{given}`");
        assert_eq!(parse(&expected).unwrap().content_hash(), event.content_hash());
    }
}

#[test]
fn null_data_differs_from_no_data() {
    let null = parse(&with(r#","data":null"#)).unwrap();
    assert_eq!(null.data.as_ref().unwrap().as_json().unwrap().get(), "null");
    assert_eq!(parse(&with("")).unwrap().data, None);
    assert_ne!(null, minimal());
}

#[test]
fn binary_data_is_decoded() {
    let event = parse(&with(r#","data_base64":"AAH+/w==""#)).unwrap();
    assert_eq!(event.data, Some(Data::Binary(Bytes::from_static(&[0, 1, 254, 255]))));
    assert!(event.data.unwrap().as_json().is_none());
}

#[test]
fn a_subject_that_is_a_key_is_read_as_one() {
    let key = |subject: &str| minimal().with_subject(subject).subject_key();
    assert_eq!(key("context:file:/a/../b").unwrap().as_str(), "file:/b");
    assert_eq!(key("mynewfile.jpg"), None);
    assert_eq!(minimal().subject_key(), None);
}

// What is refused.

#[test]
fn invalid_events_are_refused_by_name() {
    type Expected = fn(&EventError) -> bool;
    macro_rules! is {
        ($($pattern:tt)*) => { (|e: &EventError| matches!(e, $($pattern)*)) as Expected };
    }
    let without = |name: &str| {
        let member = match name {
            "specversion" => r#""specversion":"1.0","#,
            "id" => r#""id":"1","#,
            "source" => r#""source":"agent/7","#,
            _ => r#","type":"message""#,
        };
        with("").replace(member, "")
    };
    let replace = |from: &str, to: &str| with("").replace(from, to);
    let cases: Vec<(String, Expected)> = vec![
        // The JSON itself.
        ("".into(), is!(EventError::Syntax { .. })),
        ("{".into(), is!(EventError::Syntax { .. })),
        (format!("{} x", with("")), is!(EventError::Syntax { .. })),
        (with(",\"subject\":\"a\nb\""), is!(EventError::Syntax { .. })),
        (with(r#","a":007"#), is!(EventError::Syntax { .. })),
        (with(r#","\ud800":1"#), is!(EventError::Syntax { .. })),
        ("null".into(), is!(EventError::NotAnObject)),
        ("\"x\"".into(), is!(EventError::NotAnObject)),
        (format!("[{}]", with("")), is!(EventError::NotAnObject)),
        (with(r#","id":"1""#), is!(EventError::Duplicate { attribute } if attribute == "id")),
        (with(r#","a":1,"a":1"#), is!(EventError::Duplicate { attribute } if attribute == "a")),
        (with(r#","x":1,"\u0078":1"#), is!(EventError::Duplicate { attribute } if attribute == "x")),
        (with(r#","data":1,"data":1"#), is!(EventError::Duplicate { attribute } if attribute == "data")),
        // Required attributes.
        ("{}".into(), is!(EventError::Missing { .. })),
        (without("specversion"), is!(EventError::Missing { attribute: "specversion" })),
        (without("id"), is!(EventError::Missing { attribute: "id" })),
        (without("source"), is!(EventError::Missing { attribute: "source" })),
        (without("type"), is!(EventError::Missing { attribute: "type" })),
        (replace(r#""id":"1""#, r#""id":null"#), is!(EventError::Missing { attribute: "id" })),
        (replace(r#""id":"1""#, r#""id":"""#), is!(EventError::Empty { attribute: "id" })),
        (replace(r#""id":"1""#, r#""id":1"#), is!(EventError::NotAString { attribute: "id" })),
        (replace("agent/7", ""), is!(EventError::Empty { attribute: "source" })),
        (replace("agent/7", "a b"), is!(EventError::Source { .. })),
        (replace("message", ""), is!(EventError::Empty { attribute: "type" })),
        (replace("message", "observation."), is!(EventError::Type { .. })),
        (replace("1.0", "0.3"), is!(EventError::SpecVersion { .. })),
        (replace("1.0", "1.0.2"), is!(EventError::SpecVersion { .. })),
        (replace(r#""1.0""#, "1.0"), is!(EventError::NotAString { attribute: "specversion" })),
        // Optional attributes.
        (with(r#","subject":"""#), is!(EventError::Empty { attribute: "subject" })),
        (with(r#","subject":7"#), is!(EventError::NotAString { attribute: "subject" })),
        (with(r#","subject":{}"#), is!(EventError::NotAString { attribute: "subject" })),
        (with(r#","subject":"a\u0000""#), is!(EventError::Characters { .. })),
        (with(r#","subject":"\ud83d""#), is!(EventError::Characters { .. })),
        (with(r#","subject":"\uffff""#), is!(EventError::Characters { .. })),
        (with(r#","time":"""#), is!(EventError::Empty { attribute: "time" })),
        (with(r#","time":"yesterday""#), is!(EventError::Time { .. })),
        (with(r#","time":"2018-04-05""#), is!(EventError::Time { .. })),
        (with(r#","time":1522949460"#), is!(EventError::NotAString { attribute: "time" })),
        (with(r#","datacontenttype":"""#), is!(EventError::Empty { attribute: "datacontenttype" })),
        (with(r#","datacontenttype":"json""#), is!(EventError::ContentType { .. })),
        (with(r#","dataschema":"""#), is!(EventError::Empty { attribute: "dataschema" })),
        (with(r#","dataschema":"a b""#), is!(EventError::Schema { .. })),
        // Extension attributes.
        (with(r#","Upper":1"#), is!(EventError::ExtensionName { .. })),
        (with(r#","under_score":1"#), is!(EventError::ExtensionName { .. })),
        (with(r#","a-b":null"#), is!(EventError::ExtensionName { .. })),
        (with(r#","ä":1"#), is!(EventError::ExtensionName { .. })),
        (with(r#","":1"#), is!(EventError::ExtensionName { .. })),
        (with(r#","abcdefghijklmnopqrstu":1"#), is!(EventError::ExtensionName { .. })),
        (with(r#","a":{}"#), is!(EventError::ExtensionValue { .. })),
        (with(r#","a":[1]"#), is!(EventError::ExtensionValue { .. })),
        (with(r#","a":1.0"#), is!(EventError::ExtensionValue { .. })),
        (with(r#","a":1e2"#), is!(EventError::ExtensionValue { .. })),
        (with(r#","a":2147483648"#), is!(EventError::ExtensionValue { .. })),
        (with(r#","a":-2147483649"#), is!(EventError::ExtensionValue { .. })),
        (with(r#","a":"\u001b[0m""#), is!(EventError::Characters { attribute, .. } if attribute == "a")),
        (with(r#","a":"\udc00""#), is!(EventError::Characters { attribute, .. } if attribute == "a")),
        (
            with(&format!(r#","sequence":"{SEQUENCE}""#)),
            is!(EventError::AssignedAtCommit { attribute: "sequence" }),
        ),
        (
            with(&format!(r#","position":"{POSITION}""#)),
            is!(EventError::AssignedAtCommit { attribute: "position" }),
        ),
        // Data.
        (with(r#","data":1,"data_base64":"""#), is!(EventError::TwoData)),
        (with(r#","data":null,"data_base64":"AA==""#), is!(EventError::TwoData)),
        (with(r#","data_base64":1"#), is!(EventError::NotAString { attribute: "data_base64" })),
        (with(r#","data_base64":"AA""#), is!(EventError::Base64 { .. })),
        (with(r#","data_base64":"_-==""#), is!(EventError::Base64 { .. })),
        (with(r#","data_base64":"AB==""#), is!(EventError::Base64 { .. })),
    ];
    for (given, expected) in cases {
        let error = parse(&given).expect_err(&given);
        assert!(expected(&error), "`{given}` gave `{error:?}`");
        let message = error.to_string();
        assert!(!message.ends_with('.') && !message.starts_with(char::is_uppercase), "`{message}`");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    let mut bytes = with(r#","subject":"x""#).into_bytes();
    let at = bytes.len() - 3;
    bytes[at] = 0xff;
    assert!(matches!(Event::from_json(&bytes), Err(EventError::Syntax { .. })));
    let mut bytes = with(r#","data":"x""#).into_bytes();
    let at = bytes.len() - 3;
    bytes[at] = 0xff;
    assert!(matches!(Event::from_json(&bytes), Err(EventError::Syntax { .. })));
}

#[test]
fn an_error_does_not_repeat_a_long_input() {
    for given in
        [with(&format!(r#","{}":1"#, "A".repeat(100_000))), with("").replace("1.0", &"x".repeat(100_000))]
    {
        assert!(parse(&given).unwrap_err().to_string().len() < 400);
    }
}

#[test]
fn deeply_nested_data_is_read_without_recursion() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(parse(&with(&format!(r#","data":{deep}"#))).unwrap().data.unwrap().size(), 1_000_000);
    assert!(matches!(parse(&deep), Err(EventError::NotAnObject)));
}

#[test]
fn what_is_set_in_rust_is_checked_as_what_is_read() {
    let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
    let inserted = |name: &str, json: &str| {
        let mut event = minimal();
        event.extensions.insert(name.to_owned(), raw(json));
        event.validate().unwrap_err()
    };
    assert!(matches!(inserted("sequence", "1"), EventError::AssignedAtCommit { .. }));
    assert!(matches!(inserted("id", "1"), EventError::NotAnExtension { .. }));
    assert!(matches!(inserted("A", "1"), EventError::ExtensionName { .. }));
    assert!(matches!(inserted("a", "null"), EventError::ExtensionValue { .. }));
    assert!(matches!(inserted("a", "1.5"), EventError::ExtensionValue { .. }));
    assert_eq!(minimal().with_id("").validate(), Err(EventError::Empty { attribute: "id" }));
    assert!(matches!(minimal().with_time("now").validate(), Err(EventError::Time { .. })));
    assert!(matches!(minimal().with_subject("a\nb").validate(), Err(EventError::Characters { .. })));
    assert!(matches!(minimal().with_agentid("\0").validate(), Err(EventError::Characters { .. })));
    let keys_are_no_text = std::collections::BTreeMap::from([(vec![1], 1)]);
    assert!(matches!(minimal().with_json(&keys_are_no_text), Err(EventError::Unserializable { .. })));
}

// Limits: at the limit, and one over.

#[test]
fn every_limit_holds_exactly() {
    let text = |n: usize| "x".repeat(n);
    let too_long = |given: &str, name: &str, limit: usize| {
        let expected = EventError::TooLong { attribute: name.to_owned(), actual: limit + 1, limit };
        assert_eq!(parse(given), Err(expected));
    };
    let with_id = |n: usize| with("").replace(r#""id":"1""#, &format!(r#""id":"{}""#, text(n)));
    assert!(parse(&with_id(Event::LONGEST_ID)).is_ok());
    too_long(&with_id(Event::LONGEST_ID + 1), "id", Event::LONGEST_ID);

    for name in ["subject", "a"] {
        let given = |n: usize| with(&format!(r#","{name}":"{}""#, text(n)));
        assert!(parse(&given(Event::LONGEST_ATTRIBUTE)).is_ok());
        too_long(&given(Event::LONGEST_ATTRIBUTE + 1), name, Event::LONGEST_ATTRIBUTE);
    }

    // The fixed attributes have 47 bytes; 15 extensions of 4096 with names of 2, and one with what is left.
    let attributes = |n: usize| {
        let full: String =
            (10..25).map(|i| format!(r#","{i}":"{}""#, text(Event::LONGEST_ATTRIBUTE))).collect();
        with(&format!(r#"{full},"z":"{}""#, text(n)))
    };
    let fixed = "specversion1.0id1sourceagent/7typemessage".len();
    let left = Event::LARGEST_ATTRIBUTES - fixed - 15 * (2 + Event::LONGEST_ATTRIBUTE) - 1;
    assert!(parse(&attributes(left)).is_ok());
    let limit = Event::LARGEST_ATTRIBUTES;
    assert_eq!(
        parse(&attributes(left + 1)),
        Err(EventError::AttributesTooLarge { actual: limit + 1, limit })
    );

    let limit = Event::LARGEST_DATA;
    let json = |n: usize| with(&format!(r#","data":"{}""#, text(n - 2)));
    assert!(parse(&json(limit)).is_ok());
    assert_eq!(parse(&json(limit + 1)), Err(EventError::DataTooLarge { actual: limit + 1, limit }));
    let binary = |n: usize| minimal().with_data(Data::Binary(vec![7; n].into()));
    for (event, ok) in [(binary(limit), true), (binary(limit + 1), false)] {
        assert_eq!(event.validate().is_ok(), ok);
        assert_eq!(Event::from_json(&event.to_json()).is_ok(), ok);
        assert!(Event::from_committed_json(&event.to_json()).is_ok(), "what is stored stays readable");
    }
}

// Batches.

#[test]
fn a_batch_is_read_whole_or_its_first_fault_is_named() {
    let read = |json: &str| Event::batch_from_json(json.as_bytes());
    assert_eq!(read("[]"), Ok(Vec::new()));
    assert_eq!(read(&format!(" [ {} ,\n{} ]", with(""), with(r#","a":1"#))).unwrap().len(), 2);
    assert_eq!(read(&with("")), Err(EventError::NotABatch));
    assert_eq!(read("null"), Err(EventError::NotABatch));
    assert!(matches!(read("[{]"), Err(EventError::Syntax { .. })));
    assert!(matches!(read(""), Err(EventError::Syntax { .. })));
    let error = read(&format!("[{},7]", with(""))).unwrap_err();
    assert_eq!(error, EventError::InBatch { index: 1, error: Box::new(EventError::NotAnObject) });
    assert!(error.to_string().starts_with("event 1 of the batch"));
    let error = read(&format!("[{},{}]", with(r#","A":1"#), with(""))).unwrap_err();
    assert!(matches!(error, EventError::InBatch { index: 0, .. }));
    assert!(!error.is_over_limit());
    let long = with(&format!(r#","subject":"{}""#, "x".repeat(Event::LONGEST_ATTRIBUTE + 1)));
    assert!(read(&format!("[{long}]")).unwrap_err().is_over_limit());
}

// The place that the commit assigns.

#[test]
fn a_committed_event_has_its_place_last() {
    let (sequence, position) = place();
    let event = parse(&with(r#","z":1,"data":[1]"#)).unwrap();
    let mut committed = b"before ".to_vec();
    event.write_committed_json(sequence, position, &mut committed);
    let expected = with(&format!(r#","z":1,"data":[1],"sequence":"{SEQUENCE}","position":"{POSITION}""#));
    assert_eq!(committed, format!("before {expected}").into_bytes());

    let read = Event::from_committed_json(expected.as_bytes()).unwrap();
    assert_eq!((read.sequence(), read.position()), (Some(sequence), Some(position)));
    assert_eq!(text(&read), expected);
    assert_eq!(read.validate(), Ok(()));
    assert_eq!(read.content_hash(), event.content_hash());
    let mut open = Vec::new();
    read.write_json_open(&mut open);
    open.push(b'}');
    assert_eq!(open, event.to_json());
    assert_eq!(read.without_place(), event);
}

#[test]
fn an_event_that_is_not_committed_has_no_place() {
    let event = Event::from_committed_json(with("").as_bytes()).unwrap();
    assert_eq!((event.sequence(), event.position()), (None, None));
}

#[test]
fn a_malformed_place_is_refused() {
    let read = |members: &str| Event::from_committed_json(with(members).as_bytes()).unwrap_err();
    assert!(matches!(read(r#","sequence":"7""#), EventError::Sequence(_)));
    assert!(matches!(read(r#","position":"7""#), EventError::Position(_)));
    assert!(matches!(read(r#","sequence":7"#), EventError::NotAString { attribute: "sequence" }));
}

// Identity and serde.

#[test]
fn the_content_hash_tells_bodies_apart() {
    let base = minimal().content_hash();
    let others = [
        minimal().with_time("2026-10-05T14:30:00Z"),
        minimal().with_subject("state:a"),
        minimal().with_json(&()).unwrap(),
        minimal().with_extension("a", 1).unwrap(),
        minimal().with_id("2"),
    ];
    for other in others {
        assert_ne!(other.content_hash(), base, "{other:?}");
    }
    assert_eq!(minimal().content_hash(), base);
}

#[test]
fn the_hash_of_a_stored_event_stays_what_it_was() {
    let hash = parse(&with(r#","data":{"a":1}"#)).unwrap().content_hash();
    let whole = blake3::hash(with(r#","data":{"a":1}"#).as_bytes());
    assert_eq!(hash[..], whole.as_bytes()[..16]);
}

#[test]
fn serde_reads_and_writes_the_same_json_inside_other_values() {
    let (sequence, position) = place();
    let mut committed = Vec::new();
    parse(&with(r#","a":"\u0041","data":{"x": 1.0}"#)).unwrap().write_committed_json(
        sequence,
        position,
        &mut committed,
    );
    let list = format!("[{}]", String::from_utf8(committed).unwrap());
    let events: Vec<Event> = serde_json::from_str(&list).unwrap();
    assert_eq!(events[0].sequence(), Some(sequence));
    assert_eq!(serde_json::to_string(&events).unwrap(), list);
    let value: serde_json::Value = serde_json::from_str(&with("")).unwrap();
    assert_eq!(serde_json::from_value::<Event>(value).unwrap(), minimal());
    assert!(
        serde_json::from_str::<Event>(r#"{"id":"1"}"#).unwrap_err().to_string().contains("`specversion`")
    );
}

#[test]
fn a_new_event_has_an_id_of_its_own_and_no_time() {
    let new = || Event::new("plan".parse().unwrap(), "system".parse().unwrap());
    let (a, b) = (new(), new());
    assert_ne!(a.id, b.id);
    assert_eq!(uuid::Uuid::parse_str(&a.id).unwrap().get_version_num(), 7);
    assert_eq!((a.time.as_ref(), a.validate()), (None, Ok(())));
}

#[test]
fn data_set_in_rust_makes_one_line() {
    let json = || Data::Json(RawValue::from_string("[\n1]".to_owned()).unwrap());
    let mut by_field = minimal();
    by_field.data = Some(json());
    assert_eq!(text(&by_field), with(r#","data":[ 1]"#));
    assert_eq!(by_field, minimal().with_data(json()));
}

// Arbitrary events and bytes.

/// Text that CloudEvents strings can carry.
fn carried() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,12}", "[ -~¡-ÿぁ-ん😀-😏\"\\\\]{0,12}"]
}

fn filled() -> impl Strategy<Value = String> {
    carried().prop_map(|text| format!("x{text}"))
}

fn types() -> impl Strategy<Value = EventType> {
    let known = "(message|action|observation|plan|knowledge|datasource|state_update|cache_update|system|error)(\\.[a-z0-9_]{1,6}){0,3}";
    prop_oneof![known, "x[a-z]{1,5}(\\.[A-Za-z0-9 -]{1,5}){1,3}"].prop_map(|t| t.parse().unwrap())
}

fn sources() -> impl Strategy<Value = EventSource> {
    let known = "(agent|sandbox|ci_cd|kubernetes|rocketmq|local|user|system)(/[a-z0-9ä@:-]{1,6}){1,3}";
    prop_oneof![known, "https://[a-z]{1,5}\\.example(/[a-z%20]{0,3}){0,3}", "/[!-~]{1,9}"]
        .prop_map(|s| s.parse().unwrap())
}

fn times() -> impl Strategy<Value = String> {
    "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,12})?(Z|z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
}

/// The JSON of a string, with characters escaped that need no escape.
fn string_json(text: &str, escaped: &[bool]) -> String {
    let mut json = String::from('"');
    for (i, c) in text.chars().enumerate() {
        if c == '"' || c == '\\' || escaped.get(i % escaped.len().max(1)) == Some(&true) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| json.push_str(&format!("\\u{unit:04X}")));
        } else {
            json.push(c);
        }
    }
    json.push('"');
    json
}

fn extension_values() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        any::<bool>().prop_map(|b| b.to_string()),
        Just("-0".to_owned()),
        (carried(), vec(any::<bool>(), 0..5)).prop_map(|(text, escaped)| string_json(&text, &escaped)),
    ]
}

fn json_values() -> impl Strategy<Value = String> {
    let space = || "[ \t\r\n]{0,3}";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        ("\\PC{0,8}", vec(any::<bool>(), 0..5)).prop_map(|(text, escaped)| string_json(&text, &escaped)),
        Just(r#""\ud800\n\/""#.to_owned()),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let items = vec((space(), inner.clone()), 0..6);
        let members = vec((space(), inner), 0..6);
        prop_oneof![
            items.prop_map(|items| {
                let items: Vec<String> = items.into_iter().map(|(s, item)| format!("{s}{item}{s}")).collect();
                format!("[{}]", items.join(","))
            }),
            members.prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(s, m)| format!("{s}\"k\"{s}:{s}{m}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn data() -> impl Strategy<Value = Option<Data>> {
    prop_oneof![
        Just(None),
        json_values().prop_map(|json| Some(Data::from_json(json.as_bytes()).unwrap())),
        vec(any::<u8>(), 0..80).prop_map(|bytes| Some(Data::Binary(bytes.into()))),
    ]
}

prop_compose! {
    fn events()(
        id in filled(), ty in types(), source in sources(),
        subject in prop::option::of(filled()), time in prop::option::of(times()),
        datacontenttype in prop::option::of(Just("application/json; x=\"y\"".to_owned())),
        dataschema in prop::option::of(Just("urn:x".to_owned())), data in data(),
        extensions in btree_map("x[a-z0-9]{0,19}", extension_values(), 0..6),
    ) -> Event {
        let mut event = Event::new(ty, source).with_id(id);
        (event.subject, event.time, event.data) = (subject, time, data);
        (event.datacontenttype, event.dataschema) = (datacontenttype, dataschema);
        event.extensions = extensions.into_iter().map(|(name, json)| (name, RawValue::from_string(json).unwrap())).collect();
        event
    }
}

proptest! {
    #[test]
    fn every_event_survives_its_json(event in events(), epoch: u64, seq in 0..10_000_000_000_000_000u64, inc: u64, position: u64) {
        prop_assert_eq!(event.validate(), Ok(()));
        let json = event.to_json();
        prop_assert!(!json.iter().any(|b| matches!(b, b'\r' | b'\n')));
        let read = Event::from_json(&json).unwrap();
        prop_assert_eq!(read.to_json(), json);
        prop_assert_eq!((&read.id, &read.ty, &read.source), (&event.id, &event.ty, &event.source));
        prop_assert_eq!((&read.subject, &read.time, &read.data), (&event.subject, &event.time, &event.data));
        for (name, json) in &event.extensions {
            prop_assert_eq!(read.extensions[name].get(), json.get());
        }
        prop_assert_eq!(&read, &event);

        let sequence = Cursor { epoch: Epoch(epoch), seq: Seq(seq) };
        let position = Token { inc: Incarnation(inc), position: Position(position) };
        let mut committed = Vec::new();
        event.write_committed_json(sequence, position, &mut committed);
        let read = Event::from_committed_json(&committed).unwrap();
        prop_assert_eq!((read.sequence(), read.position()), (Some(sequence), Some(position)));
        prop_assert_eq!(read.to_json(), committed);
        prop_assert_eq!(read.content_hash(), event.content_hash());
    }

    #[test]
    fn any_json_is_data_and_keeps_its_bytes(json in json_values()) {
        let event = parse(&with(&format!(r#","data":{json}"#))).unwrap();
        let data = event.data.unwrap();
        prop_assert_eq!(data.as_json().unwrap().get(), json.replace(['\r', '\n'], " "));
    }

    #[test]
    fn a_known_extension_reads_as_it_was_set(text in carried()) {
        let event = minimal().with_toolcallid(&text);
        let toolcallid = event.toolcallid().unwrap();
        prop_assert_eq!(toolcallid.as_ref(), text);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Event::from_json(&bytes);
        let _ = Event::from_committed_json(&bytes);
        let _ = Event::batch_from_json(&bytes);
        let _ = Data::from_json(&bytes);
    }

    #[test]
    fn no_damaged_event_panics(event in events(), at: prop::sample::Index, with: u8, batch: bool) {
        let mut json = event.to_json();
        let at = at.index(json.len());
        json[at] = with;
        if let Ok(read) = Event::from_json(&json) {
            prop_assert_eq!(read.validate(), Ok(()));
            prop_assert_eq!(Event::from_json(&read.to_json()).unwrap(), read);
        }
        if batch {
            let _ = Event::batch_from_json(&[b"[", &json[..], b"]"].concat());
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = text.parse::<EventType>();
        let _ = text.parse::<EventSource>().map(|source| source.is_below(&text));
        let _ = minimal().with_time(text.as_str()).validate();
        let _ = minimal().with_extension(&text, &text);
    }
}
