#!/usr/bin/env bash
# Cloudflare's runtime, workerd, under Miniflare, for the Worker of deploy/producers.
#   workerd.sh fetch DIR          installs Miniflare 4.20260730.0 with its workerd into DIR (175 MB)
#   workerd.sh build DIR          builds the Rust Worker (abort build, as `worker-build` does by default) into DIR/built:
#                                 needs the target wasm32-unknown-unknown; the first time takes minutes
#   workerd.sh test DIR [BUILT]   the Tail Worker behind a scripted Worker, and behind the Rust Worker in BUILT; with
#                                 TAIL_FIXTURE=FILE the forwarded trace items are written to FILE.*.json
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

[ -n "${2:-}" ] || die "usage: ${0##*/} fetch|build|test DIR [BUILT]"
mkdir -p "$2"
dir=$(cd "$2" && pwd)

fetch() {
  command -v npm >/dev/null || die "npm is missing (apt-get install nodejs npm)"
  [ -e "$dir/node_modules/miniflare/package.json" ] && return
  echo '{"private": true}' >"$dir/package.json"
  (cd "$dir" && npm install --silent --no-audit --no-fund --ignore-scripts miniflare@4.20260730.0) >&2
}

# What `worker-build` does, without the binaries that it would load from elsewhere (wasm-bindgen, esbuild, wasm-opt): its
# own shim around what the library of wasm-bindgen gives, unbundled.
build() {
  local target=$root/target/producers worker=$root/deploy/producers/worker shim
  cargo build --quiet --locked --release --target wasm32-unknown-unknown --manifest-path "$worker/Cargo.toml" \
    --target-dir "$target"
  cargo run --quiet --locked --release --manifest-path "$worker/bindgen/Cargo.toml" --target-dir "$target" -- \
    "$target/wasm32-unknown-unknown/release/panic_events_worker.wasm" "$dir/built"
}

case $1 in
  fetch) fetch ;;
  build) build ;;
  test)
    fetch
    built=${3:+$(cd "$3" && pwd)}
    WORKERD_MODULES=$dir WORKER_BUILT=$built node --test "$root/deploy/producers/worker/test/workerd.mjs"
    ;;
  *) die "no such command: $1" ;;
esac
