//! Real servers for tests: Redis, Valkey or Dragonfly, started, disturbed and ended by the test that needs them.
//!
//! Nothing here imitates a store. A [`Server`] is a process of its own in a temporary folder, on a loopback port that no
//! other test of this machine takes; it has answered before a test gets it, and it ends with the test, also when that
//! panics or is killed. [`Replicated`], [`Sentinels`] and [`Cluster`] are several of them.
//!
//! Which program is started is not the test's business: `UNDERCURRENT_STORE_SERVER` names it, and it is `redis-server`
//! where nothing does. `UNDERCURRENT_STORE_URL` names a server that runs already and that nobody may disturb: a test that
//! only needs a [`Space`] with a key prefix runs there too. What a
//! program or such a server can not give is [not applicable](NotApplicable), by name, and [`applicable`] says so on
//! standard error; a missing program fails the test.
//!
//! A [`Proxy`] stands between a node and its server and does what a bad network does.
//!
//! Everything that waits is async and polls a condition until a deadline; it needs tokio with real time, not paused time.
//! Signals and process control are plain calls.

mod choice;
mod cluster;
mod error;
mod port;
mod process;
mod program;
mod proxy;
mod replicated;
mod sentinels;
mod server;
mod setup;
mod space;
mod tls;
mod wait;
mod watch;

pub use choice::{SERVER_VARIABLE, URL_VARIABLE, applicable};
pub use cluster::Cluster;
pub use error::{NotApplicable, ServerError};
pub use program::{Flavour, Program};
pub use proxy::{Direction, Link, Point, Proxy, Snare};
pub use replicated::Replicated;
pub use sentinels::Sentinels;
pub use server::{Server, Snapshot};
pub use setup::{ClientCertificate, Setup};
pub use space::Space;
pub use tls::Certificates;
pub use watch::{KeyReport, UndeclaredKey, watch_keys};
