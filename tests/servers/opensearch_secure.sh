#!/usr/bin/env bash
# OpenSearch 2.19.4 with its security plugin, one node over TLS, for tests.
#   opensearch_secure.sh fetch              as opensearch.sh, and the plugin (45 MB)
#   opensearch_secure.sh start DIR [OWNER]  prints https://host:port when it knows its users
#   opensearch_secure.sh stop|kill DIR      SIGTERM / SIGKILL; a second start finds data, port and users again
# DIR holds data, log, pid, and who may do what:
#   ca.pem            the authority of this start; other-ca.pem is one that signed nothing here
#   admin.password    of `admin`, who may do everything
#   writer.password   of `writer`, who may write to data streams logs-panicsift.* and nothing else
#   reader.password   of `reader`, who is known and may do nothing
#   client.pem, .key  a certificate that logs its holder in as `client`, who may do what `writer` may
#   admin.pem, .key   the administrator's certificate
. "$(dirname "${BASH_SOURCE[0]}")/opensearch.sh"
. "$here/certificates.sh"
version=2.19.4.0
plugin=$home/security-$version

download_plugin() {
  need mvn unzip
  rm -rf "$plugin" "$home/zip"
  maven org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact=org.opensearch.plugin:opensearch-security:$version:zip -DoutputDirectory="$home/zip"
  unzip -q -o "$home/zip/opensearch-security-$version.zip" -d "$plugin"
  rm -rf "$home/zip"
  # What OpenSearch has itself is not wanted twice on one class path.
  local jar
  for jar in "$plugin"/*.jar; do
    [ ! -e "$home/libs/${jar##*/}" ] || rm "$jar"
  done
}

fetch_server() {
  fetch_opensearch
  fetch_once "$home/.fetched-security-$version" download_plugin
}

# as_admin METHOD PATH [JSON]: with the administrator's certificate, which no password is needed for.
as_admin() {
  curl -sSf -m 30 --cacert "$dir/ca.pem" --cert "$dir/admin.pem" --key "$dir/admin.key" -X "$1" \
    "$(cat "$dir/address")/$2" -H 'content-type: application/json' ${3:+-d "$3"}
}

make_configuration() {
  local dir=$1 config=$1/home/config
  mkdir -p "$config/opensearch-security"
  cp "$dir"/{ca,node}.pem "$dir/node.key" "$config/"
  cp "$plugin"/config/*.yml "$config/opensearch-security/"
  # A client certificate logs in under its common name, as `client` does.
  sed -i '/clientcert_auth_domain:/,/order:/ s/http_enabled: false/http_enabled: true/' \
    "$config/opensearch-security/config.yml"
  chmod -R go= "$config"
}

# Users and roles, once the plugin answers. They live in an index, so a second start has them.
make_users() {
  local dir=$1 api=_plugins/_security/api name rights
  [ ! -s "$dir/reader.password" ] || return 0
  # What a forwarder needs: to write, to make its stream and to see that its template stands.
  rights='{"cluster_permissions": ["cluster:monitor/main", "indices:data/write/bulk", "indices:admin/index_template/get"],
    "index_permissions": [{"index_patterns": ["logs-panicsift.*", ".ds-logs-panicsift.*"], "allowed_actions": [
      "indices:data/write/index", "indices:data/write/bulk*", "indices:admin/mapping/put", "indices:admin/create",
      "indices:admin/data_stream/create", "indices:admin/data_stream/get", "indices:admin/get"]}]}'
  as_admin PUT $api/roles/writer "$rights"
  as_admin PUT $api/rolesmapping/writer '{"users": ["writer", "client"]}'
  for name in admin writer reader; do
    random_password >"$dir/.password"
    as_admin PUT $api/internalusers/$name "{\"password\": \"$(cat "$dir/.password")\", \"backend_roles\":
      [$([ $name != admin ] || echo '"admin"')]}"
    mv "$dir/.password" "$dir/$name.password"
  done
}

# The plugin knows its users some seconds after the port is open; until then everything is answered with 503.
await_users() {
  await "$1" as_admin GET '_cluster/health?wait_for_status=yellow'
  await "$1" as_admin GET _plugins/_security/api/internalusers/admin
  make_users "$1" >>"$1/log"
}

start_server() {
  local dir=$1
  need java curl openssl
  make_certificates "$dir"
  make_configuration "$dir"
  choose_address "$dir" https
  launch_node "$dir" "$home/classes:$home/libs/*:$plugin/*" \
    plugin=org.opensearch.security.OpenSearchSecurityPlugin \
    plugins.security.ssl.transport.pemcert_filepath=node.pem plugins.security.ssl.transport.pemkey_filepath=node.key \
    plugins.security.ssl.transport.pemtrustedcas_filepath=ca.pem \
    plugins.security.ssl.transport.enforce_hostname_verification=false \
    plugins.security.ssl.http.enabled=true plugins.security.ssl.http.clientauth_mode=OPTIONAL \
    plugins.security.ssl.http.pemcert_filepath=node.pem plugins.security.ssl.http.pemkey_filepath=node.key \
    plugins.security.ssl.http.pemtrustedcas_filepath=ca.pem \
    plugins.security.allow_default_init_securityindex=true \
    plugins.security.authcz.admin_dn=CN=admin plugins.security.nodes_dn=CN=node \
    plugins.security.restapi.roles_enabled=all_access
  await_users "$dir"
}

main "$@"
