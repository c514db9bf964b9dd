//! The migration history goes along, and the secrets in it do not.

use serde_json::Value;
use towpath_model::name::quote_literal;
use towpath_model::secret_text::{LEFT_OUT, looks_secret, sql_condition};
use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{Pair, Project, pair, project};

/// The examples that the patterns are tested with.
fn examples() -> Vec<(bool, String)> {
    let path = towpath_tests::repository().join("tests/fixtures/secret_text.json");
    let text = std::fs::read_to_string(path).expect("read the examples");
    let all: Value = serde_json::from_str(&text).expect("the examples are JSON");
    let texts = |field: &str, of: &dyn Fn(&Value) -> Value| -> Vec<String> {
        let list = all[field].as_array().expect("a list");
        list.iter()
            .map(|one| of(one).as_str().expect("a text").to_owned())
            .collect()
    };
    let secret = texts("secret", &|one| one["text"].clone());
    let ordinary = texts("ordinary", &Value::clone);
    secret
        .into_iter()
        .map(|text| (true, text))
        .chain(ordinary.into_iter().map(|text| (false, text)))
        .collect()
}

/// Records a migration whose second statement is the text.
fn record(pair: &Pair, version: &str, text: &str) {
    pair.source.psql(&format!(
        "insert into supabase_migrations.schema_migrations (version, name, statements)
         values ('{version}', 'm{version}', array['select 1', {}])",
        quote_literal(text)
    ));
}

fn statements(url: &str, version: &str) -> String {
    let sql = format!(
        "select statements from supabase_migrations.schema_migrations where version = '{version}'"
    );
    towpath_tests::pg::psql(url, &sql)
}

/// Looks for words in every file of the store, decompressed where it is compressed.
fn store_holds(project: &Project, words: &str) -> bool {
    project.store_files().into_iter().any(|(path, bytes)| {
        let is_chunk = path.extension().is_some_and(|extension| extension == "zst");
        let bytes = if is_chunk {
            zstd::decode_all(bytes.as_slice()).expect("a chunk can be decompressed")
        } else {
            bytes
        };
        String::from_utf8_lossy(&bytes).contains(words)
    })
}

#[test]
fn server_and_program_find_the_same_secrets() {
    let pair = pair();
    let mut texts = Vec::new();
    for (is_secret, text) in examples() {
        assert_eq!(looks_secret(&text).is_some(), is_secret, "{text}");
        texts.push(text.to_uppercase());
        texts.push(format!("ü \u{17f} \u{212a};\n{text}"));
        texts.push(text);
    }
    let asked: Vec<String> = texts
        .iter()
        .map(|text| format!("({})", quote_literal(text)))
        .collect();
    let sql = format!(
        "select {} from (values {}) as t (x)",
        sql_condition("t.x"),
        asked.join(", ")
    );
    let answers = pair.source.psql(&sql);
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), texts.len());
    for (text, answer) in texts.iter().zip(answers) {
        assert_eq!(answer == "t", looks_secret(text).is_some(), "{text}");
    }
    let null = format!("select {}", sql_condition("null::text"));
    assert_eq!(pair.source.psql(&null), "f");
}

#[test]
fn secrets_stay_on_the_source_and_are_told() {
    let pair = pair();
    pair.source.psql(
        r#"alter table supabase_migrations.schema_migrations
               add column rollback text[], add column created_by text,
               add column log jsonb, add column hint varchar(20)[];
           update supabase_migrations.schema_migrations set created_by = 'someone@example.com',
               log = '{"ran": "alter role app password ''fixture-secret-log''"}',
               hint = array['password ''fixture'''];
           insert into supabase_migrations.schema_migrations (version, name, statements, rollback)
           values ('20260103000000', 'back', array[null, 'select 1'],
                   array['alter role app password ''fixture-secret-rollback''']),
                  ('20260104000000', null, null, null),
                  ('20260105000000', 'first',
                   array['create table public.profiles (id uuid primary key)', 'select 1'], '{}'),
                  ('29990101000000', 'odd " | name', '{}', null)"#,
    );
    record(
        &pair,
        "20260106000000",
        "comment on table t is 'nothing odd'",
    );
    let project = project!(&pair);
    let plan = project.expect(0, &["plan"]);
    let end = project.expect(0, &["run", "--yes"]);
    for (text, what) in [(&plan.stdout, "plan"), (&end.stderr, "run")] {
        for part in [
            "7 migrations; the same name: 20260101000000 = 20260105000000",
            "identical statements: 20260101000000 = 20260105000000",
            "newer than now: 29990101000000",
            "recorded without statements: 20260104000000, 29990101000000",
            "statements of 3 hold a secret and stay on the source: 20260101000000, 20260102000000, 20260103000000",
        ] {
            assert!(
                text.contains(part),
                "{what} does not tell {part:?}:\n{text}"
            );
        }
    }
    assert!(end.stdout.contains("no difference"), "{end}");
    let report = project.expect(0, &["report"]);
    let path = report.stdout.lines().find(|line| line.ends_with(".md"));
    let path = path.expect("a report for people").trim();
    let report = std::fs::read_to_string(path).expect("read the report");
    let told = "migration history: 7 versions; statements of 3 hold a secret";
    assert!(report.contains(told), "{report}");
    // Neither in the store, nor on the target; nothing else is touched.
    assert!(store_holds(&project, LEFT_OUT));
    for secret in [
        "fixture-secret-in-migration",
        "fixture-secret-rollback",
        "fixture-secret-log",
    ] {
        assert!(!store_holds(&project, secret), "{secret} is in the store");
    }
    let (source, target) = (pair.source.url(), pair.target.url());
    assert_eq!(
        statements(&target, "20260102000000"),
        format!("{{\"{LEFT_OUT}\"}}")
    );
    for version in [
        "20260101000000",
        "20260103000000",
        "20260104000000",
        "29990101000000",
    ] {
        assert_eq!(
            statements(&source, version),
            statements(&target, version),
            "{version}"
        );
    }
    let back =
        "select rollback[1], created_by, log, hint from supabase_migrations.schema_migrations
        where version in ('20260102000000', '20260103000000') order by version";
    assert_eq!(
        pair.target.psql(back),
        format!("|someone@example.com|\"{LEFT_OUT}\"|{{\"-- left out by towpa\"}}\n{LEFT_OUT}|||")
    );
    assert_same_rows(&pair);
    // Source and target are each read as they should be: clean, until something changes.
    project.expect(0, &["verify"]);
    pair.target.psql(
        "update supabase_migrations.schema_migrations
            set statements = array['x'] where version = '20260102000000'",
    );
    let end = project.expect(12, &["verify", "--rows"]);
    assert!(end.stdout.contains("20260102000000"), "{end}");
}

#[test]
fn secrets_go_along_when_the_operator_says_so() {
    let pair = pair();
    let project = project!(&pair).with("TOWPATH_SECRETS", "carry");
    let end = project.expect(0, &["run", "--yes"]);
    let told = "hold a secret and go along: 20260102000000";
    assert!(end.stderr.contains(told), "{end}");
    let version = "20260102000000";
    assert_eq!(
        statements(&pair.source.url(), version),
        statements(&pair.target.url(), version)
    );
    assert!(store_holds(&project, "fixture-secret-in-migration"));
}
