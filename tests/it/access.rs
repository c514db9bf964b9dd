//! `verify --access`: what everybody sees and may do is compared, by taking everybody on.

use serde_json::Value;
use towpath_tests::oracle::{contents, user_tables};
use towpath_tests::{Pair, Project, pair, project};

fn full() -> bool {
    std::env::var_os("TOWPATH_TEST_FULL").is_some()
}

struct Loaded {
    pair: Pair,
    project: Project,
}

fn loaded() -> Loaded {
    let pair = pair();
    let claims = towpath_tests::repository().join("tests/fixtures/access.json");
    let claims = claims.to_str().expect("a path is text");
    let project = project!(&pair).with("TOWPATH_ACCESS_CLAIMS", claims);
    project.expect(0, &["run", "--yes"]);
    Loaded { pair, project }
}

impl Loaded {
    fn access(&self, code: i32) -> Value {
        self.access_with(code, &[])
    }

    fn access_with(&self, code: i32, environment: &[(&str, &str)]) -> Value {
        let arguments = ["verify", "--access", "--json"];
        let towpath = self.project.towpath(&arguments);
        let end = towpath
            .envs(environment.iter().copied())
            .run()
            .expect_code(code);
        // Labels name people by their ids; claims are nobody's business.
        for secret in ["alice@example.com", "bob@example.com", "fixture-secret"] {
            assert!(!end.stdout.contains(secret), "{secret} is told");
        }
        let told: Value = serde_json::from_str(&end.stdout).expect("JSON");
        told["verification"]["access"].clone()
    }

    fn on_target(&self, sql: &str) {
        self.pair.target.psql_superuser(sql);
    }
}

fn list<'v>(proof: &'v Value, field: &str) -> Vec<&'v Value> {
    proof[field].as_array().expect("a list").iter().collect()
}

/// What a difference is about, in one line.
fn words(difference: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let relation = &difference["relation"];
    let outcome = |side: &Value| match side["outcome"].as_str() {
        Some("refused") => format!("refused {}", text(&side["code"])),
        Some("rows") => format!("{} rows", text(&side["rows"])),
        Some("has") => format!("has {}", text(&side["privileges"])),
        other => other.unwrap_or_default().to_owned(),
    };
    format!(
        "{} {} {}.{}: {} / {}; {} {}",
        text(&difference["role"]),
        text(&difference["operation"]),
        text(&relation["schema"]),
        text(&relation["name"]),
        outcome(&difference["source"]),
        outcome(&difference["target"]),
        text(&difference["only_source"]),
        text(&difference["only_target"]),
    )
}

/// A change of rights on the target, how it is undone, and beginnings of what must be told.
struct Mutation {
    sql: &'static str,
    undo: &'static str,
    told: &'static [&'static str],
}

const fn mutation(
    sql: &'static str,
    undo: &'static str,
    told: &'static [&'static str],
) -> Mutation {
    Mutation { sql, undo, told }
}

const MEMBER: &str = "create or replace function private.is_team_member(team bigint) returns boolean
    language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.team_members as m where m.team_id = team and m.user_id = (select auth.uid())
    )
$$";

/// On objects of their own, so that all of them can be made at once and are told apart.
const MUTATIONS: &[Mutation] = &[
    mutation(
        "drop policy documents_published on public.documents",
        "create policy documents_published on public.documents for select to anon using (published_at is not null)",
        &["anon select public.documents: 4 rows / 0 rows; 4 0"],
    ),
    mutation(
        r#"alter policy "Order Items: own" on public."Order Items" using ("user" <> auth.uid())"#,
        r#"alter policy "Order Items: own" on public."Order Items" using ("user" = auth.uid())"#,
        &["authenticated select public.Order Items: 1 rows / 2 rows; 1 2"],
    ),
    mutation(
        "alter policy teams_member_read on public.teams using (true)",
        "alter policy teams_member_read on public.teams using (private.is_team_member(id) or owner_id = (select auth.uid()))",
        &["authenticated select public.teams: 0 rows / 3 rows; 0 3"],
    ),
    mutation(
        "alter table public.no_pk disable row level security",
        "alter table public.no_pk enable row level security",
        &["anon select public.no_pk: 0 rows / 7 rows; 0 7"],
    ),
    mutation(
        "grant select on public.internal_notes to anon",
        "revoke select on public.internal_notes from anon",
        &[
            "anon privileges public.internal_notes: has  / has select",
            "anon select public.internal_notes: refused 42501 / allowed",
        ],
    ),
    mutation(
        "revoke select on public.skewed_keys from authenticated",
        "grant select on public.skewed_keys to authenticated",
        &["authenticated select public.skewed_keys: allowed / refused 42501"],
    ),
    mutation(
        "create or replace function private.is_team_member(team bigint) returns boolean
            language sql stable security definer set search_path = '' as $$ select false $$",
        MEMBER,
        &["authenticated select public.team_members: "],
    ),
    mutation(
        r#"grant "Report Writer" to anon"#,
        r#"revoke "Report Writer" from anon"#,
        &["anon privileges reports.monthly: has  / has "],
    ),
    mutation(
        "grant select (salary) on public.employees to authenticated",
        "revoke select (salary) on public.employees from authenticated",
        &["authenticated privileges public.employees: has select (id, name), update (name) / has select (id, name, salary), update (name)"],
    ),
    mutation(
        "drop policy documents_insert on public.documents",
        "create policy documents_insert on public.documents for insert to authenticated with check (auth.email() like '%@example.com')",
        &["authenticated insert public.documents: "],
    ),
    mutation(
        r#"alter policy "own profile: ""update""" on public.profiles using (true) with check (true)"#,
        r#"alter policy "own profile: ""update""" on public.profiles using ((select auth.uid()) = id) with check ((select auth.uid()) = id)"#,
        &["authenticated update public.profiles: 1 rows / 4 rows; 0 3"],
    ),
    mutation(
        "drop policy documents_second_factor on public.documents",
        "create policy documents_second_factor on public.documents as restrictive for delete to authenticated using ((auth.jwt() ->> 'aal') = 'aal2')",
        &["authenticated delete public.documents: 0 rows / "],
    ),
    mutation(
        "alter table public.composite_key enable row level security;
         create policy circular on public.composite_key using (exists (select from public.composite_key))",
        "drop policy circular on public.composite_key; alter table public.composite_key disable row level security",
        &["anon select public.composite_key: allowed / refused 42P17"],
    ),
    mutation(
        "create policy half on public.uuid_keys using (n % 2 = 0);
         alter table public.uuid_keys enable row level security",
        "drop policy half on public.uuid_keys; alter table public.uuid_keys disable row level security",
        &["anon select public.uuid_keys: "],
    ),
];

