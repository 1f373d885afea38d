//! The steps that run on the server, each of them atomic.
//!
//! All but CLAIM begin with `enter.lua`, which proves where they run. What their text has to keep so that they run on
//! Redis, Valkey and Dragonfly alike is checked by the tests.

use std::sync::LazyLock;

/// A step that runs on the server.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) sha: String,
}

impl Script {
    fn new(name: &'static str, text: String) -> Self {
        let sha = redis::Script::new(&text).get_hash().to_owned();
        Self { name, text, sha }
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal $(, after $part:literal)?)*) => {
        $(
            #[doc = concat!("The step of `", $file, ".lua`.")]
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                let parts = [
                    include_str!("scripts/enter.lua"),
                    $(include_str!(concat!("scripts/", $part, ".lua")),)?
                    include_str!(concat!("scripts/", $file, ".lua")),
                ];
                Script::new($file, parts.concat())
            });
        )*

        /// All of them, for those who check them.
        #[cfg(test)]
        pub(super) fn all() -> Vec<&'static Script> {
            vec![&CLAIM, $(&$name),*]
        }
    };
}

/// The step of `claim.lua`, which says where the others run.
pub(super) static CLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new("claim", include_str!("scripts/claim.lua").to_owned()));

scripts! {
    BARRIER = "barrier"
    PUBLISH = "publish"
    READ = "read", after "entry"
    COMMIT = "commit", after "entry"
    JUDGE = "judge"
    RELEASE = "release"
    LAST = "last"
    RENEW = "renew"
    READ_LOG = "read_log"
    READ_STREAM = "read_stream"
    TAIL = "tail"
    OUTCOME = "outcome"
    STREAMS = "streams"
    CREATE = "create"
    DELETE = "delete"
    FACTS = "facts"
    LATEST = "latest"
    ROWS = "rows"
}
