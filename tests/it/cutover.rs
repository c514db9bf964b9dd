//! The switch of Lambda functions and secrets, and the way back.

use std::os::unix::fs::PermissionsExt;

use towpath_tests::{MiniStack, Pair, Project, pair, project};

struct World {
    pair: Pair,
    aws: MiniStack,
    project: Project,
    secret: String,
}

fn world() -> World {
    let pair = pair();
    let aws = MiniStack::start();
    let source = pair.source.url();
    aws.aws().create_function(
        "orders-api",
        &[
            ("DATABASE_URL", &source),
            ("LOG_LEVEL", "info"),
            ("SUPABASE_URL", "https://x.supabase.co"),
        ],
    );
    let secret = aws.aws().create_secret("billing/database", &source);
    aws.aws()
        .create_function("orders-worker", &[("DB_SECRET_ARN", &secret)]);
    aws.aws().create_function(
        "other",
        &[("DATABASE_URL", "postgres://u:p@elsewhere.example/db")],
    );
    aws.aws().create_db_instance(
        "orders",
        pair.target.cluster.port(),
        "towpath_master",
        "app",
    );
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("TOWPATH_SWITCH_PREFIXES", "orders-")
        .with("TOWPATH_TARGET_RDS_INSTANCE", "orders");
    World {
        pair,
        aws,
        project,
        secret,
    }
}

impl World {
    fn answers_from(&self, function: &str) -> u64 {
        let answer = self
            .aws
            .aws()
            .invoke(function)
            .expect("the function answers");
        answer["port"].as_u64().expect("a port")
    }

    fn assert_all_at(&self, port: u16) {
        for function in ["orders-api", "orders-worker"] {
            assert_eq!(self.answers_from(function), u64::from(port), "{function}");
        }
    }

    fn environment(&self, function: &str) -> Vec<(String, String)> {
        self.aws
            .aws()
            .configuration(function)
            .environment
            .into_iter()
            .collect()
    }
}

#[test]
fn functions_answer_from_the_target_and_from_the_source_again() {
    let world = world();
    let (source, target) = (
        world.pair.source.cluster.port(),
        world.pair.target.cluster.port(),
    );
    let before = (
        world.environment("orders-api"),
        world.environment("orders-worker"),
    );
    let run = world.project.expect(0, &["run", "--yes"]);
    assert!(run.stderr.contains("RDS snapshot towpath-"), "{run}");
    let id = world.project.run_id();
    world.assert_all_at(source);

    let plan = world.project.expect(0, &["cutover", "--dry-run"]);
    assert!(plan.stdout.contains("lambda orders-api"), "{plan}");
    assert!(
        plan.stdout
            .contains("SUPABASE_URL: still depends on Supabase"),
        "{plan}"
    );
    assert!(!plan.stdout.contains("fixture-secret"), "{plan}");
    world.assert_all_at(source);

    let end = world.project.expect(0, &["cutover", "--confirm", &id]);
    assert!(!end.stdout.contains("fixture-secret") && !end.stderr.contains("fixture-secret"));
    world.assert_all_at(target);
    let environment = world.environment("orders-api");
    assert!(environment.contains(&("LOG_LEVEL".to_owned(), "info".to_owned())));
    assert!(
        world.environment("other")[0]
            .1
            .contains("elsewhere.example")
    );

    let again = world.project.expect(10, &["run", "--yes"]);
    assert!(again.stderr.contains("past its cutover"), "{again}");

    world.project.expect(0, &["rollback", "--yes"]);
    world.assert_all_at(source);
    assert_eq!(
        (
            world.environment("orders-api"),
            world.environment("orders-worker")
        ),
        before
    );
    assert_eq!(
        world.aws.aws().secret(&world.secret),
        world.pair.source.url()
    );

    // And once more, because a first cutover is not always the last; but consumers have had the
    // target in between, so what was proven before counts no more.
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("made before the last cutover"), "{end}");
    world.project.expect(0, &["verify"]);
    world.project.expect(0, &["cutover", "--confirm", &id]);
    world.assert_all_at(target);
    world.project.expect(0, &["rollback", "--yes"]);
    world.assert_all_at(source);

    for (path, bytes) in world.project.store_files() {
        let text = String::from_utf8_lossy(&bytes);
        let is_chunk = path.components().any(|part| part.as_os_str() == "chunks");
        assert!(
            is_chunk || !text.contains("fixture-secret"),
            "{}",
            path.display()
        );
    }
    let report = std::fs::read_to_string(
        world
            .project
            .path()
            .join(format!(".towpath/reports/{id}/report.md")),
    )
    .expect("there is a report");
    assert!(
        report.contains("lambda orders-api") && report.contains("restored"),
        "{report}"
    );
}

