#!/usr/bin/env bash
# Apache Kafka 4.4.0 (one KRaft node) for tests.
#   kafka.sh fetch              jars from Maven Central into the cache (45 jars, 45 MB)
#   kafka.sh start DIR [OWNER]  prints host:port when the broker serves; DIR holds data, log, pid
#   kafka.sh stop|kill DIR      SIGTERM / SIGKILL to the process group; a second start finds data and port again
. "$(dirname "${BASH_SOURCE[0]}")/lifecycle.sh"
libs=$cache/kafka/libs

download() {
  need java mvn
  rm -rf "$libs"
  maven -f "$here/kafka.pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$libs"
}

fetch_server() {
  mkdir -p "$cache/kafka"
  fetch_once "$cache/kafka/.fetched-$(cksum <"$here/kafka.pom.xml" | tr ' ' -)" download
}

# node_properties DIR ID PORT CONTROLLER_PORT VOTERS: what every node has.
# Timeouts are short so that rebalances and restarts take a test one second, not ten.
node_properties() {
  cat <<EOF
process.roles=broker,controller
node.id=$2
controller.quorum.voters=$5
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$3,CONTROLLER://127.0.0.1:$4
log.dirs=$1/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=200
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
broker.heartbeat.interval.ms=200
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=100
EOF
}

# Formats the storage of DIR/server.properties.
format_storage() {
  java -Xmx64m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$libs/*" \
    kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$1/server.properties" >>"$1/log" 2>&1 9>&- ||
    die "formatting failed; its log is $1/log"
}

launch_broker() {
  launch "$1" java -Xms128m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$libs/*" kafka.Kafka "$1/server.properties"
}

await_broker() {
  await "$1" port_is_open "$(sed 's/.*://' "$1/address")"
}

format() {
  local dir=$1 port controller
  port=$(free_port)
  controller=$(free_port)
  while [ "$controller" = "$port" ]; do controller=$(free_port); done
  {
    node_properties "$dir" 1 "$port" "$controller" "1@127.0.0.1:$controller"
    cat <<EOF
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
broker.session.timeout.ms=1500
EOF
  } >"$dir/server.properties"
  format_storage "$dir"
  echo "127.0.0.1:$port" >"$dir/address"
}

start_server() {
  local dir=$1
  need java
  [ -s "$dir/address" ] || format "$dir"
  launch_broker "$dir"
  await_broker "$dir"
}

is_sourced || main "$@"
