//! What became of an event, asked by its id.

use std::time::Duration;

use undercurrent_types::{Cursor, Durability, Token};

/// How many ids a namespace remembers.
pub const REMEMBERED_IDS: usize = 1 << 20;
/// For how long an id is remembered.
pub const ID_WINDOW: Duration = Duration::from_secs(600);

/// What is known of a source's id in a stream, within the last [`REMEMBERED_IDS`] ids and [`ID_WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event is there, and as safe as its stream promises.
    Published {
        /// Its place in its stream.
        cursor: Cursor,
        /// The position of its commit; the position now, where its stream has let it go since.
        token: Token,
        /// What the stream promises.
        durability: Durability,
    },
    /// An append of it waits for room. It may come or not: ask again.
    UnderWay,
    /// No event with this id was appended within the window. An append that begins later may still bring it.
    NotKnown,
}
