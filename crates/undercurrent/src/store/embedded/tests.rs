//! Tests of the whole store: the contract, and what concerns only this one.

mod checkpoint;
mod contract;
mod crash;
mod cuts;
mod disk;
mod durability;
mod full;
mod outcome;
mod recovery;
mod retention;
mod scrub;
mod streams;
mod support;
mod verify;
