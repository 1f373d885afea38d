//! The steps that run on the server, each of them atomic.
//!
//! All but CLAIM come after `enter.lua`, which proves where they run; those that take a position also after `order.lua`,
//! those that say who is to be believed after `vouch.lua`, those that evaluate the predicate after `predicate.lua`, and those
//! that do none of it after `in_time.lua`. What their text has to keep so that they run on Redis, Valkey and Dragonfly alike
//! is checked by the tests.

use std::sync::LazyLock;

mod ablated;

/// A step that runs on the server.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) sha: String,
}

impl Script {
    /// Returns the text without the steps that are switched off; `None` where it is what it always is.
    pub(super) fn ablated(&self) -> Option<String> {
        cfg!(feature = "ablation").then(|| ablated::text(&self.text)).filter(|text| *text != self.text)
    }

    fn new(name: &'static str, text: String) -> Self {
        let sha = redis::Script::new(&text).get_hash().to_owned();
        Self { name, text, sha }
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal after $($part:literal)+;)*) => {
        $(
            #[doc = concat!("The step of `", $file, ".lua`.")]
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                let parts = [
                    include_str!("scripts/enter.lua"),
                    $(include_str!(concat!("scripts/", $part, ".lua")),)+
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
    LAPSE = "lapse" after "order";
    PUBLISH = "publish" after "order" "vouch";
    RENEW = "renew" after "order" "vouch";
    READ = "read" after "order" "predicate" "entry";
    COMMIT = "commit" after "order" "predicate" "entry";
    JUDGE = "judge" after "order" "predicate";
    RELEASE = "release" after "in_time";
    LAST = "last" after "order" "predicate";
    READ_LOG = "read_log" after "in_time";
    READ_STREAM = "read_stream" after "in_time";
    TAIL = "tail" after "in_time";
    OUTCOME = "outcome" after "in_time";
    STREAMS = "streams" after "in_time";
    CREATE = "create" after "in_time";
    DELETE = "delete" after "order";
    FACTS = "facts" after "in_time";
    LATEST = "latest" after "in_time";
    ROWS = "rows" after "in_time";
    SURVEY = "survey" after "in_time";
    RETAIN = "retain" after "in_time";
    REWRITE = "rewrite" after "in_time";
    REPLACE = "replace" after "in_time";
    FORGET = "forget" after "order";
    TURN = "turn" after "in_time";
}
