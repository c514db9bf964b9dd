use std::collections::BTreeSet;

use serde_json::json;
use towpath_model::structure::{SchemaObject, Structure};

use super::*;

fn object(id: ObjectId, aspects: serde_json::Value) -> SchemaObject {
    SchemaObject {
        id,
        oid: 1,
        owner: None,
        extension: None,
        comment: None,
        grants: BTreeSet::new(),
        aspects: aspects
            .as_object()
            .map(|fields| fields.clone().into_iter().collect())
            .unwrap_or_default(),
    }
}

fn function(schema: &str, name: &str, args: &str) -> ObjectId {
    ObjectId::of(ObjectKind::Function, schema, name).with_args(args)
}

fn structure() -> Structure {
    let table = |schema, name| ObjectId::of(ObjectKind::Table, schema, name);
    Structure::new(
        [
            function("net", "http_post", "pg_catalog.text,pg_catalog.jsonb"),
            function(
                "extensions",
                "sign",
                "pg_catalog.json,pg_catalog.text,pg_catalog.text",
            ),
            function("extensions", "http_get", "pg_catalog.text"),
            function("public", "http_get", "pg_catalog.text"),
            function("app", "http_get", "pg_catalog.text,pg_catalog.text"),
            ObjectId::of(ObjectKind::View, "vault", "decrypted_secrets"),
            table("auth", "users"),
            table("auth", "sessions"),
            table("public", "orders"),
            table("Odd Schema", "T.y"),
            ObjectId::of(ObjectKind::Sequence, "cron", "jobid_seq"),
            ObjectId::of(ObjectKind::Operator, "extensions", "<->").with_args("a,b"),
            ObjectId::of(ObjectKind::Type, "app", "mood"),
        ]
        .map(|id| object(id, json!({}))),
    )
}

fn named(language: &str, text: &str, search_path: Option<&str>) -> Vec<String> {
    let id = function("app", "f", "");
    let body = Body {
        text: text.to_owned(),
        language: language.to_owned(),
        search_path: search_path.map(str::to_owned),
    };
    let builtin: crate::source::Builtin =
        serde_json::from_value(json!({"name": "sign", "fewest": 1, "most": 1})).unwrap();
    let source = Source {
        bodies: BTreeMap::from([(id.clone(), body)]),
        builtins: vec![builtin],
        ..Source::default()
    };
    References::read(&structure(), &source)
        .of(&id)
        .iter()
        .map(|found| {
            let sure = match found.certainty {
                Certainty::Surely => "",
                Certainty::Perhaps => "?",
            };
            format!("{}.{}{sure}", found.schema, found.name)
        })
        .collect()
}

