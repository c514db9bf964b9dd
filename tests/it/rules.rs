//! What the rules decide, seen from both sides: what stands in behaves as the original did, what
//! stays behind is told, and a secret is nowhere.

use serde_json::Value;
use towpath_tests::oracle::assert_same_rows;
use towpath_tests::pg::{psql, try_psql};
use towpath_tests::{Pair, Project, pair, project};

/// Beside the fixture: secrets in every kind of text, privileges above tables, restrictive policies.
const MORE: &str = r#"
    comment on column public.teams.name is 'made with sk_live_fixture1secret2value3';
    comment on table public.teams is 'plain words';
    alter database postgres set "app.note" = 'postgres://app:fixture-secret-in-a-url@db.example.com/app';
    alter role app_readonly set "app.partner_token" = 'fixture-secret-token-of-a-role';
    select cron.schedule('nightly', '0 3 * * *', 'delete from public.scratch where v = ''old''');
    select cron.schedule('call home', '* * * * *',
        $$select net.http_post('https://x', headers := '{"apikey": "fixture-secret-cron-key"}')$$);

    create role bookkeeper nologin;
    create role robot nologin bypassrls;
    grant set on parameter log_min_messages to bookkeeper;
    revoke connect, temporary on database postgres from public;
    grant connect on database postgres to app_login, anon, authenticated, service_role;
    grant create on database postgres to bookkeeper with grant option;
    comment on database postgres is 'the shop''s own';

    create table public.signed (id integer primary key, mark text default extensions.url_encode('\xfffe'));
    create policy marked on public.signed using (extensions.url_decode(mark) is not null);
    create view public.marks as select extensions.url_encode(convert_to(mark, 'UTF8')) as twice from public.signed;
    insert into public.signed values (1);
    comment on extension citext is 'sk_live_fixture1secret2value3';

    create table public.vault_of_rows (id integer primary key, keeper text, is_open boolean);
    alter table public.vault_of_rows enable row level security;
    grant select, insert on public.vault_of_rows to anon, authenticated, robot;
    create policy everyone on public.vault_of_rows using (true) with check (true);
    create policy plain on public.vault_of_rows as restrictive using (is_open);
    create policy either on public.vault_of_rows as restrictive to anon, authenticated
        using (is_open or keeper = current_user);
    create policy "both" on public.vault_of_rows as restrictive for insert
        with check (is_open and keeper is not null and id between 1 and 9);
    create policy function_alone on public.vault_of_rows as restrictive
        using (private.is_team_member(id) is not null);
    create policy negated on public.vault_of_rows as restrictive for update
        using (not is_open) with check (case when is_open then id > 1 else keeper in ('a', 'b') end);
    create policy asks on public.vault_of_rows as restrictive for select
        using (exists (select from public.teams t where t.id = vault_of_rows.id) or auth.uid() is null);
    create policy constant on public.vault_of_rows as restrictive for delete using (true);
    create table public.keepers_rows (id integer primary key);
    alter table public.keepers_rows owner to bookkeeper;
    alter table public.keepers_rows enable row level security;
    create policy nobody_else on public.keepers_rows as restrictive using (id > 1);
"#;

