//! HTTP and SSE client of the Undercurrent daemon.
//!
//! A [`Client`] has a method for each thing the daemon does, with the types that the daemon itself uses. Promises that
//! an error of the daemon arrives as its [`ErrorBody`](undercurrent_types::ErrorBody), and that a [`Subscription`]
//! goes on after a broken connection where it stood. Never repeats a request by itself,
//! but for a publish that it is given patience for.

mod client;
mod context;
mod error;
mod group;
mod sse;
mod subscription;

pub use client::{Client, Page, PublishOptions, PutOptions, StreamOptions};
pub use context::{Answer, Get};
pub use error::ClientError;
pub use group::Group;
pub use sse::{Frame, FrameTooLarge, Parser};
pub use subscription::{Delivery, Place, Received, Subscribe, Subscription};
pub use undercurrent_types::Start;
