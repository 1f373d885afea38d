#!/bin/sh
# The compiler for the project's own crates when they are searched: it has them count which edges and comparisons an
# input reaches, as libFuzzer expects it. What they depend on is built as always, once for all programs.
exec "$@" --cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
