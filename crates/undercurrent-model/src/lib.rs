//! The freshness protocol as models, all of whose states are looked at.
//!
//! Owns no code of the engine and uses none: a model says what the engine does in steps that cannot be divided, and
//! a search goes through every order of them within bounds. [`memory`] is one node's memory over a store that others
//! write too; [`dependencies`] is values made from values over one store; [`shared`] is one store that nodes reach over
//! connections, and that can be lost, or taken back to an earlier state. All stand on the [`order`] and its one
//! predicate. Positions and versions are small numbers, and a load is a moment at which a source is read.
//!
//! A model promises that no order of steps breaks an invariant, for what happens within its bounds and no more. Each
//! step can be left out by a field of `Steps`, and a test shows a way to break an invariant without it; what can be
//! left out without harm is shown to hold. The doc comment of a step names the code that does it, as a path in
//! `undercurrent`, and the code names the step.
//!
//! # What is not covered
//!
//! - **Shared stores**: scripts of a node run in the order in which they were sent, as over one connection; a replica
//!   holds an earlier state as a whole; two primaries at once are looked at only for what holds after them. One key and
//!   one source. Streams, their epochs, ids and groups, durability, and a server that refuses for want of memory.
//! - **Deadlines** of values, and leases of fills, which only save work.
//! - **Products**: the inside of a node's memory with more nodes than one (there a look is one step), memory with
//!   dependencies, dependencies on a shared store. READ and COMMIT are one step each: an embedded store, where `last`, the floors and `applied` are written
//!   one after the other, is modelled only as far as the floors and `applied` go.
//! - **Liveness**: that a read ends. A fill whose inputs never fit together ends as `Unstable` here.
//! - **Levels** other than `fresh`, and `verified` only as far as one source goes; tokens; `put`; projections, and
//!   that an event is not visible before its invalidations (I2 in part, I3, I4, I7 to I9).
//! - **Versions of loaders**, values too large to keep, a cycle of loaders.

pub mod check;
pub mod dependencies;
pub mod memory;
pub mod order;
pub mod runs;
pub mod shared;
