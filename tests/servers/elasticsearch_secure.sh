#!/usr/bin/env bash
# Elasticsearch 8.19.21 with security, one node, TLS on HTTP, for tests.
#   elasticsearch_secure.sh fetch              as elasticsearch.sh, and a plugin built that API keys and failure stores need
#   elasticsearch_secure.sh start DIR [OWNER]  prints https://host:port when users and keys are made
#   elasticsearch_secure.sh stop|kill DIR      SIGTERM / SIGKILL; a second start finds data, port, users and keys again
#   elasticsearch_secure.sh clean DIR          removes what stands outside DIR
# DIR holds data, log, pid, and who may do what:
#   ca.pem              the authority of this start; other-ca.pem is one that signed nothing here
#   admin.password      of `elastic`, who may do everything
#   writer.password     of `writer`, who may write to data streams logs-panicsift.* and nothing else
#   writer.api-key      (base64 of id and key) may do what `writer` may
#   rightless.api-key   is known and may do nothing
#   client.pem, .key    a certificate of the same authority (asked for by nobody, accepted)
# A request of more than 256 kB is answered with 413, one of more than 128 kB with 429.
. "$(dirname "${BASH_SOURCE[0]}")/elasticsearch.sh"
. "$here/certificates.sh"
plugin=$home/plugins/missing-parts

# See MissingParts.java. The plain server loads it too, to no effect.
build_plugin() {
  need javac jar
  local classes
  classes=$(mktemp -d)
  rm -rf "$plugin" && mkdir -p "$plugin"
  javac -proc:none -d "$classes" -cp "$home/lib/*" "$here/MissingParts.java"
  mkdir -p "$classes/META-INF/services"
  echo 'MissingParts$Features' >"$classes/META-INF/services/org.elasticsearch.features.FeatureSpecification"
  jar --create --file "$plugin/missing-parts.jar" -C "$classes" .
  rm -rf "$classes"
  cat >"$plugin/plugin-descriptor.properties" <<EOF
name=missing-parts
description=What the server can do and the integ-test distribution lacks the module for
version=1
classname=MissingParts
java.version=17
elasticsearch.version=$version
EOF
  chmod -R a+rX "$home/plugins"
}

fetch_server() {
  fetch_elasticsearch
  fetch_once "$cache/elasticsearch/.built-$(cksum <"$here/MissingParts.java" | tr ' ' -)" build_plugin
}

# as_admin METHOD PATH [JSON]
as_admin() {
  curl -sSf -m 30 --cacert "$dir/ca.pem" -u "elastic:$(cat "$dir/admin.password")" -X "$1" \
    "$(cat "$dir/address")/$2" -H 'content-type: application/json' ${3:+-d "$3"}
}

# What a forwarder needs: to write, to make its stream and to see that its template stands.
rights='{"cluster": ["monitor", "indices:admin/index_template/get"], "indices": [{"names": ["logs-panicsift.*"],
  "privileges": ["create_doc", "auto_configure", "view_index_metadata"]}]}'

make_users() {
  local dir=$1 api=_security
  [ ! -s "$dir/rightless.api-key" ] || return 0
  as_admin PUT $api/role/writer "$rights" >>"$dir/log"
  random_password >"$dir/writer.password"
  as_admin PUT $api/user/writer "{\"password\": \"$(cat "$dir/writer.password")\", \"roles\": [\"writer\"]}" >>"$dir/log"
  make_key "$dir" writer "$rights"
  make_key "$dir" rightless '{"cluster": ["none"], "indices": []}'
}

# make_key DIR NAME RIGHTS
make_key() {
  as_admin POST _security/api_key "{\"name\": \"$2\", \"role_descriptors\": {\"$2\": $3}}" |
    sed -n 's/.*"encoded":"\([^"]*\)".*/\1/p' >"$1/$2.api-key"
  [ -s "$1/$2.api-key" ] || die "no API key was made; its log is $1/log"
}

start_server() {
  local dir=$1 work run
  need java curl setpriv openssl
  make_certificates "$dir"
  prepare_node "$dir" https
  cp "$dir"/{ca,node}.pem "$dir/node.key" "$work/conf/"
  cat >>"$work/conf/elasticsearch.yml" <<EOF
http.max_content_length: 256kb
indexing_pressure.memory.limit: 128kb
xpack.security.enabled: true
xpack.security.authc.api_key.enabled: true
xpack.security.transport.ssl.enabled: false
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.certificate: node.pem
xpack.security.http.ssl.key: node.key
xpack.security.http.ssl.certificate_authorities: ca.pem
xpack.security.http.ssl.client_authentication: optional
EOF
  if [ ! -s "$dir/admin.password" ]; then
    random_password >"$dir/admin.password"
    keystore "$dir" add -f -x bootstrap.password <"$dir/admin.password"
  fi
  launch_node "$dir"
  await "$dir" as_admin GET '_cluster/health?wait_for_status=yellow'
  make_users "$dir"
}

keystore() {
  local dir=$1
  shift
  ES_PATH_CONF=$work/conf ES_JAVA_HOME=$(java_home) "$run/bin/elasticsearch-keystore" "$@" >>"$dir/log" 2>&1 ||
    die "elasticsearch-keystore failed; its log is $dir/log"
}

elasticsearch_main "$@"
