//! What the other tests stand on.

use towpath_tests::pg::{psql, try_psql};
use towpath_tests::{MiniStack, S3Server, TargetShape, pair, pair_with};

#[test]
fn pair_is_ready_and_logins_are_not_superuser() {
    let pair = pair();
    let rights = "select rolsuper, rolbypassrls from pg_roles where rolname = current_user";
    assert_eq!(pair.source.psql(rights), "f|t", "the source's login");
    assert_eq!(pair.target.psql(rights), "f|f", "the target's master");
    assert_ne!(pair.source.psql("select count(*) from auth.users"), "0");
    assert_eq!(pair.target.psql("select current_database()"), "app");
}

#[test]
fn the_servers_names_are_verified_over_tls() {
    let pair = pair();
    let version = "select version from pg_stat_ssl where pid = pg_backend_pid()";
    for url in [pair.source.url_verified(), pair.target.url_verified()] {
        assert_eq!(psql(&url, version), "TLSv1.3");
    }
    let wrong_root = pair.source.url_verified().replace("ca.crt", "server.crt");
    let refusal = try_psql(&wrong_root, version).unwrap_err();
    assert!(refusal.contains("certificate verify failed"), "{refusal}");
}

#[test]
fn the_target_offers_what_rds_offers() {
    let pair = pair();
    let available = "select name from pg_available_extensions where name = 'pg_net'";
    assert_eq!(pair.source.psql(available), "pg_net");
    assert_eq!(pair.target.psql(available), "");
    let _ = pair.target.psql("create extension pg_stat_statements");
}

#[test]
fn targets_come_with_and_without_the_right_to_disable_triggers() {
    for capable in [true, false] {
        let shape = TargetShape {
            master: "postgres".into(),
            capable,
            ..TargetShape::default()
        };
        let target = pair_with(&shape).target;
        assert_eq!(target.psql("select current_user"), "postgres");
        let attempt = try_psql(&target.url(), "set session_replication_role = replica");
        assert_eq!(attempt.is_ok(), capable, "{attempt:?}");
    }
}

#[test]
fn a_function_reaches_the_database_it_is_told() {
    let pair = pair();
    let ministack = MiniStack::start();
    let aws = ministack.aws();
    let port = |name: &str| aws.invoke(name).expect("the function answers")["port"].clone();

    aws.create_function("orders-api", &[("DATABASE_URL", &pair.source.url())]);
    assert_eq!(port("orders-api"), pair.source.cluster.port());
    let before = aws.configuration("orders-api");
    aws.set_environment("orders-api", &[("DATABASE_URL", &pair.target.url())]);
    assert_eq!(port("orders-api"), pair.target.cluster.port());
    assert_ne!(
        aws.configuration("orders-api").revision_id,
        before.revision_id
    );

    let secret = aws.create_secret("database", &pair.source.url());
    aws.create_function("worker", &[("DB_SECRET_ARN", &secret)]);
    assert_eq!(port("worker"), pair.source.cluster.port());
    aws.put_secret("database", &pair.target.url());
    assert_eq!(port("worker"), pair.target.cluster.port());
    assert_eq!(aws.secret(&secret), pair.target.url());

    aws.create_db_instance(
        "orders",
        pair.target.cluster.port(),
        "towpath_master",
        "app",
    );
    let found = aws.wait(
        aws.rds()
            .describe_db_instances()
            .db_instance_identifier("orders")
            .send(),
    );
    let found = found.expect("the instance is known");
    let endpoint = found.db_instances()[0]
        .endpoint()
        .expect("it has an endpoint");
    assert_eq!(endpoint.port(), Some(i32::from(pair.target.cluster.port())));
}

#[test]
fn both_s3_servers_store_and_list() {
    let (ministack, weed) = (MiniStack::start(), S3Server::start());
    for aws in [ministack.aws(), weed.aws()] {
        aws.create_bucket("runs");
        aws.put_object("runs", "a/1", b"one".to_vec());
        aws.put_object("runs", "b/2", b"two".to_vec());
        assert_eq!(aws.object_keys("runs", "a/"), ["a/1"]);
        assert_eq!(aws.object("runs", "b/2"), b"two");
        aws.delete_object("runs", "a/1");
        assert_eq!(aws.object_keys("runs", ""), ["b/2"]);
    }
}
