//! Fault tests: what breaks on the way must not break the result.

mod boundary;
mod kill;
mod rewrite;

use towpath_tests::tcp_proxy::Direction;
use towpath_tests::{Fault, TcpProxy, pair, pg};

#[test]
fn proxy_cuts_a_psql_connection() {
    let pair = pair();
    let port = pair.source.cluster.port();
    let proxy = TcpProxy::start(port);
    // The proxy cannot look into TLS, but bytes are bytes: a plain connection makes them count.
    let url = format!(
        "{}?sslmode=disable",
        proxy.through(&pair.source.url(), port)
    );
    let rows = "select repeat('x', 1000) from generate_series(1, 5000)";

    assert_eq!(pg::psql(&url, rows).len(), 5000 * 1001 - 1);
    proxy.set(Fault::CutAfter(Direction::ToClient, 1_000_000));
    let error = pg::try_psql(&url, rows).unwrap_err();
    assert!(
        error.contains("server closed the connection unexpectedly"),
        "{error}"
    );
    assert_eq!(proxy.connections(), 2);

    proxy.set(Fault::Pass);
    assert_eq!(pg::psql(&url, "select 1"), "1");
}

#[test]
fn a_crashed_server_comes_back_with_what_was_committed() {
    let mut pair = pair();
    let _ = pair
        .target
        .psql("create table survivor (id integer); insert into survivor values (1)");
    pair.target.cluster.crash_and_restart();
    assert_eq!(pair.target.psql("select id from survivor"), "1");
}
