//! Keys of another machine's workspace: only that machine can ask their source.

use futures_util::future::BoxFuture;
use std::sync::Arc;

use undercurrent_types::{Key, Level, Name};

use super::inputs::Inputs;
use super::loader::{LoadError, Loaded, Loader};

/// Stands for the loader of a key on a machine that does not have the key's workspace. What the store keeps of the key
/// is served while it is valid; nothing is loaded.
pub(super) struct Elsewhere(pub(super) Arc<dyn Loader>);

impl Loader for Elsewhere {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, key: &Key, level: Level) -> Result<(), String> {
        if level <= Level::Fresh {
            return Ok(());
        }
        Err(format!("its source is at workspace `{}`, and only a node there can ask it", owner(key)))
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        let reason = format!(
            "the store keeps nothing valid of it, and its owner is workspace `{}`: ask a node that has it",
            owner(key)
        );
        Box::pin(std::future::ready(Err(LoadError::Unavailable { key: key.clone(), reason })))
    }

    fn names_now(&self, _key: &Key) -> Result<Option<Vec<Name>>, LoadError> {
        Ok(None)
    }
}

fn owner(key: &Key) -> &str {
    key.workspace().unwrap_or_default()
}
