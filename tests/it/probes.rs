//! Probes, the watch, hooks and notices of a cutover.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use towpath_tests::http_server::Reply;
use towpath_tests::process::{Finished, Running};
use towpath_tests::{HttpServer, MiniStack, Pair, Project, pair, project, wait_until};

/// Passwords and keys that nobody may ever be told.
const SECRETS: &[&str] = &[
    "fixture-secret",
    "reader-pass-77",
    "routing-key-77",
    "signing-key-77",
];

struct World {
    pair: Pair,
    aws: MiniStack,
    web: HttpServer,
    project: Project,
    id: String,
}

fn world() -> World {
    let pair = pair();
    let aws = MiniStack::start();
    let web = HttpServer::start();
    let source = pair.source.url();
    aws.aws()
        .create_function("orders-api", &[("DATABASE_URL", &source)]);
    aws.aws()
        .create_function("orders-web", &[("DATABASE_URL", &source)]);
    let topic = aws.aws().create_topic("cutover", &web, "/topic");
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("TOWPATH_SWITCH_PREFIXES", "orders-")
        .with("TOWPATH_PROBE_ATTEMPTS", "1")
        .with("TOWPATH_PROBE_INTERVAL_S", "1")
        .with("TOWPATH_NOTIFY_WEBHOOK_URL", &web.url("/hook"))
        .with("TOWPATH_NOTIFY_WEBHOOK_SECRET", "signing-key-77")
        .with("TOWPATH_NOTIFY_SLACK_URL", &web.url("/slack"))
        .with("TOWPATH_NOTIFY_PAGERDUTY_KEY", "routing-key-77")
        .with("TOWPATH_NOTIFY_PAGERDUTY_URL", &web.url("/pagerduty"))
        .with("TOWPATH_NOTIFY_SNS_TOPIC", &topic)
        .with("TOWPATH_NOTIFY_TIMEOUT_S", "2");
    project.expect(0, &["run", "--yes"]);
    let id = project.run_id();
    World {
        pair,
        aws,
        web,
        project,
        id,
    }
}

impl World {
    fn assert_all_at(&self, port: u16) {
        for function in ["orders-api", "orders-web"] {
            let answer = self.aws.aws().invoke(function).expect("it answers");
            assert_eq!(answer["port"].as_u64(), Some(u64::from(port)), "{function}");
        }
    }

    fn assert_all_at_source(&self) {
        self.assert_all_at(self.pair.source.cluster.port());
        // And it accepts writes.
        self.pair
            .source
            .psql("begin; insert into public.no_pk select * from public.no_pk limit 1; rollback");
    }

    /// A cutover with further variables and arguments.
    fn cutover(&self, code: i32, variables: &[(&str, &str)], arguments: &[&str]) -> Finished {
        let mut all = vec!["cutover", "--confirm", self.id.as_str()];
        all.extend_from_slice(arguments);
        let call = self.project.towpath(&all).envs(variables.iter().copied());
        let end = call.run().expect_code(code);
        for secret in SECRETS {
            assert!(
                !end.stdout.contains(secret) && !end.stderr.contains(secret),
                "{end}"
            );
        }
        end
    }

    /// A cutover that watches.
    fn watching(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        let call = self.project.towpath(arguments);
        let mut running = call.envs(variables.iter().copied()).spawn();
        wait_until("the watch begins", Duration::from_secs(60), || {
            let said = running.stderr_so_far();
            assert!(
                running.is_running(),
                "it does not come to its watch:\n{said}"
            );
            said.contains("watching: ")
        });
        running
    }

