//! Why a text or value is no event.

use crate::{CursorError, StreamNameError, TokenError};

use super::Event;

/// Why a text or value is no event: names the attribute, the limit and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The text is not JSON.
    #[error("the event is not JSON: {reason}; send one JSON object in UTF-8")]
    Syntax {
        /// What the parser found, and where.
        reason: String,
    },
    /// The JSON is not an object.
    #[error(
        "an event is one JSON object with `specversion`, `id`, `source` and `type`; several are sent as an array of `application/cloudevents-batch+json`"
    )]
    NotAnObject,
    /// The JSON is not an array.
    #[error("a batch is a JSON array of events; a single event is sent as `application/cloudevents+json`")]
    NotABatch,
    /// An event of a batch is refused.
    #[error("event {index} of the batch, counted from 0: {error}")]
    InBatch {
        /// The place in the array, counted from 0.
        index: usize,
        /// Why that event is refused.
        error: Box<EventError>,
    },
    /// It is not said which stream the event is for.
    #[error("`stream` is missing; it names the stream that the event is for")]
    NoStream,
    /// The name of the stream is none.
    #[error("`stream`: {0}")]
    Stream(#[source] StreamNameError),
    /// A member of the object is there twice.
    #[error("`{attribute}` is there twice; send it once")]
    Duplicate {
        /// The name of the member.
        attribute: String,
    },
    /// A required attribute is absent or null.
    #[error("`{attribute}` is missing; every event has `specversion`, `id`, `source` and `type`")]
    Missing {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// An attribute that has to say something is the empty string.
    #[error("`{attribute}` is empty; give it a value, or leave it out where it is optional")]
    Empty {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// An attribute of the specification, or `data_base64`, is not a string.
    #[error("`{attribute}` is not a JSON string; put its value in quotes")]
    NotAString {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// The event keeps to another version of the specification.
    #[error("`specversion` is `{given}`; only `1.0` is understood")]
    SpecVersion {
        /// The version given.
        given: String,
    },
    /// A string has what CloudEvents strings can not carry.
    #[error(
        "`{attribute}` has {found}, which CloudEvents attributes can not carry; escape it, or put the text into `data`"
    )]
    Characters {
        /// The name of the attribute.
        attribute: String,
        /// The first such character.
        found: String,
    },
    /// An attribute is longer than its limit.
    #[error("`{attribute}` has {actual} bytes, at most {limit} are allowed; put long text into `data`")]
    TooLong {
        /// The name of the attribute.
        attribute: String,
        /// The length in bytes.
        actual: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// All attributes together are larger than their limit.
    #[error(
        "the attributes have {actual} bytes together, names included, at most {limit} are allowed; put what is long into `data`"
    )]
    AttributesTooLarge {
        /// The size in bytes.
        actual: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The data is larger than its limit.
    #[error(
        "`data` has {actual} bytes, at most {limit} are allowed; store the value elsewhere and publish a reference to it"
    )]
    DataTooLarge {
        /// The size in bytes, before base64.
        actual: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The type is neither one of ours nor a foreign one.
    #[error(
        "`type` is `{given}`: {reason}; expected one of `message action observation plan knowledge datasource state_update cache_update system error`, then `.` and words of `a–z 0–9 _` where there is a detail, such as `observation.file_change`, or a foreign type with a dot, such as `dev.cdevents.build.finished`"
    )]
    Type {
        /// The type given.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The source is neither one of ours nor a URI reference.
    #[error(
        "`source` is `{given}`: {reason}; expected `agent/<id>`, `sandbox/<id>`, `ci_cd/github/<repo>`, `kubernetes/<cluster>`, `rocketmq/<topic>`, `local/<workspace>`, `user/<id>`, `system` or a URI reference"
    )]
    Source {
        /// The source given.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The time is no timestamp.
    #[error("`time` is `{given}`; expected an RFC 3339 timestamp such as `2026-10-05T14:30:00.5Z`")]
    Time {
        /// The text given.
        given: String,
    },
    /// The content type is no media type.
    #[error("`datacontenttype` is `{given}`; expected a media type such as `application/json`")]
    ContentType {
        /// The text given.
        given: String,
    },
    /// The schema is no URI.
    #[error("`dataschema` is `{given}`; expected a URI without white space")]
    Schema {
        /// The text given.
        given: String,
    },
    /// The name of a member is no name of an extension attribute.
    #[error(
        "`{name}` is not the name of an attribute; an extension attribute has 1 to {} of `a–z 0–9`",
        Event::LONGEST_EXTENSION_NAME
    )]
    ExtensionName {
        /// The name given.
        name: String,
    },
    /// The name belongs to an attribute of the specification.
    #[error("`{name}` is not an extension attribute but one of CloudEvents itself; set it by its own field")]
    NotAnExtension {
        /// The name given.
        name: String,
    },
    /// An extension attribute is of a type that CloudEvents attributes do not have.
    #[error(
        "`{attribute}` is {found}; extension attributes are strings, booleans or integers from -2147483648 to 2147483647; send other numbers as strings, and structures in `data`"
    )]
    ExtensionValue {
        /// The name of the attribute.
        attribute: String,
        /// What was given.
        found: String,
    },
    /// The client sent an attribute that the commit assigns.
    #[error("`{attribute}` is assigned when the event is committed; leave it out")]
    AssignedAtCommit {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// There are two data members.
    #[error("`data` and `data_base64` are both there; send JSON as `data`, or bytes as `data_base64`")]
    TwoData,
    /// The JSON given as data does not parse.
    #[error("`data` is not JSON: {reason}; send bytes that are not JSON as `data_base64`")]
    DataSyntax {
        /// What the parser found, and where.
        reason: String,
    },
    /// The base64 text does not decode.
    #[error(
        "`data_base64` is not base64: {reason}; expected the standard alphabet with padding (RFC 4648, section 4)"
    )]
    Base64 {
        /// What the decoder found, and where.
        reason: String,
    },
    /// A Rust value has no JSON.
    #[error("`{attribute}` can not be written as JSON: {reason}; the keys of maps have to be text")]
    Unserializable {
        /// The name of the attribute.
        attribute: String,
        /// Why the value has no JSON.
        reason: String,
    },
    /// The `sequence` of a committed event is no cursor.
    #[error("`sequence` of a committed event: {0}")]
    Sequence(CursorError),
    /// The `position` of a committed event is no token.
    #[error("`position` of a committed event: {0}")]
    Position(TokenError),
}

impl EventError {
    /// Says whether the event is refused for its size and not for its form; for a batch, whether that event is.
    pub fn is_over_limit(&self) -> bool {
        match self {
            Self::TooLong { .. } | Self::AttributesTooLarge { .. } | Self::DataTooLarge { .. } => true,
            Self::InBatch { error, .. } => error.is_over_limit(),
            _ => false,
        }
    }
}