#[test]
fn nothing_is_switched_before_a_clean_verification() {
    let world = world();
    world.project.expect(0, &["export", "--yes"]);
    let id = world.project.run_id();
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("was never verified"), "{end}");
    world.project.expect(0, &["load"]);
    world.project.expect(0, &["verify", "--chunks"]);
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("looked at chunks only"), "{end}");
    world.project.expect(0, &["verify", "--source", "live"]);
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("with the source of then"), "{end}");
    world.project.expect(0, &["verify"]);
    // Whoever can write to the store can sign by the run's key, and not by this one.
    let key = world.project.path().join("key.pem");
    std::fs::write(&key, crate::evidence::PRIVATE).expect("write a key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("close it");
    let unsigned = world.project.towpath(&["cutover", "--confirm", &id]);
    let end = unsigned.env("TOWPATH_SIGNING_KEY", &key).run();
    let end = end.expect_code(10);
    assert!(end.stderr.contains("is not signed by the key"), "{end}");
    // The same server by another name could be another server.
    let renamed = world.pair.target.url().replace("127.0.0.1", "localhost");
    let elsewhere = world.project.towpath(&["cutover", "--confirm", &id]);
    let end = elsewhere.env("TOWPATH_TARGET_URL", renamed).run();
    let end = end.expect_code(10);
    assert!(
        end.stderr.contains(", and the target is localhost"),
        "{end}"
    );
    let row = world
        .pair
        .target
        .psql_superuser("select id from public.documents limit 1");
    world.pair.target.psql_superuser(&format!(
        "set session_replication_role = replica; delete from public.documents where id = '{row}'"
    ));
    world.project.expect(12, &["verify"]);
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("found differences"), "{end}");
    world.assert_all_at(world.pair.source.cluster.port());
}

#[test]
fn a_source_that_moved_on_is_not_left_behind_in_silence() {
    let mut world = world();
    world.project = world.project.with("TOWPATH_FENCE_MODE", "none");
    world.project.expect(0, &["run", "--yes"]);
    let id = world.project.run_id();
    world
        .pair
        .source
        .psql("insert into public.no_pk select * from public.no_pk limit 1");
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    for part in [
        "has changed since the export",
        "public.no_pk",
        "--accept-source-changes",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    world.assert_all_at(world.pair.source.cluster.port());
    // No table shows that there are large objects now.
    let source = &world.pair.source;
    source.psql("select lo_from_bytea(790001, 'new')");
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("has got large objects"), "{end}");
    source.psql("select lo_unlink(790001)");
    world
        .pair
        .source
        .psql("create table public.brand_new (id integer)");
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("were created"), "{end}");
    world.project.expect(
        0,
        &["cutover", "--confirm", &id, "--accept-source-changes", &id],
    );
    world.assert_all_at(world.pair.target.cluster.port());
}

#[test]
fn a_cutover_wants_its_name() {
    let world = world();
    world.project.expect(0, &["run", "--yes"]);
    let end = world.project.expect(2, &["cutover"]);
    assert!(end.stderr.contains("--confirm"), "{end}");
    let end = world
        .project
        .expect(2, &["cutover", "--confirm", "another"]);
    assert!(end.stderr.contains("is not the run"), "{end}");
    world.assert_all_at(world.pair.source.cluster.port());
}

#[test]
fn a_function_deployed_since_is_not_overwritten_by_rollback() {
    let world = world();
    world.project.expect(0, &["run", "--yes"]);
    let id = world.project.run_id();
    world.project.expect(0, &["cutover", "--confirm", &id]);
    let mut variables = world.environment("orders-api");
    variables.push(("NEW_FLAG".to_owned(), "on".to_owned()));
    let borrowed: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    world.aws.aws().set_environment("orders-api", &borrowed);
    let end = world.project.expect(15, &["rollback", "--yes"]);
    assert!(end.stderr.contains("NEW_FLAG"), "{end}");
    assert_eq!(world.environment("orders-api"), {
        let mut sorted = variables.clone();
        sorted.sort();
        sorted
    });
}

#[test]
fn a_frozen_source_neither_blocks_the_cutover_nor_freezes_the_target() {
    let world = world();
    world
        .pair
        .source
        .psql_superuser("alter database postgres set default_transaction_read_only = on");
    world.project.expect(0, &["run", "--yes"]);
    let id = world.project.run_id();
    world.project.expect(0, &["cutover", "--confirm", &id]);
    world.assert_all_at(world.pair.target.cluster.port());
    assert_eq!(
        world.pair.target.psql("show default_transaction_read_only"),
        "off"
    );
}

#[test]
fn a_cutover_that_finds_nothing_is_no_success() {
    let world = world();
    let project = project!(&world.pair)
        .with_all(&world.aws.env())
        .with("TOWPATH_SWITCH_FUNCTIONS", "other");
    project.expect(0, &["run", "--yes"]);
    let id = project.run_id();
    let end = project.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("nothing to switch"), "{end}");
}

#[test]
fn a_number_that_was_handed_out_without_a_row_counts_as_a_change() {
    let mut world = world();
    world.project = world.project.with("TOWPATH_FENCE_MODE", "none");
    world.project.expect(0, &["run", "--yes"]);
    let id = world.project.run_id();
    world
        .pair
        .source
        .psql("select nextval('public.invoice_no')");
    let end = world.project.expect(10, &["cutover", "--confirm", &id]);
    assert!(
        end.stderr
            .contains("sequence public.invoice_no has handed out"),
        "{end}"
    );
}