    /// A script of this name in the project's directory.
    fn script(&self, name: &str, text: &str) {
        let path = self.project.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("write a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("make it a program");
    }

    fn events(&self, path: &str, field: &str) -> Vec<String> {
        let asked = self.web.asked(path);
        let texts = asked.iter().filter_map(|asked| {
            let text = asked.json()[field].as_str()?.to_owned();
            Some(text)
        });
        texts.collect()
    }
}

#[test]
fn what_fails_already_is_found_before_the_fence() {
    let world = world();
    // Two at once: the first is the error, both have said why.
    let health = world.web.url("/health?token=reader-pass-77");
    let redirect = [Reply::Redirect("/".to_owned())];
    world.web.reply("/health?token=reader-pass-77", &redirect);
    world.aws.aws().set_alarm("errors", "ALARM");
    let variables = [
        ("TOWPATH_PROBE_HTTP", health.as_str()),
        ("TOWPATH_PROBE_ALARMS", "errors,missing"),
        ("TOWPATH_PROBE_ATTEMPTS", "2"),
    ];
    let end = world.cutover(10, &variables, &[]);
    for part in [
        "attempt 1",
        "status 302",
        "probe `alarms` failed, and 1 more",
        "alarm errors is in ALARM",
        "no CloudWatch alarm missing",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }

    // What consumers get leads to a login that sees nothing, or to another database.
    let target = &world.pair.target;
    target.psql_superuser(
        "create role app_reader login password 'reader-pass-77';
         grant usage on schema public to app_reader;
         grant select on all tables in schema public to app_reader",
    );
    let reader = target.url_as("app_reader", "reader-pass-77", &target.shape().database);
    let variables = [
        ("TOWPATH_SWITCH_URL", reader.as_str()),
        ("TOWPATH_PROBE_TABLES", "public.no_pk"),
    ];
    let end = world.cutover(10, &variables, &[]);
    assert!(
        end.stderr.contains("nothing of public.no_pk to app_reader"),
        "{end}"
    );
    let elsewhere = target.url_as("app_reader", "reader-pass-77", "postgres");
    let end = world.cutover(10, &[("TOWPATH_SWITCH_URL", &elsewhere)], &[]);
    assert!(end.stderr.contains("another server or database"), "{end}");
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        let wrong = target.url_as("app_reader", "reader-pass-77-x", &target.shape().database);
        let end = world.cutover(10, &[("TOWPATH_SWITCH_URL", &wrong)], &[]);
        assert!(end.stderr.contains("probe `sql` failed"), "{end}");
    }
    // Nobody said that this table matters, but a role of that name reads it on the source.
    world.pair.source.psql_superuser(
        "create role app_reader bypassrls in role service_role; grant app_reader to postgres",
    );
    let end = world.cutover(10, &[("TOWPATH_SWITCH_URL", &reader)], &[]);
    assert!(
        end.stderr
            .contains("on the source app_reader reads rows in it"),
        "{end}"
    );

    // Neither a pattern that does not compile nor a channel that cannot work is found at night.
    let end = world.cutover(2, &[("TOWPATH_PROBE_EXPECT", "* (")], &[]);
    assert!(end.stderr.contains("probe.expect"), "{end}");
    let plain = [(
        "TOWPATH_NOTIFY_SLACK_URL",
        "http://hooks.example/reader-pass-77",
    )];
    let end = world.cutover(2, &plain, &[]);
    assert!(end.stderr.contains("notify.slack_url"), "{end}");
    let end = world.cutover(2, &[], &["--watch", "10"]);
    assert!(end.stderr.contains("--watch"), "{end}");

    // A hook that hangs ends with all that it has started.
    world.script("hang.sh", "sleep 300 & echo $! > hang.pid; wait");
    let hook = [
        ("TOWPATH_HOOK_BEFORE_FENCE", "./hang.sh"),
        ("TOWPATH_HOOK_TIMEOUT_S", "1"),
    ];
    let end = world.cutover(10, &hook, &[]);
    assert!(end.stderr.contains("longer than hooks.timeout_s"), "{end}");
    let pid = std::fs::read_to_string(world.project.path().join("hang.pid")).expect("it began");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z")),
        "it still runs"
    );
    world.assert_all_at_source();
    assert!(
        world.web.asked("/hook").is_empty(),
        "nothing happened, nothing is told"
    );
}

