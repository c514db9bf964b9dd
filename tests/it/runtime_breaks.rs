//! What the catalog cannot see: it loads, and fails when somebody uses it.

use serde_json::Value;
use towpath_tests::pg::try_psql;
use towpath_tests::{pair, project};

/// Functions of the user's that come to what the target does not have, and what fires them.
const BROKEN: &str = "
create schema breaks;
create table breaks.orders (id int primary key, note text);
create table breaks.\"Odd; orders\" (id int primary key);
create table breaks.quiet (id int primary key);
insert into breaks.orders values (1, 'x');

-- far from the trigger: two calls between it and what is missing
create function breaks.post(body jsonb) returns bigint language plpgsql as $$
begin
    -- vault.decrypted_secrets is only said here
    return net.http_post(url := 'https://example.test/hook', body := body);
end $$;
create function breaks.announce(what text) returns void language sql
    as $$ select breaks.post(jsonb_build_object('what', what)) $$;
create function breaks.on_order() returns trigger language plpgsql as $$
declare
    message text := 'net.http_get(''x'')';
begin
    perform breaks.announce(new.note || message);
    return new;
end $$;
create trigger announce after insert on breaks.orders for each row execute function breaks.on_order();
create trigger announce before insert on breaks.\"Odd; orders\"
    for each row execute function breaks.on_order();

-- only on one of its ways, and only as text
create function breaks.perhaps() returns trigger language plpgsql set search_path = '' as $$
begin
    if new.id < 0 then
        perform realtime.send('{}'::jsonb, 'event', 'topic', true);
    end if;
    execute format('select count(*) from %I.decrypted_secrets, vault.decrypted_secrets', 'vault');
    return new;
exception when undefined_table or invalid_schema_name then
    return new;
end $$;
create trigger perhaps before insert on breaks.quiet for each row execute function breaks.perhaps();

-- along its own path: the bare name is the extension's
create function breaks.token() returns text language sql stable set search_path = vault
    as $$ select decrypted_secret from decrypted_secrets limit 1 $$;
create function breaks.sees() returns boolean language sql stable
    as $$ select breaks.token() is not null $$;
create policy by_token on breaks.orders for select using (breaks.sees());
create view breaks.tokens as select id, breaks.token() as token from breaks.orders;

-- names that are no objects
create function breaks.fine(net jsonb) returns text language plpgsql as $$
declare
    vault record;
begin
    with http_request_queue as (select 1 as id) select id into vault from http_request_queue;
    vault.id := 2;
    return net ->> 'http_post' || vault.id || 'cron.schedule()';
end $$;
select cron.schedule('call it', '0 3 * * *', 'select breaks.announce(''fixture-secret'')');
";

fn breaks(report: &Value) -> Vec<&Value> {
    let all = report["breaks_at_run_time"].as_array().expect("a list");
    all.iter()
        .filter(|broken| {
            let object = &broken["object"];
            let is_own_job = object["args"]
                .as_str()
                .is_some_and(|job| job.contains("call it"));
            object["schema"] == "breaks" || is_own_job
        })
        .collect()
}

