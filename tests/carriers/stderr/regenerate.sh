#!/usr/bin/env bash
# Writes what really panicking programs of each Rust release write to standard error, into tests/data/carriers/text.
# Needs rustup with the releases named below (`rustup toolchain install --profile minimal VERSION`).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../data/carriers/text
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ulimit -c 0
for version in "${@:-1.63.0 1.72.1 1.85.1 1.95.0}"; do
  for release in $version; do
    (cd "$here" && rustc "+$release" -A warnings --edition 2021 -g --remap-path-prefix "$here=/app" -o "$work/cases" cases.rs)
    for level in 0 1 full; do
      file=$out/stderr_rust-$release-backtrace-$level.txt
      : >"$file"
      for name in $("$work/cases" list); do
        # A full backtrace is long and always alike: the index case alone is kept.
        [ $level = full ] && [ "$name" != index ] && continue
        [ $level = 1 ] && [ "$name" = stack_overflow ] && continue
        printf '### %s\n' "$name" >>"$file"
        (RUST_BACKTRACE=$level "$work/cases" "$name" 2>>"$file" || true) 2>/dev/null
      done
    done
  done
done