#[test]
fn what_fails_later_puts_everything_back_and_tells() {
    let world = world();
    world.web.reply("/slack", &[Reply::Hang]);
    world.web.reply(
        "/hook",
        &[Reply::Status(503), Reply::Close, Reply::Status(200)],
    );

    // A hook that says no: the fence is lifted.
    world.script("no.sh", "env > hook.env; echo \"no, $1\"; exit 3");
    let leak = world.pair.source.url();
    let hook = [
        ("TOWPATH_HOOK_BEFORE_SWITCH", "./no.sh,not today"),
        ("LEAK", &leak),
    ];
    let end = world.cutover(13, &hook, &[]);
    assert!(
        end.stderr.contains("hook before_switch: no, not today"),
        "{end}"
    );
    assert!(
        end.stderr
            .contains("hook before_switch ended with exit code 3"),
        "{end}"
    );
    assert!(
        end.stderr.contains("Slack did not take every notice"),
        "{end}"
    );
    world.assert_all_at_source();
    let environment =
        std::fs::read_to_string(world.project.path().join("hook.env")).expect("the hook ran");
    let moment = format!("TOWPATH_RUN={}", world.id);
    assert!(environment.contains(&moment) && environment.contains("TOWPATH_MOMENT=before_switch"));
    assert!(environment.contains("AWS_REGION=") && !environment.contains("SOURCE_URL="));
    assert!(!environment.contains("LEAK="), "{environment}");
    // Its own credentials of AWS it may have.
    let others = environment.lines().filter(|line| !line.starts_with("AWS_"));
    assert!(
        !others
            .into_iter()
            .any(|line| line.contains("fixture-secret")),
        "{environment}"
    );

    // A function that does not answer as it should: the switch is undone.
    let expect = "* \"port\":\\s*{target_port}\norders-web \"port\":\\s*1\\b";
    let probes = [
        ("TOWPATH_PROBE_INVOKE", "*"),
        ("TOWPATH_PROBE_EXPECT", expect),
    ];
    let end = world.cutover(13, &probes, &[]);
    assert!(
        end.stderr.contains("probe `invoke orders-web` failed"),
        "{end}"
    );
    assert!(
        end.stderr
            .contains("something else than probe.expect wants"),
        "{end}"
    );
    world.assert_all_at_source();
    let journal: String = world
        .project
        .store_files()
        .iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "journal"))
        .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    for part in [
        "\"invoke orders-api\"",
        "\"invoke orders-web\"",
        "\"source-sessions\"",
    ] {
        assert!(journal.contains(part), "{part} is not in the journal");
    }
    assert!(
        !journal.contains("server_version"),
        "the journal quotes an answer"
    );

    // An alarm during the watch: everything is put back.
    world.web.reply("/slack", &[Reply::Status(200)]);
    world.aws.aws().set_alarm("errors", "INSUFFICIENT_DATA");
    let accept = ["--watch", "5m", "--accept-loss", world.id.as_str()];
    let mut arguments = vec!["cutover", "--confirm", world.id.as_str()];
    arguments.extend(accept);
    let expect = [
        ("TOWPATH_PROBE_ALARMS", "errors"),
        ("TOWPATH_PROBE_INVOKE", "*"),
        ("TOWPATH_PROBE_EXPECT", "* \"port\":\\s*{target_port}"),
    ];
    world.project.expect(0, &["verify"]);
    let running = world.watching(&arguments, &expect);
    world.assert_all_at(world.pair.target.cluster.port());
    world.aws.aws().set_alarm("errors", "ALARM");
    let end = running.wait().expect_code(13);
    assert!(end.stderr.contains("alarm errors is in ALARM"), "{end}");
    world.assert_all_at_source();

    // And one that goes well, stopped in the middle of its watch: consumers stay.
    world.aws.aws().set_alarm("errors", "OK");
    world.project.expect(0, &["verify"]);
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        let running = world.watching(&arguments, &expect);
        running.interrupt();
        let end = running.wait().expect_code(130);
        assert!(end.stderr.contains("stays so"), "{end}");
        world.assert_all_at(world.pair.target.cluster.port());
        // A consumer that nobody switched comes back to the source.
        let sessions = [("TOWPATH_PROBE_SOURCE_SESSIONS", "fail")];
        let running = world.watching(&arguments, &sessions);
        let end = std::thread::scope(|scope| {
            scope.spawn(|| world.pair.source.psql("select pg_sleep(8)"));
            running.wait().expect_code(13)
        });
        assert!(end.stderr.contains("1 begun after the switch"), "{end}");
        world.assert_all_at_source();
        world.project.expect(0, &["verify"]);
    }
    let end = world.cutover(0, &[], &["--watch", "1s"]);
    world.assert_all_at(world.pair.target.cluster.port());
    assert!(!end.stderr.contains("was not delivered"), "{end}");

    let told = world.events("/hook", "event");
    for event in ["fenced", "undone", "switched"] {
        assert!(
            told.contains(&event.to_owned()),
            "{event} is not in {told:?}"
        );
    }
    let first = &world.web.asked("/hook")[0];
    assert!(
        first.headers["x-towpath-signature"].starts_with("t="),
        "{first:?}"
    );
    let incidents = world.events("/pagerduty", "event_action");
    assert_eq!(incidents.first().map(String::as_str), Some("trigger"));
    assert_eq!(incidents.last().map(String::as_str), Some("resolve"));
    assert!(
        world
            .events("/topic", "Subject")
            .iter()
            .any(|subject| subject.contains("switched"))
    );
    for path in ["/hook", "/slack", "/pagerduty", "/topic"] {
        let asked = world.web.asked(path);
        assert!(!asked.is_empty(), "{path} heard nothing");
        for notice in asked {
            let body = notice.body.replace("routing-key-77", "");
            let leaks = SECRETS.iter().find(|secret| body.contains(**secret));
            assert!(leaks.is_none(), "{path}: {notice:?}");
        }
    }
}
