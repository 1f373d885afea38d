//! Values with a text form: what can be read is written as a text that says the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use undercurrent_types::{
    Cursor, Durability, EventSource, EventType, Key, Level, LogCursor, Name, Pattern, SessionName,
    StreamName, Token, Version,
};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The cursors are written exactly as they are read, and so sort as text.
    exact::<Cursor>(text);
    exact::<LogCursor>(text);
    exact::<Token>(text);
    exact::<Version>(text);
    exact::<StreamName>(text);
    exact::<SessionName>(text);
    exact::<EventType>(text);
    exact::<EventSource>(text);
    exact::<Durability>(text);
    steady::<Key>(text);
    steady::<Name>(text);
    steady::<Level>(text);
    if let Ok(pattern) = Pattern::parse(text) {
        assert_eq!(pattern.as_str(), text);
        let _ = pattern.covers(text);
    }
}

/// The text is the only one of its value.
fn exact<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text, "of a {}", std::any::type_name::<T>());
    }
}

/// The text that is written is the canonical one.
fn steady<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let canonical = value.to_string();
        let again = canonical.parse::<T>().expect("what was written can be read");
        assert_eq!((&again, again.to_string()), (&value, canonical));
    }
}
