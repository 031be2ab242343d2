#!/usr/bin/env bash
# Two HEC clients that others wrote, to check the scripted HEC server of the tests by: PyPI splunk-hec-handler and npm
# splunk-logging (Splunk's own).
#   hec_clients.sh fetch DIR   installs them into DIR/python and DIR/node; DIR is what PANICSIFT_TEST_CLIENTS names
# The programs that use them are hec_client.py and hec_client.js beside this script.
set -euo pipefail

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

[ "${1:-}" = fetch ] && [ -n "${2:-}" ] || die "usage: ${0##*/} fetch DIR"
for tool in python3 node npm; do
  command -v "$tool" >/dev/null || die "$tool is missing (apt-get install python3-venv nodejs npm)"
done
mkdir -p "$2"
dir=$(cd "$2" && pwd)
stamp=$dir/.fetched-$(cksum <"${BASH_SOURCE[0]}" | tr ' ' -)
if [ ! -e "$stamp" ]; then
  rm -rf "$dir/python" "$dir/node"
  python3 -m venv "$dir/python"
  "$dir/python/bin/pip" install -q --disable-pip-version-check splunk-hec-handler==1.2.0 requests==2.32.5 >&2
  mkdir -p "$dir/node"
  echo '{"private": true}' >"$dir/node/package.json"
  (cd "$dir/node" && npm install --silent --no-audit --no-fund --ignore-scripts splunk-logging@0.11.1 needle@2.9.1) >&2
  touch "$stamp"
fi
echo "$dir"
