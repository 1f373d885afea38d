//! The picture of the architecture as a table: who may use whom. The only place that says so.

/// What one module or crate may use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edge {
    /// Everything public in it.
    To(&'static str),
    /// These items of it, nothing else.
    Only(&'static str, &'static [&'static str]),
}

use Edge::{Only, To};

/// The modules of the engine, in the order of the data flow: each with those it may use.
///
/// `runtime` and the crate root put the parts together, so they may use everything and nobody may use them.
pub(super) const MODULES: [(&str, &[Edge]); 12] = [
    ("ablation", &[]),
    ("sync", &[]),
    ("rules", &[]),
    ("store", &[To("ablation"), To("sync")]),
    ("stream", &[To("ablation"), To("store")]),
    ("cache", &[To("ablation"), To("sync"), To("store")]),
    ("redact", &[Only("store", &["in_json"])]),
    ("event_stream", &[To("rules"), To("store"), To("stream"), To("cache"), To("redact")]),
    ("workspace", &[]),
    (
        "sources",
        &[
            To("event_stream"),
            To("workspace"),
            Only(
                "store",
                &["Batch", "Invalidation", "Mark", "NewEvent", "PublishError", "Published", "PublishedEvent"],
            ),
            Only("cache", &["Barrier", "BarrierError", "Moment"]),
        ],
    ),
    ("loaders", &[To("ablation"), To("store"), To("cache"), To("redact"), To("workspace")]),
    (
        "runtime",
        &[
            To("rules"),
            To("store"),
            To("stream"),
            To("cache"),
            To("redact"),
            To("event_stream"),
            To("workspace"),
            To("sources"),
            To("loaders"),
        ],
    ),
];

/// The crates of the product: each with those of them it may be built from.
pub(super) const CRATES: [(&str, &[&str]); 11] = [
    ("undercurrent-types", &[]),
    ("undercurrent", &["undercurrent-types"]),
    ("undercurrent-loom", &["undercurrent-types"]),
    ("undercurrent-model", &[]),
    // Of tests: nothing that ships is built from it.
    ("undercurrent-servers", &[]),
    ("undercurrent-client", &["undercurrent-types"]),
    ("undercurrent-fuzz", &["undercurrent-types", "undercurrent", "undercurrent-client"]),
    ("undercurrent-server", &["undercurrent-types", "undercurrent"]),
    (
        "undercurrent-check",
        &[
            "undercurrent-types",
            "undercurrent",
            "undercurrent-client",
            "undercurrent-server",
            "undercurrent-servers",
        ],
    ),
    ("undercurrent-nodes", &["undercurrent-check", "undercurrent-servers"]),
    (
        "undercurrent-cli",
        &["undercurrent-types", "undercurrent", "undercurrent-client", "undercurrent-server"],
    ),
];

impl Edge {
    /// Returns the module at the end of the edge.
    pub(super) fn module(self) -> &'static str {
        match self {
            To(module) | Only(module, _) => module,
        }
    }

    /// Says whether the edge leads to an item; `None` stands for the module as a whole.
    pub(super) fn allows(self, item: Option<&str>) -> bool {
        match self {
            To(_) => true,
            Only(_, items) => item.is_some_and(|item| items.contains(&item)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_leads_back_along_the_flow() {
        for (place, (module, edges)) in MODULES.iter().enumerate() {
            for edge in *edges {
                let found = MODULES[..place].iter().any(|(before, _)| *before == edge.module());
                assert!(found, "`{module}` may use `{}`, which does not stand before it", edge.module());
            }
        }
        for (place, (name, others)) in CRATES.iter().enumerate() {
            for other in *others {
                assert!(CRATES[..place].iter().any(|(before, _)| before == other), "`{name}` uses `{other}`");
            }
        }
    }
}
