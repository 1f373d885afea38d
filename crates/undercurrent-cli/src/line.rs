//! An event as one line for people.

use jiff::Timestamp;
use undercurrent_types::{Data, Event};

/// How many characters of the data are shown.
const DATA: usize = 120;

/// Writes an event of a stream that the reader knows: its place there, then as [`of`] does.
pub(crate) fn of_stream(event: &Event) -> String {
    let seq = event.sequence().map_or(0, |cursor| cursor.seq.0);
    format!("#{seq} {}", of(event))
}

/// Writes an event as one line: time of day in UTC, type, source, subject, and the beginning of the data.
pub(crate) fn of(event: &Event) -> String {
    let mut line = format!("{} {} {}", time_of_day(event), event.ty, event.source);
    for more in [event.subject.clone(), event.data.as_ref().map(data)].into_iter().flatten() {
        line.push(' ');
        line.push_str(&more);
    }
    printable(&line)
}

fn time_of_day(event: &Event) -> String {
    let time = event.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
    time.map_or_else(|| "--:--:--".to_owned(), |time| time.strftime("%H:%M:%S").to_string())
}

fn data(data: &Data) -> String {
    match data {
        Data::Json(json) => clip(json.get()),
        Data::Binary(bytes) => format!("({} bytes)", bytes.len()),
    }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(DATA) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Replaces what would control a terminal: anybody may have published it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = Event::from_committed_json(
            br#"{"specversion":"1.0","id":"1","source":"agent/7","type":"message","subject":"state:a","time":"2026-10-05T14:30:00+02:00","data":{"a": 1},"sequence":"0000000000000001.0000000000000017","position":"0000000000000001-3"}"#,
        );
        assert_eq!(of_stream(&event.unwrap()), r#"#17 12:30:00 message agent/7 state:a {"a": 1}"#);
    }

    #[test]
    fn long_data_is_cut_and_nothing_controls_the_terminal() {
        let json = format!(
            r#"{{"specversion":"1.0","id":"1","source":"agent/7","type":"message","data":"{}{}"}}"#,
            '\u{9b}',
            "ä".repeat(200)
        );
        let line = of(&Event::from_json(json.as_bytes()).unwrap());
        assert!(line.ends_with("ää…"));
        assert!(!line.contains(char::is_control));
        assert!(line.chars().count() < 170);
    }
}