/// Those that nothing else can be told beside.
const ALONE: &[Mutation] = &[
    mutation(
        "alter role authenticated bypassrls",
        "alter role authenticated nobypassrls",
        &["authenticated select public.documents: "],
    ),
    mutation(
        r#"alter role "Report Writer" rename to somebody"#,
        r#"alter role somebody rename to "Report Writer""#,
        &["Report Writer set-role .: allowed / refused 22023"],
    ),
    mutation(
        "revoke execute on function auth.uid() from public, anon, authenticated, service_role",
        "grant execute on function auth.uid() to public, anon, authenticated, service_role",
        &["authenticated select public.documents: allowed / refused 42501"],
    ),
    mutation(
        "alter table public.empty_table rename to somewhere_else",
        "alter table public.somewhere_else rename to empty_table",
        &["public select public.empty_table: allowed / refused 42P01"],
    ),
];

/// One loaded pair for all of it: that is what takes long.
#[test]
fn everybody_may_what_they_might_and_every_change_of_rights_is_named() {
    let loaded = loaded();
    nothing_differs_and_attempts_leave_nothing_behind(&loaded);
    changes_of_rights_are_named(&loaded);
    if full() {
        each_change_is_named_alone(&loaded);
    }
    a_source_that_moves_on_raises_no_alarm_and_hides_nothing(&loaded);
}

const ATTEMPTS: (&str, &str) = ("TOWPATH_ACCESS_WRITES", "attempt");

/// With consent rows are written as everybody, and nothing stays.
fn nothing_differs_and_attempts_leave_nothing_behind(loaded: &Loaded) {
    let tables = user_tables(&loaded.pair.source.url());
    let both = || {
        let (source, target) = (&loaded.pair.source, &loaded.pair.target);
        let sequences =
            "select schemaname, sequencename, last_value from pg_sequences order by 1, 2";
        (
            contents(&source.cluster.superuser_url("postgres"), &tables),
            source.psql_superuser(sequences),
            target.psql_superuser(sequences),
        )
    };
    let before = both();
    let proof = loaded.access_with(0, &[ATTEMPTS]);
    assert_eq!(both(), before);
    assert_eq!(list(&proof, "differences"), Vec::<&Value>::new());
    assert_eq!(proof["write_attempts"], "roll-back");
    let subjects = list(&proof, "subjects");
    let is_user = |subject: &&&Value| subject["role"] == "authenticated";
    let users = subjects.iter().filter(is_user).count();
    assert!(users >= 8, "users of both kinds: {subjects:#?}");
    let sets = proof["visible_sets"].as_u64().expect("a number");
    assert!(sets > 150, "{sets} sets of rows were compared");

    let passed_over = list(&proof, "not_looked_at");
    let text = |passed: &Value, field: &str| passed[field].as_str().unwrap_or_default().to_owned();
    let roles: Vec<String> = passed_over
        .iter()
        .filter(|passed| text(passed, "reason").contains("take the role on"))
        .map(|passed| text(passed, "what"))
        .collect();
    // The source's login is no member of them before PostgreSQL 16.
    assert_eq!(roles, ["app_login", "app_readonly"]);
    let with_followers = passed_over.iter().find(|passed| {
        text(passed, "what").contains("delete on public.profiles")
            && text(passed, "reason").contains("triggers")
    });
    assert!(
        with_followers.is_some(),
        "its rows have followers with triggers: {passed_over:#?}"
    );
}

