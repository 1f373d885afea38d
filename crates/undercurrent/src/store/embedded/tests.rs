//! Tests of the whole store: the contract, and what concerns only this one.

mod contract;
mod support;
