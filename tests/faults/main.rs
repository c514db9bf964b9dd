//! Fault tests: what breaks on the way must not break the result.

mod boundary;
mod kill;
mod network;
mod overlap;
mod rewrite;
mod servers;
mod store;
mod switching;
mod world;

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

/// `module::test` between backquotes.
fn named_tests(page: &str) -> Vec<(&str, &str)> {
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|word| word.split_once("::"))
        .collect()
}

#[test]
fn the_page_of_faults_names_tests_that_exist_and_all_of_them() {
    let read = |path: &str| {
        let path = towpath_tests::repository().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let page = read("docs/concepts/faults.md");
    let named = named_tests(&page);
    assert!(named.len() > 20, "the page names {} tests", named.len());
    for (module, test) in &named {
        // Those of clones are beside the others of clones.
        let mut places = ["faults", "it"]
            .map(|folder| format!("tests/{folder}/{module}.rs"))
            .into_iter();
        let place = places.find(|place| towpath_tests::repository().join(place).exists());
        let source = read(&place.unwrap_or_else(|| panic!("there is no module {module}")));
        let is_test = source.split("#[test]").skip(1).any(|item| {
            item.split("fn ")
                .nth(1)
                .is_some_and(|item| item.starts_with(&format!("{test}(")))
        });
        assert!(is_test, "{module}::{test} is named and is no test");
    }
    for module in ["network", "servers", "store"] {
        let source = read(&format!("tests/faults/{module}.rs"));
        for item in source.split("#[test]").skip(1) {
            let name = item
                .split("fn ")
                .nth(1)
                .and_then(|item| item.split('(').next())
                .expect("a test has a name");
            assert!(
                named.contains(&(module, name)),
                "{module}::{name} is not on the page"
            );
        }
    }
}
