# Sourced by the scripts of servers with TLS: an authority and certificates of this one start, made by openssl.

# make_certificates DIR: ca.pem; other-ca.pem, which signed nothing here; NAME.pem and NAME.key (PKCS#8) for
# `node` (127.0.0.1 and localhost), `admin` and `client`. Nothing is made twice.
make_certificates() {
  local dir=$1 name
  need openssl
  [ -s "$dir/client.pem" ] && return
  # `basicConstraints` and `keyUsage` are asked for by stricter verifiers than openssl.
  for name in other-ca ca; do
    certificate "$dir" "$name" -x509 -addext 'keyUsage=critical,keyCertSign,cRLSign'
  done
  for name in node admin client; do
    certificate "$dir" "$name" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -x509 -addext 'basicConstraints=critical,CA:FALSE' \
      -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' -addext 'extendedKeyUsage=serverAuth,clientAuth'
  done
}

# certificate DIR NAME OPTION…: a fresh key, and the certificate that the options make.
certificate() {
  local dir=$1 name=$2
  shift 2
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$name" \
    -keyout "$dir/$name.key" -out "$dir/$name.pem" "$@" >>"$dir/log" 2>&1 || die "openssl failed; its log is $dir/log"
}

# A password that passes every rule.
random_password() {
  echo "Aa1-$(openssl rand -hex 16)"
}
