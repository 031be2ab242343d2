#!/usr/bin/env bash
# OpenSearch 2.19.4, one node without security, for tests.
#   opensearch.sh fetch              jars from Maven Central into the cache (48 MB), OpenSearchNode.java compiled
#   opensearch.sh start DIR [OWNER]  prints http://host:port when the cluster is yellow; DIR holds data, log, pid
#   opensearch.sh stop|kill DIR      SIGTERM / SIGKILL to the process group; a second start finds data and port again
. "$(dirname "${BASH_SOURCE[0]}")/lifecycle.sh"
home=$cache/opensearch

download() {
  need java javac mvn
  rm -rf "$home/libs" "$home/classes" "$home"/.built-*
  maven -f "$here/opensearch.pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$home/libs"
}

build() {
  mkdir -p "$home/classes"
  javac -proc:none -d "$home/classes" -cp "$home/libs/*" "$here/OpenSearchNode.java"
}

fetch_opensearch() {
  mkdir -p "$home"
  fetch_once "$home/.fetched-$(cksum <"$here/opensearch.pom.xml" | tr ' ' -)" download
  fetch_once "$home/.built-$(cksum <"$here/OpenSearchNode.java" | tr ' ' -)" build
}

fetch_server() { fetch_opensearch; }

# choose_address DIR SCHEME: the same as the last time, or a free port.
choose_address() {
  [ -s "$1/address" ] || echo "$2://127.0.0.1:$(free_port)" >"$1/address"
}

# launch_node DIR CLASS_PATH SETTING…
# More settings can be given, one a word: OPENSEARCH_SETTINGS='http.max_content_length=100kb'.
launch_node() {
  local dir=$1 class_path=$2
  shift 2
  mkdir -p "$dir/home"
  # shellcheck disable=SC2086
  launch "$dir" java -Xms512m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.level=WARN \
    -cp "$class_path" OpenSearchNode path.home="$dir/home" \
    http.port="$(sed 's/.*://' "$dir/address")" transport.port=0 "$@" ${OPENSEARCH_SETTINGS:-}
}

start_server() {
  local dir=$1
  need java curl
  choose_address "$dir" http
  launch_node "$dir" "$home/classes:$home/libs/*"
  await "$dir" curl -sf -m 5 "$(cat "$dir/address")/_cluster/health?wait_for_status=yellow"
}

is_sourced || main "$@"