#[test]
fn sql_names_what_it_calls_reads_and_casts() {
    let found = named(
        "sql",
        "with sessions as (select 1) select net.http_post('x', null) from auth.users u, sessions s
         where u.id = 'auth.sessions'::regclass and u.x operator(extensions.<->) 'app.mood'::regtype
            and exists (select from \"Odd Schema\".\"T.y\") and nextval('cron.jobid_seq') > 1",
        None,
    );
    assert_eq!(
        found,
        [
            "Odd Schema.T.y",
            "app.mood",
            "auth.sessions",
            "auth.users",
            "cron.jobid_seq",
            "extensions.<->",
            "net.http_post",
        ]
    );
}

#[test]
fn fields_aliases_variables_and_unknown_names_are_none() {
    for (language, text) in [
        (
            "sql",
            "select vault.decrypted_secrets, users.id, auth.users from public.nothing vault, lateral (select 1) users",
        ),
        (
            "sql",
            "with orders as (select 1) select * from orders; select 'net.http_post()', x.y() -- net.http_post()",
        ),
        (
            "plpgsql",
            "declare auth record; begin auth.users := 1; vault.decrypted_secrets = 2; raise notice 'net.http_post %', auth.users; return new; end",
        ),
    ] {
        assert_eq!(named(language, text, None), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_bare_name_is_found_along_the_path_that_the_text_runs_with() {
    let call = "select http_get('x')";
    assert_eq!(named("sql", call, None), ["public.http_get"]);
    assert_eq!(
        named("sql", call, Some("extensions, public")),
        ["extensions.http_get"]
    );
    assert_eq!(named("sql", call, Some("\"\"")), Vec::<String>::new());
    assert_eq!(
        named("sql", call, Some("pg_catalog, \"app\"")),
        ["app.http_get"]
    );
}

#[test]
fn a_built_in_function_wins_when_it_takes_the_arguments() {
    assert_eq!(named("sql", "select sign(1.5)", None), Vec::<String>::new());
    assert_eq!(
        named("sql", "select sign('{}', 'secret')", None),
        ["extensions.sign"]
    );
}

#[test]
fn plpgsql_says_which_calls_are_sure() {
    let found = named(
        "plpgsql",
        "declare v vault.decrypted_secrets%rowtype; n auth.users.id%type;
         begin
            if tg_op = 'INSERT' then perform net.http_post('x', '{}'); end if;
            execute format('select %I from auth.sessions where id = %L', 'a', 1);
            insert into public.orders select * from \"Odd Schema\".\"T.y\" returning id into n;
            return new;
         end",
        None,
    );
    assert_eq!(
        found,
        [
            "Odd Schema.T.y",
            "auth.sessions?",
            "auth.users",
            "net.http_post?",
            "public.orders",
            "vault.decrypted_secrets",
        ]
    );
}

#[test]
fn text_that_is_pieced_together_is_searched_for_words() {
    let body = "begin execute 'select * from vault.decrypted_secrets where ' || clause; end";
    assert_eq!(named("plpgsql", body, None), ["vault.decrypted_secrets?"]);
    let other = "plv8.execute('x'); auth.users; net.http_post(1)";
    assert_eq!(
        named("plv8", other, None),
        ["auth.users?", "net.http_post?"]
    );
    // The scanner cannot read it, and neither could the server.
    assert_eq!(named("plpgsql", "begin 'open", None), Vec::<String>::new());
}

#[test]
fn a_body_that_is_half_sql_is_still_searched() {
    let body =
        "begin perform net.http_post('x', '{}') something odd (((; select from auth.users; end";
    assert!(named("plpgsql", body, None).contains(&"net.http_post?".to_owned()));
}

#[test]
fn defaults_and_arguments_of_triggers_are_read() {
    let table = ObjectId::of(ObjectKind::Table, "public", "t");
    let trigger = ObjectId::on(ObjectKind::Trigger, "public", "t", "tr");
    let mut structure = structure();
    for object in [
        object(
            table.clone(),
            json!({"columns": [{"name": "a", "default": "nextval('cron.jobid_seq'::text)"}, {"name": "b", "default": "'auth.users'::text"}]}),
        ),
        object(
            trigger.clone(),
            json!({"definition": "CREATE TRIGGER tr BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION app.f('auth.users', 'https://x.y', 'a')"}),
        ),
    ] {
        structure.objects.insert(object);
    }
    let references = References::read(&structure, &Source::default());
    assert!(references.name(&trigger, "auth", "users"));
    assert_eq!(references.of(&trigger).len(), 1);
    assert!(references.name(&table, "cron", "jobid_seq"));
    assert_eq!(references.of(&table).len(), 1);
}

#[test]
fn a_large_schema_takes_seconds() {
    let mut structure = structure();
    for number in 0..2_500 {
        let id = ObjectId::of(ObjectKind::Table, "public", &format!("table_{number}"));
        let columns =
            json!([{"name": "a", "default": "'x'::text"}, {"name": "b", "default": "now()"}]);
        let table = object(id, json!({ "columns": columns }));
        structure.objects.insert(table);
    }
    let bodies = (0..500).map(|number| {
        let statement = format!(
            "perform public.f_{}(); update table_{number} set a = b.c from auth.users b where b.id = new.id;\n",
            number / 2
        );
        let body = Body {
            text: format!("begin {} return new; end", statement.repeat(15)),
            language: "plpgsql".to_owned(),
            search_path: None,
        };
        let id = function("public", &format!("f_{number}"), "");
        structure
            .objects
            .insert(object(id.clone(), json!({})));
        (id, body)
    });
    let source = Source {
        bodies: bodies.collect(),
        ..Source::default()
    };
    let began = std::time::Instant::now();
    let references = References::read(&structure, &source);
    let took = began.elapsed();
    assert_eq!(references.all().count(), 500);
    assert_eq!(references.of(&function("public", "f_9", "")).len(), 3);
    // Without optimisation and on a busy machine; it is a fraction of a second otherwise.
    assert!(took.as_secs() < 60, "{took:?}");
}

#[test]
fn an_expression_of_any_depth_is_read_or_searched() {
    let sum = "x || ".repeat(20_000);
    let deep = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    for text in [
        format!("select {sum} net.http_post('x')"),
        format!("select {deep} + net.http_post('x')"),
        format!(
            "select {}net.http_post('x'){}",
            "abs(".repeat(3_000),
            ")".repeat(3_000)
        ),
    ] {
        let found = named("sql", &text, None);
        assert!(
            found.iter().any(|name| name.starts_with("net.http_post")),
            "{found:?}"
        );
    }
}
