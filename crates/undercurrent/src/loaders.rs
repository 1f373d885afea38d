//! What produces the value of a kind of key from its source of truth.
//!
//! Owns the loaders that ship: files, directories, git, the projections of what events said, and, as far as the
//! configuration names them, commands and web servers. Promises that a value is a state that its source was in during
//! the load, and that a validator vouches for no other. Never serves what lies outside the configured roots and hosts,
//! never writes to what it reads, and never runs a command that a repository names.

mod command;
mod dir;
mod file;
mod git;
mod http;
mod open;
mod projection;
mod span;
mod stamp;
mod steady;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::cache::Loader;
use crate::store::Store;
use crate::workspace::Workspace;

pub use command::{Command, CommandError, CommandLoader};
pub use dir::DirLoader;
pub use file::FileLoader;
pub use git::GitLoader;
pub use http::{AllowedHost, HttpError, HttpLoader, HttpOptions};
pub use projection::ProjectionLoader;

/// Returns the loaders that need no configuration, each with the kind of key that it loads.
pub fn shipped(workspace: &Arc<Workspace>, store: &Arc<dyn Store>) -> Vec<(&'static str, Arc<dyn Loader>)> {
    let projection: Arc<dyn Loader> = Arc::new(ProjectionLoader::new(Arc::clone(store)));
    vec![
        ("file", Arc::new(FileLoader::new(Arc::clone(workspace)))),
        ("dir", Arc::new(DirLoader::new(Arc::clone(workspace)))),
        ("git", Arc::new(GitLoader::new(Arc::clone(workspace)))),
        ("state", Arc::clone(&projection)),
        ("ci", projection),
    ]
}