fn told(broken: &Value) -> String {
    let object = &broken["object"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let on = match object["on"].as_str() {
        Some(on) => format!(" on {on}"),
        None => String::new(),
    };
    let sure = match broken["certainty"].as_str() {
        Some("perhaps") => "perhaps ",
        _ => "",
    };
    format!(
        "{} {}{on} {sure}needs {}",
        word(&object["kind"]),
        word(&object["name"]),
        word(&broken["needs"])
    )
}

#[test]
fn what_breaks_is_named_with_its_callers_and_its_triggers_can_go_disabled() {
    let pair = pair();
    pair.source.psql(BROKEN);
    let project = project!(&pair);
    let end = project.expect(0, &["plan", "--json"]);
    assert!(!end.stdout.contains("fixture-secret"), "a secret was said");
    let plan: Value = serde_json::from_str(&end.stdout).expect("one object");
    let found = breaks(&plan["schema"]);
    let mut lines: Vec<String> = found.iter().map(|broken| told(broken)).collect();
    lines.sort();
    let post = "needs function breaks.post(pg_catalog.jsonb), which needs net.http_post";
    let token = "needs function breaks.token(), which needs vault.decrypted_secrets";
    let mut wanted = vec![
        "function perhaps perhaps needs realtime.send".to_owned(),
        "function perhaps perhaps needs vault.decrypted_secrets".to_owned(),
        "function post needs net.http_post".to_owned(),
        "function token needs vault.decrypted_secrets".to_owned(),
        format!("policy by_token on orders {token}"),
        format!("table job {post}"),
        "trigger perhaps on quiet perhaps needs function breaks.perhaps(), which needs realtime.send, vault.decrypted_secrets".to_owned(),
        format!("trigger announce on Odd; orders {post}"),
        format!("trigger announce on orders {post}"),
        format!("view tokens {token}"),
    ];
    wanted.sort();
    assert_eq!(lines, wanted);
    let post = found
        .iter()
        .find(|broken| broken["object"]["name"] == "post")
        .expect("post is named");
    let callers: Vec<&str> = post["callers"]
        .as_array()
        .expect("callers")
        .iter()
        .filter_map(|caller| caller["name"].as_str())
        .collect();
    assert_eq!(callers[0], "announce", "the nearest is first: {callers:?}");
    assert!(
        callers.contains(&"on_order") && callers.contains(&"job"),
        "{callers:?}"
    );

    let plan = project.expect(0, &["plan"]);
    assert!(
        plan.stdout.contains("writes to their tables will fail"),
        "{plan}"
    );

    // As it was said: without the setting every write to the table fails.
    let insert = "insert into breaks.orders values (2, 'y')";
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    let refused = try_psql(&pair.target.url(), insert).unwrap_err();
    assert!(refused.contains("net"), "{refused}");
    let fine = "insert into breaks.quiet values (1); select breaks.fine('{\"http_post\": 1}')";
    assert_eq!(pair.target.psql(fine), "12cron.schedule()");

    // With it they go disabled, and verification knows that they must be.
    let database = pair.target.shape().database.clone();
    let project = project.with("TOWPATH_BROKEN_TRIGGERS", "disable");
    let end = project.expect(0, &["run", "--yes", "--new-run", "--replace", &database]);
    assert!(end.stdout.contains("no difference"), "{end}");
    pair.target.psql(insert);
    pair.target
        .psql("insert into breaks.\"Odd; orders\" values (1)");
    let states = "select string_agg(tgname || tgenabled::text, ',' order by tgname, tgenabled)
        from pg_trigger where tgname in ('announce', 'perhaps')";
    assert_eq!(pair.target.psql(states), "announceD,announceD,perhapsO");
    let report = project.document("schema/report.json");
    let objects = report["objects"].as_array().expect("objects");
    let trigger = objects
        .iter()
        .find(|object| {
            object["object"]["name"] == "announce" && object["object"]["kind"] == "trigger"
        })
        .expect("the trigger is reported");
    assert_eq!(
        (&trigger["decision"], &trigger["rule"]),
        (&"rewritten".into(), &"broken-trigger".into())
    );
    pair.target
        .psql("alter table breaks.orders enable trigger announce");
    let end = project.expect(12, &["verify", "--schema"]);
    assert!(end.stdout.contains("announce"), "{end}");
}

#[test]
fn what_would_fail_the_load_stops_the_plan() {
    let pair = pair();
    pair.source.psql(
        "create function public.peek(a text) returns text language plpgsql immutable as $$
         begin return a || (select count(*) from vault.decrypted_secrets); end $$;
         create index looked_up on public.codes (public.peek(code));
         alter table public.codes add constraint unlooked check (public.peek(code) <> '') not valid;",
    );
    let project = project!(&pair);
    let end = project.expect(10, &["plan"]);
    assert!(
        end.stdout
            .contains("the load would fail at index looked_up on public.codes"),
        "{end}"
    );
    let load = end.stdout.lines().find(|l| l.contains("the load would"));
    assert!(!load.unwrap_or_default().contains("unlooked"), "{end}");
}
