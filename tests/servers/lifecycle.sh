# Sourced by the scripts beside it: cache, free ports, start in a process group of its own, wait, stop.
# Every server lives under the DIR of its caller: DIR/pid (leader of its process group), DIR/address, DIR/log.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PANICSIFT_SERVERS:-$here/../../target/servers}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
ready_secs_max=${PANICSIFT_READY_SECS:-120}

# A script that another one sources gives its functions and starts nothing.
is_sourced() {
  [ "${BASH_SOURCE[1]}" != "$0" ]
}

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

need() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "$tool is missing (apt-get install openjdk-17-jdk-headless maven unzip curl)"
  done
}

# Runs "$@" unless the stamp stands; one at a time, so that two tests do not fetch into the same folder.
fetch_once() {
  local stamp=$1
  shift
  exec 9>"$cache/.lock"
  flock 9
  if [ ! -e "$stamp" ]; then
    "$@" >&2
    touch "$stamp"
  fi
  exec 9>&-
}

# Maven fails now and then on a busy network; three tries.
maven() {
  local try
  for try in 1 2 3; do
    mvn -q -B -ntp "$@" && return 0
    echo "mvn failed (try $try of 3)" >&2
    sleep 2
  done
  die "mvn $* failed three times"
}

port_is_open() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port nobody listens on, below the range from which outgoing connections are served.
free_port() {
  local port
  while :; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    port_is_open "$port" || break
  done
  echo "$port"
}

# Whether the process group of DIR/pid has a process that is not a zombie (kill -0 counts those too).
is_running() {
  [ -s "$1/pid" ] || return 1
  # The leader counts before it has made its group, too.
  # Processes end while they are listed, hence `true`.
  { sed 's/ (.*) / /' /proc/[0-9]*/stat 2>/dev/null || true; } |
    awk -v id="$(cat "$1/pid")" '($1 == id || $4 == id) && $2 != "Z" { found = 1 } END { exit !found }'
}

# launch DIR COMMAND…: starts it as the leader of a new process group, output to DIR/log.
launch() {
  local dir=$1
  shift
  is_running "$dir" && die "a server runs in $dir already (pid $(cat "$dir/pid"))"
  setsid "$@" >>"$dir/log" 2>&1 </dev/null 9>&- &
  echo $! >"$dir/pid"
  disown
}

# await DIR CHECK…: until CHECK succeeds; if it never does, the server is killed and its log shown.
await() {
  local dir=$1
  shift
  trap 'signal_group "$dir" KILL; exit 130' INT TERM
  local deadline=$((SECONDS + ready_secs_max))
  until "$@" >/dev/null 2>&1; do
    if ! is_running "$dir" || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 40 "$dir/log" >&2 || true
      signal_group "$dir" KILL
      die "not ready within $ready_secs_max s or died; its log is $dir/log"
    fi
    sleep 0.1
  done
  trap - INT TERM
}

# When the process OWNER is gone the server goes too: a killed test leaves nothing behind.
watch_process() {
  local dir=$1 owner=${2:-}
  [ -n "$owner" ] || return 0
  local leader
  leader=$(cat "$dir/pid")
  setsid bash -c '
    while kill -0 "$1" 2>/dev/null && kill -0 -- "-$2" 2>/dev/null; do sleep 1; done
    kill -KILL -- "-$2" 2>/dev/null' watch_process "$owner" "$leader" >/dev/null 2>&1 </dev/null 9>&- &
  disown
}

signal_group() {
  [ -s "$1/pid" ] && kill "-$2" -- "-$(cat "$1/pid")" 2>/dev/null || true
}

wait_gone() {
  local deadline=$((SECONDS + $2))
  while is_running "$1"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
  rm -f "$1/pid"
}

stop_process() {
  signal_group "$1" TERM
  wait_gone "$1" 20 && return 0
  kill_process "$1"
}

kill_process() {
  signal_group "$1" KILL
  wait_gone "$1" 10 || die "$1: process group $(cat "$1/pid") does not die"
}

# What `main` calls; a script whose server is several processes has its own of these.
stop_server() { stop_process "$1"; }
kill_server() { kill_process "$1"; }
watch_server() { watch_process "$@"; }

usage() {
  die "usage: ${0##*/} fetch | start DIR [OWNER_PID] | stop DIR | kill DIR"
}

# main COMMAND [DIR] [OWNER_PID]: the caller defines fetch_server and start_server DIR.
main() {
  local command=${1:-} dir=${2:-}
  case $command in
    fetch) fetch_server ;;
    start)
      [ -n "$dir" ] || usage
      mkdir -p "$dir"
      dir=$(cd "$dir" && pwd)
      fetch_server
      start_server "$dir"
      watch_server "$dir" "${3:-}"
      cat "$dir/address"
      ;;
    stop | kill)
      [ -n "$dir" ] || usage
      [ -d "$dir" ] || exit 0
      "${command}_server" "$dir"
      ;;
    *) usage ;;
  esac
}
