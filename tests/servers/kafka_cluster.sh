#!/usr/bin/env bash
# Apache Kafka 4.4.0, three KRaft nodes (each broker and controller), for tests that lose one.
# Topics have three replicas unless told otherwise, and a write with acks=all needs two of them.
#   kafka_cluster.sh fetch              jars from Maven Central into the cache (the same as kafka.sh)
#   kafka_cluster.sh start DIR [OWNER]  prints host:port,host:port,host:port when all three serve
#   kafka_cluster.sh stop|kill DIR      SIGTERM / SIGKILL to all; a second start finds data and ports again
#   kafka_cluster.sh kill-node DIR N    SIGKILL to node N (1, 2, 3) alone
#   kafka_cluster.sh start-node DIR N [OWNER]  starts it again on its data and ports
# DIR/node1 … DIR/node3 hold data, log, pid and address of each node.
. "$(dirname "${BASH_SOURCE[0]}")/kafka.sh"
nodes=(1 2 3)

format_cluster() {
  local dir=$1 n port voters='' chosen=' ' ports=()
  for n in 0 1 2 3 4 5; do
    port=$(free_port)
    while [[ $chosen == *" $port "* ]]; do port=$(free_port); done
    chosen+="$port "
    ports+=("$port")
  done
  for n in "${nodes[@]}"; do
    voters+="${voters:+,}$n@127.0.0.1:${ports[n + 2]}"
  done
  for n in "${nodes[@]}"; do
    mkdir -p "$dir/node$n"
    {
      node_properties "$dir/node$n" "$n" "${ports[n - 1]}" "${ports[n + 2]}" "$voters"
      cat <<EOF
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
broker.session.timeout.ms=2000
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
replica.lag.time.max.ms=3000
EOF
    } >"$dir/node$n/server.properties"
    echo "127.0.0.1:${ports[n - 1]}" >"$dir/node$n/address"
  done
  for n in "${nodes[@]}"; do format_storage "$dir/node$n"; done
  echo "127.0.0.1:${ports[0]},127.0.0.1:${ports[1]},127.0.0.1:${ports[2]}" >"$dir/address"
}

start_server() {
  local dir=$1 n
  need java
  [ -s "$dir/address" ] || format_cluster "$dir"
  for n in "${nodes[@]}"; do launch_broker "$dir/node$n"; done
  for n in "${nodes[@]}"; do await_broker "$dir/node$n"; done
}

stop_server() {
  local n
  # All at once: a controller that is stopped last would wait for a quorum that is gone.
  for n in "${nodes[@]}"; do signal_group "$1/node$n" TERM; done
  for n in "${nodes[@]}"; do wait_gone "$1/node$n" 5 || kill_process "$1/node$n"; done
}

kill_server() {
  local n
  for n in "${nodes[@]}"; do signal_group "$1/node$n" KILL; done
  for n in "${nodes[@]}"; do kill_process "$1/node$n"; done
}

watch_server() {
  local n
  for n in "${nodes[@]}"; do watch_process "$1/node$n" "${2:-}"; done
}

case ${1:-} in
  kill-node) kill_process "${2:?DIR}/node${3:?node}" ;;
  start-node)
    launch_broker "${2:?DIR}/node${3:?node}"
    await_broker "$2/node$3"
    watch_process "$2/node$3" "${4:-}"
    ;;
  *) main "$@" ;;
esac