/// The settings that `auth` functions read, in every state that a session can be in.
const ASK: &str = r#"
    select concat_ws('|', coalesce(auth.uid()::text, '-'), coalesce(auth.role(), '-'),
                     coalesce(auth.email(), '-'), coalesce(auth.jwt()::text, '-'));
    create function pg_temp.ask(sub text, role text, email text, claim text, claims text) returns text
    language plpgsql as $$
    declare answer text := '';
    begin
        perform set_config('request.jwt.claim.sub', sub, true),
                set_config('request.jwt.claim.role', role, true),
                set_config('request.jwt.claim.email', email, true),
                set_config('request.jwt.claim', claim, true),
                set_config('request.jwt.claims', claims, true);
        begin answer := coalesce(auth.uid()::text, '-');
        exception when others then answer := sqlstate; end;
        begin answer := answer || '|' || coalesce(auth.role(), '-');
        exception when others then answer := answer || '|' || sqlstate; end;
        begin answer := answer || '|' || coalesce(auth.email(), '-');
        exception when others then answer := answer || '|' || sqlstate; end;
        begin answer := answer || '|' || coalesce(auth.jwt()::text, '-');
        exception when others then answer := answer || '|' || sqlstate; end;
        return answer;
    end $$;
    select pg_temp.ask(s.v, r.v, r.v, j.v, c.v)
    from (values (1, null), (2, ''), (3, 'a11ce000-0000-4000-8000-000000000001'), (4, 'nobody')) s (n, v)
    cross join (values (1, null), (2, ''), (3, 'authenticated')) r (n, v)
    cross join (values (1, null), (2, ''), (3, '{"sub": "legacy"}'), (4, 'no json')) j (n, v)
    cross join (values (1, null), (2, ''), (3, '{}'), (4, 'no json'), (5, 'null'),
        (6, '{"sub": "", "role": "", "email": ""}'),
        (7, '{"sub": null, "role": null}'),
        (8, '{"sub": "b0b00000-0000-4000-8000-000000000002", "role": "anon", "email": "b@example.com"}')
    ) c (n, v)
    order by s.n, r.n, j.n, c.n;
"#;

struct Loaded {
    pair: Pair,
    project: Project,
}

fn loaded() -> Loaded {
    let pair = pair();
    pair.source.psql_superuser(MORE);
    let project = project!(&pair);
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);
    Loaded { pair, project }
}

impl Loaded {
    fn reported(&self, kind: &str, name: &str) -> Value {
        let report = self.project.document("schema/report.json");
        let all = report["objects"].as_array().expect("a list").clone();
        let is_it = |it: &Value| it["object"]["kind"] == kind && it["object"]["name"] == name;
        let found = all.into_iter().find(is_it);
        found.unwrap_or_else(|| panic!("{kind} {name} has no report"))
    }

    fn master(&self, sql: &str) -> String {
        self.pair.target.psql(sql)
    }
}

#[test]
fn what_stands_in_behaves_as_the_platform_does() {
    let loaded = loaded();
    let source = psql(&loaded.pair.source.url(), ASK);
    let target = loaded.master(ASK);
    assert!(source.lines().count() > 300);
    for (there, here) in source.lines().zip(target.lines()) {
        assert_eq!(there, here);
    }
    assert_eq!(source.lines().count(), target.lines().count());

    tokens_are_those_of_the_standard(&loaded);
    names_resolve_for_every_login(&loaded);
    rights_on_the_database_arrive(&loaded);
    secrets_are_nowhere(&loaded);
    what_is_changed_afterwards_is_found(&loaded);
}

