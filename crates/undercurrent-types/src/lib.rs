//! The values of Undercurrent and their codecs.
//!
//! Owns what clients and engine share: events, keys, names, cursors, tokens, levels, versions, error codes and
//! the JSON shapes of the HTTP interface. Pure: no I/O, no clock, no global state. Every value has one text form,
//! and what is read from text is checked against its limits.

mod cursor;
mod digits;
mod durability;
mod error;
mod event;
mod group_name;
mod key;
mod lease;
mod level;
mod limit;
mod log_cursor;
mod name;
mod pattern;
mod session_name;
mod start;
mod stream_name;
mod token;
mod version;
pub mod wire;

pub use cursor::{Cursor, CursorError, Epoch, Seq};
pub use durability::{Durability, DurabilityError};
pub use error::{ErrorBody, ErrorCode};
pub use event::{Data, Event, EventError, EventSource, EventType, SourceKind, TypeKind, close_committed};
pub use group_name::{GroupName, GroupNameError};
pub use key::{Key, KeyError, OF_WORKSPACES, is_workspace, path_text, text_path};
pub use lease::{Lease, LeaseError};
pub use level::{Level, LevelError, parse_time};
pub use limit::{LimitError, parse_age, parse_bytes, parse_count};
pub use log_cursor::{LogCursor, LogCursorError};
pub use name::{Name, NameError};
pub use pattern::{Pattern, PatternError};
pub use session_name::{SessionName, SessionNameError};
pub use start::Start;
pub use stream_name::{StreamName, StreamNameError};
pub use token::{Incarnation, Position, Token, TokenError};
pub use version::{Version, VersionError};
