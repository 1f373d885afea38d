//! Subscriptions: catch up, then follow.
//!
//! Owns where each reader stands, and what each group has given. Promises every event of a stream in seq order without a
//! hole, or a gap that says what is missing and why. Never slows a publisher: a reader that lags leaves the live ring and reads on from the
//! log.

mod ephemeral;
mod filter;
mod group;
mod pattern;
mod subscribe;

pub use ephemeral::{Ephemeral, Live, LiveSubscription};
pub use filter::{Filter, FilterError};
pub use group::{Fetched, GroupDelivery, GroupError, Groups, MOST_AT_ONCE, Refused};
pub(crate) use group::{Verdict, short};
pub use pattern::{LogDelivery, LogStart, LogSubscription, Streams};
pub use subscribe::{Delivery, SubscribeError, Subscription};
pub use undercurrent_types::Start;