/// All at once, and relations beyond the bound by a sample, which is said.
fn changes_of_rights_are_named(loaded: &Loaded) {
    let mutations: Vec<&Mutation> = MUTATIONS.iter().collect();
    for mutation in &mutations {
        loaded.on_target(mutation.sql);
    }
    let proof = loaded.access_with(12, &[("TOWPATH_ACCESS_ROWS", "500")]);
    assert_told(&proof, &mutations);
    let sampled = list(&proof, "sampled");
    let is_sampled = |name: &str| {
        let mut all = sampled.iter();
        all.any(|sampled| sampled["relation"]["name"] == name && sampled["looked_at"] != 0)
    };
    assert!(
        is_sampled("uuid_keys") && is_sampled("big_ledger"),
        "{sampled:#?}"
    );
    let passed_over = list(&proof, "not_looked_at");
    let mut passed_over = passed_over
        .iter()
        .filter_map(|passed| passed["what"].as_str());
    assert!(
        passed_over.any(|what| what.contains("public.keyless_log")),
        "{proof:#}"
    );
    for mutation in &mutations {
        loaded.on_target(mutation.undo);
    }
}

fn each_change_is_named_alone(loaded: &Loaded) {
    for mutation in MUTATIONS {
        loaded.on_target(mutation.sql);
        assert_told(&loaded.access(12), &[mutation]);
        loaded.on_target(mutation.undo);
    }
    loaded.access(0);
    let policy = r#"policy "Order Items: own" on public."Order Items""#;
    loaded.on_target(&format!("drop {policy}"));
    let proof = loaded.access_with(12, &[ATTEMPTS]);
    let told: Vec<String> = list(&proof, "differences").into_iter().map(words).collect();
    for operation in ["insert", "update", "delete"] {
        let wanted = format!("authenticated {operation} public.Order Items: ");
        let times = told.iter().filter(|words| words.starts_with(&wanted));
        assert!(times.count() > 1, "{wanted}\n{}", told.join("\n"));
    }
    loaded.on_target(&format!(r#"create {policy} using ("user" = auth.uid())"#));
    for mutation in ALONE {
        loaded.on_target(mutation.sql);
        assert_told(&loaded.access(12), &[mutation]);
        loaded.on_target(mutation.undo);
    }
}

fn assert_told(proof: &Value, mutations: &[&Mutation]) {
    let told: Vec<String> = list(proof, "differences").into_iter().map(words).collect();
    for mutation in mutations {
        for beginning in mutation.told {
            assert!(
                told.iter().any(|words| words.starts_with(beginning)),
                "{}: {beginning:?} is not told:\n{}\n{:#?}",
                mutation.sql,
                told.join("\n"),
                proof["not_looked_at"]
            );
        }
    }
}

/// Rows are written to the source after the export: who sees other rows for that reason is no
/// difference, and what has nothing to do with it still is.
fn a_source_that_moves_on_raises_no_alarm_and_hides_nothing(loaded: &Loaded) {
    loaded.pair.source.psql_superuser(
        "set session_replication_role = replica;
         insert into public.documents (id, owner_id, title)
             values (gen_random_uuid(), 'a11ce000-0000-4000-8000-000000000001', 'new');
         update public.documents set owner_id = 'b0b00000-0000-4000-8000-000000000002'
             where id = 'd0c00000-0000-4000-8000-000000000002';
         delete from public.big_ledger where id < 100;
         insert into public.team_members (team_id, user_id, role)
             values (1, 'ca201000-0000-4000-8000-000000000003', 'editor')",
    );
    let mutation = mutation(
        r#"alter policy "Order Items: own" on public."Order Items" using ("user" <> auth.uid())"#,
        "",
        &["authenticated select public.Order Items: 1 rows / 2 rows; 1 2"],
    );
    loaded.on_target(mutation.sql);
    let proof = loaded.access(12);
    assert_told(&proof, &[&mutation]);
    let mut others = list(&proof, "differences");
    others.retain(|difference| difference["relation"]["name"] != "Order Items");
    assert_eq!(others, Vec::<&Value>::new(), "false alarms");
    let passed_over: Vec<String> = list(&proof, "not_looked_at")
        .into_iter()
        .map(|passed| format!("{}: {}", passed["what"], passed["reason"]))
        .collect();
    let is_told = |words: [&str; 2]| {
        let mut all = passed_over.iter();
        all.any(|line| words.iter().all(|word| line.contains(word)))
    };
    // Carol joined a team: she sees its members and its documents, and the target does not know.
    let moved = "public.team_members changed";
    assert!(
        is_told(["select on public.documents", moved]),
        "{passed_over:#?}"
    );
    assert!(
        is_told(["public.big_ledger", "do not hold alike"]),
        "{passed_over:#?}"
    );
}
