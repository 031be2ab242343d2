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

format() {
  local dir=$1 port controller
  port=$(free_port)
  controller=$(free_port)
  while [ "$controller" = "$port" ]; do controller=$(free_port); done
  # Timeouts are short so that rebalances and restarts take a test one second, not ten.
  cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=200
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=200
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=100
EOF
  java -Xmx64m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$libs/*" \
    kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$dir/server.properties" >>"$dir/log" 2>&1 9>&- ||
    die "formatting failed; its log is $dir/log"
  echo "127.0.0.1:$port" >"$dir/address"
}

start_server() {
  local dir=$1
  need java
  [ -s "$dir/address" ] || format "$dir"
  launch "$dir" java -Xms128m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$libs/*" kafka.Kafka "$dir/server.properties"
  await "$dir" port_is_open "$(sed 's/.*://' "$dir/address")"
}

main "$@"
