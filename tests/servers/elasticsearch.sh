#!/usr/bin/env bash
# Elasticsearch 8.19.21 (the vendor's integ-test zip: no ILM, no GET /), one node without security, for tests.
#   elasticsearch.sh fetch              zip from Maven Central into the cache (107 MB)
#   elasticsearch.sh start DIR [OWNER]  prints http://host:port when the cluster answers; DIR holds data, log, pid
#   elasticsearch.sh stop|kill DIR      SIGTERM / SIGKILL to the process group; a second start finds data and port again
# Elasticsearch refuses to run as root: then it runs as nobody, from a copy in the temporary folder where nobody cannot
# read the cache or DIR (DIR/work names it; it holds the data, so it stays until DIR is removed by `clean`).
. "$(dirname "${BASH_SOURCE[0]}")/lifecycle.sh"
version=8.19.21
home=$cache/elasticsearch/elasticsearch-$version

download() {
  need java mvn unzip
  rm -rf "$home"
  # A local repository of its own: the zip is not wanted in everybody's.
  maven org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get -Dtransitive=false \
    -Dmaven.repo.local="$cache/elasticsearch/m2" \
    -Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip
  unzip -q -o "$cache/elasticsearch/m2/org/elasticsearch/distribution/integ-test-zip/elasticsearch/$version/elasticsearch-$version.zip" \
    -d "$cache/elasticsearch"
  rm -rf "$cache/elasticsearch/m2"
  chmod -R a+rX "$home"
}

fetch_elasticsearch() {
  mkdir -p "$cache/elasticsearch"
  fetch_once "$cache/elasticsearch/.fetched-$version" download
}

fetch_server() { fetch_elasticsearch; }

as_nobody() {
  setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
}

# Prints the folder to work in: DIR itself, or one below the temporary folder that nobody can reach.
work_folder() {
  local dir=$1
  if [ ! -s "$dir/work" ]; then
    if [ "$(id -u)" -ne 0 ] || as_nobody test -x "$dir"; then
      echo "$dir" >"$dir/work"
    else
      mktemp -d "${TMPDIR:-/tmp}/panicsift-elasticsearch.XXXXXX" >"$dir/work"
      chmod 755 "$(cat "$dir/work")"
    fi
  fi
  cat "$dir/work"
}

java_home() {
  dirname "$(dirname "$(readlink -f "$(command -v java)")")"
}

# Sets `work`, and `run`, the distribution, and makes the configuration but for what security asks.
prepare_node() {
  local dir=$1 scheme=$2
  work=$(work_folder "$dir")
  if [ ! -s "$dir/address" ]; then
    echo "$scheme://127.0.0.1:$(free_port)" >"$dir/address"
    free_port >"$dir/transport"
  fi
  run=$home
  if [ "$(id -u)" -eq 0 ] && ! as_nobody test -r "$home/bin/elasticsearch"; then
    run=$work/distribution
    [ -d "$run" ] || cp -r "$home" "$run"
  fi
  mkdir -p "$work/conf" "$work/data"
  cp -r "$home/config/." "$work/conf/"
  cat >"$work/conf/elasticsearch.yml" <<EOF
discovery.type: single-node
network.host: 127.0.0.1
http.port: $(sed 's/.*://' "$dir/address")
transport.port: $(cat "$dir/transport")
cluster.routing.allocation.disk.threshold_enabled: false
path.data: $work/data
path.logs: $work/data/logs
EOF
}

# One setting a word: ELASTICSEARCH_SETTINGS='http.max_content_length=100kb'.
launch_node() {
  local dir=$1 setting
  for setting in ${ELASTICSEARCH_SETTINGS:-}; do
    echo "${setting%%=*}: ${setting#*=}" >>"$work/conf/elasticsearch.yml"
  done
  local command=(env "ES_PATH_CONF=$work/conf" "ES_JAVA_HOME=$(java_home)" "ES_TMPDIR=$work/data"
    "ES_JAVA_OPTS=-Xms512m -Xmx512m -XX:TieredStopAtLevel=1" "$run/bin/elasticsearch")
  if [ "$(id -u)" -eq 0 ]; then
    chown -R nobody "$work/conf" "$work/data"
    command=(setpriv --reuid=nobody --regid=nogroup --clear-groups "${command[@]}")
  fi
  launch "$dir" "${command[@]}"
}

start_server() {
  local dir=$1 work run
  need java curl setpriv
  prepare_node "$dir" http
  echo 'xpack.security.enabled: false' >>"$work/conf/elasticsearch.yml"
  launch_node "$dir"
  await "$dir" curl -sf -m 5 "$(cat "$dir/address")/_cluster/health?wait_for_status=yellow"
}

# Removes what stands outside DIR.
clean_up() {
  local dir=$1
  [ -s "$dir/work" ] || return 0
  case $(cat "$dir/work") in
    "${TMPDIR:-/tmp}"/panicsift-elasticsearch.*) rm -rf "$(cat "$dir/work")" ;;
  esac
}

elasticsearch_main() {
  case ${1:-} in
    clean) clean_up "${2:?DIR}" ;;
    *) main "$@" ;;
  esac
}

is_sourced || elasticsearch_main "$@"