fn tokens_are_those_of_the_standard(loaded: &Loaded) {
    // The user's own function calls the replaced one.
    assert_eq!(loaded.reported("extension", "pgjwt")["rule"], "replaced");
    assert_eq!(loaded.reported("function", "sign")["decision"], "emulated");
    // What the catalog says depends on the extension is not lost with it.
    assert_eq!(
        loaded.master(
            "insert into public.signed values (2); select string_agg(twice, ',') from public.marks"
        ),
        "X180,X180"
    );
    let claims = "'{\"role\": \"anon\", \"x\": \"\u{fc}\"}'";
    let sign = format!("select extensions.sign({claims}, 'it''s a secret')");
    let token = psql(&loaded.pair.source.url(), &sign);
    assert_eq!(loaded.master(&sign), token);
    let calls = "set app.settings.jwt_secret = 'k'; select private.signed_token('{\"a\": 1}')";
    assert_eq!(loaded.master(calls), psql(&loaded.pair.source.url(), calls));

    // RFC 7515, appendix A.1: its key is no text, so the parts are put together here.
    let example = "select extensions.url_encode(extensions.hmac(
        'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'::bytea,
        extensions.url_decode('AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow'), 'sha256'))";
    assert_eq!(
        loaded.master(example),
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    // RFC 4231, test case 2, in base64url.
    for (algorithm, signature) in [
        ("HS256", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM"),
        (
            "HS384",
            "r0XS43ZIQDFhf3jStYprG5x-9GT1oBtH5C7Dc2MiRF6OIkDKXmnix4syOez6shZJ",
        ),
        (
            "HS512",
            "Fkt6e_z4GeLjlfvnO1bgo4e9ZCIugx_WECcM1-olBVSXWL91wFqZSm0DT2X48Ob9yuqxo01Ka0tjbgcKOLznNw",
        ),
    ] {
        let ask = format!(
            "select extensions.algorithm_sign('what do ya want for nothing?', 'Jefe', '{algorithm}')"
        );
        assert_eq!(loaded.master(&ask), signature);
    }
    // Bytes of every remainder come back.
    assert_eq!(
        loaded.master(
            "select bool_and(extensions.url_decode(extensions.url_encode(b)) = b)
             from (select decode(repeat('ff00fb', n) || repeat('ab', m), 'hex') as b
                   from generate_series(0, 40) n, generate_series(0, 2) m) x"
        ),
        "t"
    );

    let valid = |token: &str, rest: &str| {
        loaded.master(&format!(
            "select valid from extensions.verify('{token}', {rest})"
        ))
    };
    assert_eq!(valid(&token, "'it''s a secret'"), "t");
    assert_eq!(valid(&token, "'it''s another'"), "f");
    assert_eq!(valid(&token, "'it''s a secret', 'HS512'"), "f");
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let (header, _) = head.split_once('.').expect("two parts");
    let forged = loaded
        .master("select extensions.url_encode(convert_to('{\"role\": \"service_role\"}', 'UTF8'))");
    assert_eq!(
        valid(
            &format!("{header}.{forged}.{signature}"),
            "'it''s a secret'"
        ),
        "f"
    );
    assert_eq!(valid(&format!("{head}."), "'it''s a secret'"), "f");
    assert_eq!(valid(head, "'it''s a secret'"), "f");
    assert_eq!(valid(&format!("{token}.x"), "'it''s a secret'"), "f");
    for (claims, expected) in [
        ("'exp', now_s + 60", "t"),
        ("'exp', now_s - 1", "f"),
        ("'nbf', now_s + 60", "f"),
        ("'nbf', now_s - 60, 'exp', now_s + 60", "t"),
        ("'exp', 'whenever'", "t"),
    ] {
        let ask = format!(
            "select v.valid from (select extract(epoch from now())::bigint as now_s) n,
             lateral extensions.verify(extensions.sign(json_build_object({claims}), 'k'), 'k') v"
        );
        assert_eq!(loaded.master(&ask), expected, "{claims}");
    }
    let none = try_psql(
        &loaded.pair.target.url(),
        "select extensions.sign('{}', 'k', 'none')",
    );
    assert!(none.expect_err("no such algorithm").contains("HS256"));
}

fn names_resolve_for_every_login(loaded: &Loaded) {
    loaded.pair.target.psql_superuser(
        "create role newcomer login password 'x'; grant authenticated to newcomer;
         grant connect on database app to newcomer",
    );
    let ask = "select uuid_generate_v4() is not null, crypt('a', gen_salt('bf', 4)) is not null,
                      encode(digest('a', 'sha1'), 'hex')";
    let answer = "t|t|86f7e437faa5a7fce15d1ddcb9eaeaea377667b8";
    let newcomer = loaded.pair.target.url_as("newcomer", "x", "app");
    assert_eq!(psql(&newcomer, ask), answer);
    assert_eq!(loaded.master(ask), answer);
    loaded
        .pair
        .target
        .psql_superuser("revoke connect on database app from newcomer");
}

fn rights_on_the_database_arrive(loaded: &Loaded) {
    let may = |role: &str, right: &str| {
        loaded.master(&format!(
            "select has_database_privilege('{role}', current_database(), '{right}')"
        ))
    };
    loaded.pair.target.psql_superuser("create role outsider");
    assert_eq!(may("outsider", "connect"), "f");
    assert_eq!(may("outsider", "temporary"), "f");
    assert_eq!(may("app_login", "connect"), "t");
    assert_eq!(may("bookkeeper", "create with grant option"), "t");
    assert_eq!(
        loaded.master(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
        ),
        "the shop's own"
    );
    let parameter = loaded.reported("parameter", "log_min_messages");
    assert_eq!(parameter["decision"], "dropped");
    let reason = parameter["reason"].as_str().expect("a reason");
    assert!(reason.contains("bookkeeper"), "{reason}");
}

fn secrets_are_nowhere(loaded: &Loaded) {
    let secrets = [
        "fixture1secret2value3",
        "fixture-secret-in-a-url",
        "fixture-secret-token-of-a-role",
        "fixture-secret-cron-key",
        "fixture-secret-bearer-token",
        "fixture-secret-fdw-password",
        "fixture-secret-partner-key",
        "fixture-secret-jwt-signing-key",
    ];
    // What is not compressed: scripts, report, expected structure, plan, journal.
    for (path, bytes) in loaded.project.store_files() {
        let text = String::from_utf8_lossy(&bytes);
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {}", path.display());
        }
    }
    let on_target = loaded.pair.target.psql_superuser(
        "select string_agg(coalesce(col_description('public.teams'::regclass, n), '-'), ',')
           from generate_series(1, 3) n
         union all select string_agg(array_to_string(setconfig, ','), ';') from pg_db_role_setting",
    );
    for secret in secrets {
        assert!(!on_target.contains(secret), "{on_target}");
    }
    let report = loaded.project.document("schema/report.json");
    let told: Vec<String> = report["secrets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| format!("{} {}", it["object"]["kind"], it["object"]["name"]).replace('"', ""))
        .collect();
    for expected in [
        "table teams",
        "table job",
        "trigger notify shop",
        "user-mapping postgres",
        "setting app.note",
        "setting app.partner_key",
        "setting app.settings.jwt_secret",
    ] {
        assert!(told.iter().any(|it| it == expected), "{expected}: {told:?}");
    }
    let jobs: Vec<&str> = report["appendix"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| entry["object"]["name"] == "job")
        .filter_map(|entry| entry["sql"].as_str())
        .collect();
    let nightly = "select cron.schedule('nightly', '0 3 * * *', 'delete from public.scratch where v = ''old''')";
    assert!(jobs.contains(&nightly), "{jobs:?}");
    assert!(
        jobs.iter()
            .any(|sql| sql.contains("'call home'") && sql.contains("***")),
        "{jobs:?}"
    );
    let checks = loaded.project.expect(0, &["verify", "--schema"]);
    assert!(!checks.stdout.contains("fixture-secret"), "{checks}");
}

fn what_is_changed_afterwards_is_found(loaded: &Loaded) {
    let superuser = |sql: &str| loaded.pair.target.psql_superuser(sql);
    let uid = superuser("select pg_get_functiondef('auth.uid()'::regprocedure)");
    let policy = "public.vault_of_rows";
    for (tamper, undo, words) in [
        (
            "create or replace function auth.uid() returns uuid language sql stable as 'select null::uuid'",
            uid.as_str(),
            ["auth.uid", "body"],
        ),
        (
            "alter function extensions.sign(json, text, text) security definer",
            "alter function extensions.sign(json, text, text) security invoker",
            ["extensions.sign", "security_definer"],
        ),
        (
            "revoke execute on function auth.role() from anon",
            "grant execute on function auth.role() to anon",
            ["auth.role", "grants"],
        ),
        (
            "alter policy plain on public.vault_of_rows using (current_user = 'service_role' or is_open)",
            // The roles in the order in which they were made.
            "alter policy plain on public.vault_of_rows using (current_user in ('robot', 'service_role') or is_open)",
            [policy, "using"],
        ),
        (
            "alter table public.vault_of_rows owner to app_readonly",
            "alter table public.vault_of_rows owner to towpath_master",
            [policy, "owner"],
        ),
        (
            "grant connect on database app to public",
            "revoke connect on database app from public",
            ["database", "grants"],
        ),
        (
            "alter table public.codes enable trigger codes_disabled",
            "alter table public.codes disable trigger codes_disabled",
            ["codes_disabled", "enabled"],
        ),
        (
            "refresh materialized view public.never_refreshed",
            "refresh materialized view public.never_refreshed with no data",
            ["never_refreshed", "populated"],
        ),
        (
            // What the server's administrator owns is the server's business.
            "create role dba superuser; set role dba;
             create event trigger late on sql_drop execute function pg_catalog.rds_share_wrappers()",
            "drop event trigger late",
            ["event trigger late", "expected"],
        ),
    ] {
        superuser(tamper);
        let end = loaded.project.expect(12, &["verify", "--schema"]);
        for word in words {
            assert!(end.stdout.contains(word), "{word}: {tamper}\n{end}");
        }
        superuser(undo);
    }
    // A role of the server's own has its rights without being asked.
    superuser("create role administrator; grant create on database app to administrator");
    loaded.project.expect(0, &["verify", "--schema"]);
}

#[test]
fn a_target_that_lets_its_login_gets_what_only_a_superuser_makes() {
    let pair = pair();
    pair.target
        .psql_superuser("alter role towpath_master superuser");
    pair.source.add_late_objects();
    pair.source.psql_superuser(
        "create role bookkeeper nologin;
         grant set, alter system on parameter log_min_messages to bookkeeper;
         create event trigger last_word on ddl_command_start
             when tag in ('CREATE POLICY') execute function public.enable_row_security();
         alter event trigger last_word owner to supabase_admin;
         alter role postgres superuser; alter event trigger last_word owner to postgres;
         alter role postgres nosuperuser;
         alter event trigger last_word disable;
         create user mapping for bookkeeper server legacy_shop options (user 'b', password 'fixture-secret-2');
         create user mapping for dashboard_user server legacy_shop options (user 'c', password 'fixture-secret-3');
         create function public.holds_a_key() returns text language sql
             as $$ select 'sk_live_fixture1secret2value3' $$;",
    );
    let project = project!(&pair)
        .with("TOWPATH_SECRETS", "carry")
        .with("TOWPATH_SERVICE_ROLE", "none");
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");

    let target = |sql: &str| pair.target.psql_superuser(sql);
    assert_eq!(
        target(
            "select string_agg(evtname::text || evtenabled::text, ',' order by evtname) from pg_event_trigger where evtname <> 'rds_share_wrappers'"
        ),
        "ensure_row_securityO,last_wordD"
    );
    // It did not fire for the tables of the load, and does for the next.
    assert_eq!(
        target("select relrowsecurity from pg_class where oid = 'public.internal_notes'::regclass"),
        pair.source.psql_superuser(
            "select relrowsecurity from pg_class where oid = 'public.internal_notes'::regclass"
        )
    );
    assert_eq!(
        target("select relrowsecurity from pg_class where oid = 'public.text_samples'::regclass"),
        "f"
    );
    target("create table public.after_all (id integer)");
    assert_eq!(
        target("select relrowsecurity from pg_class where oid = 'public.after_all'::regclass"),
        "t"
    );
    assert_eq!(
        target(
            "select has_parameter_privilege('bookkeeper', 'log_min_messages', 'set, alter system')"
        ),
        "t"
    );
    // The mapping of the login is whole, those of others are without what it may not read.
    assert_eq!(
        target(
            "select usename::text || ':' || coalesce(array_to_string(umoptions, ','), '-') from pg_user_mappings order by 1"
        ),
        "bookkeeper:-\ntowpath_master:password=fixture-secret-fdw-password,user=reader"
    );
    assert_eq!(
        target("select public.holds_a_key()"),
        "sk_live_fixture1secret2value3"
    );
    assert_eq!(
        target("select count(*) from pg_policy where polname = 'towpath bypasses row security'"),
        "0"
    );
    target("drop table public.after_all; alter event trigger ensure_row_security disable");
    let end = project.expect(12, &["verify", "--schema"]);
    assert!(end.stdout.contains("ensure_row_security"), "{end}");
    target(
        "alter event trigger ensure_row_security enable; revoke set on parameter log_min_messages from bookkeeper",
    );
    let end = project.expect(12, &["verify", "--schema"]);
    assert!(end.stdout.contains("log_min_messages"), "{end}");
}

#[test]
fn what_the_target_refuses_is_told_before_anything_is_made() {
    let pair = pair();
    pair.source.add_late_objects();
    let project = project!(&pair);
    let plan = || project.towpath(&["check"]).run();
    let end = plan().expect_code(0);
    let text = &end.stdout;
    assert!(text.contains("schema-secrets"), "{end}");

    // Asking whether event triggers can be made makes none, and leaves nothing behind.
    assert_eq!(
        pair.target
            .psql_superuser("select count(*) from pg_event_trigger where evtname ~ 'towpath'"),
        "0"
    );

    let out = project.path().join("sql");
    project.expect(
        0,
        &[
            "export",
            "--schema-only",
            "-o",
            out.to_str().expect("a path"),
        ],
    );
    let report = std::fs::read_to_string(out.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let objects = report["objects"].as_array().expect("a list");
    let dropped = objects
        .iter()
        .find(|it| it["object"]["name"] == "ensure_row_security")
        .expect("the user's event trigger");
    assert_eq!(dropped["decision"], "dropped");
    let reason = dropped["reason"].as_str().expect("a reason");
    assert!(reason.contains("refuses event triggers"), "{reason}");

    // Older on the target, and not allowed there.
    pair.source
        .psql_superuser("update pg_extension set extversion = '99.10' where extname = 'citext'");
    let end = plan().expect_code(0);
    assert!(
        end.stdout.contains("citext comes in version") && end.stdout.contains("99.10"),
        "{end}"
    );
    pair.target.psql_superuser(
        "alter role towpath_master set \"rds.allowed_extensions\" = 'plpgsql, pgcrypto,uuid-ossp'",
    );
    let end = plan().expect_code(10);
    for needed in [
        "domain public.email_address needs extension citext",
        "table public.profiles needs extension hstore",
        "constraint bookings_no_overlap on public.bookings needs extension btree_gist",
    ] {
        assert!(end.stderr.contains(needed), "{needed}: {end}");
    }
    pair.target
        .psql_superuser("alter role towpath_master set \"rds.allowed_extensions\" = '*'");
    plan().expect_code(0);

    // A key in a body: not to be cut out, not to be taken along unasked.
    pair.source.psql_superuser(
        "create function private.calls_home() returns text language sql
             as $$ select 'sk_live_fixture1secret2value3' $$;
         create function private.plain() returns trigger language plpgsql as $$ begin return new; end $$;
         create trigger keyed before insert on public.no_pk for each row
             execute function private.plain('{\"apikey\": \"fixture-secret-0123456789\"}')",
    );
    let end = plan().expect_code(10);
    assert!(
        end.stderr
            .contains("function private.calls_home() (API key)")
            && end
                .stderr
                .contains("trigger keyed on public.no_pk (authorization header)")
            && end.stderr.contains("schema.secrets"),
        "{end}"
    );
    assert!(!end.stderr.contains("fixture1secret") && !end.stderr.contains("fixture-secret-01"));
    assert!(project.store_files().is_empty());
    let carrying = project!(&pair).with("TOWPATH_SECRETS", "carry");
    let end = carrying.expect(0, &["check"]);
    assert!(!end.stdout.contains("fixture1secret"), "{end}");
}
