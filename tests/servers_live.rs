//! The scripts in `tests/servers/`: each server starts, answers, survives SIGKILL with its address, and leaves nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::servers::{Kind, Server, may_start_servers};

fn check(kind: Kind, test: &str) {
    if !may_start_servers(test) {
        return;
    }
    let server = Server::start(kind);
    assert!(answers(&server.address));
    server.kill();
    assert!(!answers(&server.address));
    server.restart();
    assert!(answers(&server.address));
    server.stop();
    assert!(!answers(&server.address));
}

/// Kafka by its open port, the others by their health.
fn answers(address: &str) -> bool {
    let host = address.trim_start_matches("http://");
    let Ok(mut stream) = TcpStream::connect(host) else {
        return false;
    };
    if host == address {
        return true;
    }
    write!(stream, "GET /_cluster/health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).is_ok() && reply.starts_with("HTTP/1.1 200")
}

#[test]
fn opensearch_starts_and_stops() {
    check(Kind::OpenSearch, "opensearch_starts_and_stops");
}

#[test]
fn elasticsearch_starts_and_stops() {
    check(Kind::Elasticsearch, "elasticsearch_starts_and_stops");
}
