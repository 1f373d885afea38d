//! Values as programs see them that know only GET: `context:file:/path`, for some seconds.
//!
//! A committed value is written there in the same step, and an invalidation of its key deletes it in the same step. What
//! depends on a tag or a scope that is moved is deleted by the node that moved it, soon after.

use redis::{Cmd, Value};
use undercurrent_types::{Key, Name};

use super::connection::{Call, Link};
use super::reply::Reply;

impl Link {
    /// Returns the key that other programs see a value under, where they see any.
    pub(super) fn plain(&self, name: &str) -> Option<String> {
        self.options.plain_keys.map(|_| format!("context:{name}"))
    }

    /// Adds to a commit what other programs see.
    pub(super) fn add_plain(&self, call: &mut Call<'_>, key: &Key, closure: &[Name]) {
        let Some(time) = self.options.plain_keys else { return call.push("") };
        call.push(time.as_millis().to_string());
        call.push_key(format!("context:{key}"));
        for name in closure.iter().filter(|name| name.as_key().is_none()) {
            call.push_key(self.keys.plain(name));
        }
    }

    /// Deletes what other programs see of values that depend on names that were moved.
    pub(super) async fn hide_plain(&self, names: &[Name]) {
        let tags: Vec<_> = names.iter().filter(|name| name.as_key().is_none()).collect();
        if self.options.plain_keys.is_none() || tags.is_empty() {
            return;
        }
        let sets = tags.iter().map(|name| command("SMEMBERS", [self.keys.plain(name)])).collect::<Vec<_>>();
        let hidden = async {
            let (_, found) = self.step("plain keys", |_| sets).await?;
            let keys: Vec<_> = found.into_iter().flat_map(members).collect();
            if !keys.is_empty() {
                let delete = command("DEL", keys.iter().map(|key| format!("context:{key}")));
                self.step("plain keys", |_| vec![delete]).await?;
            }
            Ok::<_, super::connection::Failed>(())
        };
        // They go by themselves in some seconds.
        if let Err(error) = hidden.await {
            tracing::debug!(%error, "what other programs see was not deleted");
        }
    }
}

fn command(name: &str, words: impl IntoIterator<Item = String>) -> Cmd {
    let mut command = Cmd::new();
    command.arg(name);
    words.into_iter().for_each(|word| {
        command.arg(word);
    });
    command
}

fn members(found: Value) -> Vec<String> {
    let mut keys = Vec::new();
    if let Ok(mut found) = Reply::open(found) {
        while let Ok(key) = found.text() {
            keys.push(key);
        }
    }
    keys
}
