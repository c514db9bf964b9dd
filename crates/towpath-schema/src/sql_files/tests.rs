use towpath_model::script::{Effect, Phase};

use super::*;

fn statement(no: u32, phase: Phase, object: ObjectId, sql: &str) -> Statement {
    Statement {
        no,
        phase,
        object,
        table: None,
        effect: Effect::Unknown,
        sql: sql.to_owned(),
    }
}

fn once(object: ObjectId, sql: &str) -> Vec<String> {
    repeatable::repeatable(&statement(1, Phase::PreData, object, sql), false).unwrap()
}

#[test]
fn clauses_of_the_grammar_are_used_where_there_are_some() {
    use ObjectKind as K;
    for (kind, sql, wanted) in [
        (
            K::Table,
            "CREATE UNLOGGED TABLE a.t (id int)",
            "CREATE UNLOGGED TABLE IF NOT EXISTS a.t",
        ),
        (
            K::Table,
            "CREATE TABLE a.\"table\" (id int)",
            "CREATE TABLE IF NOT EXISTS a.\"table\"",
        ),
        (
            K::ForeignTable,
            "CREATE FOREIGN TABLE a.t (id int) SERVER s",
            "FOREIGN TABLE IF NOT EXISTS a.t",
        ),
        (
            K::MaterializedView,
            "CREATE MATERIALIZED VIEW a.t AS SELECT 1 WITH NO DATA",
            "VIEW IF NOT EXISTS a.t",
        ),
        (
            K::Sequence,
            "CREATE SEQUENCE a.t",
            "CREATE SEQUENCE IF NOT EXISTS a.t",
        ),
        (
            K::Schema,
            "CREATE SCHEMA a",
            "CREATE SCHEMA IF NOT EXISTS a",
        ),
        (
            K::Schema,
            "create schema if not exists \"a\"",
            "create schema if not exists \"a\"",
        ),
        (
            K::Extension,
            "CREATE EXTENSION IF NOT EXISTS e WITH SCHEMA a",
            "CREATE EXTENSION IF NOT EXISTS e",
        ),
        (
            K::Statistics,
            "CREATE STATISTICS a.s ON x, y FROM a.t",
            "STATISTICS IF NOT EXISTS a.s",
        ),
        (
            K::Index,
            "CREATE UNIQUE INDEX i ON a.t USING btree (x)",
            "INDEX IF NOT EXISTS i ON",
        ),
        (
            K::Collation,
            "CREATE COLLATION a.c (locale = 'de')",
            "COLLATION IF NOT EXISTS a.c",
        ),
        (
            K::ForeignServer,
            "CREATE SERVER s FOREIGN DATA WRAPPER w",
            "SERVER IF NOT EXISTS s",
        ),
        (
            K::UserMapping,
            "CREATE USER MAPPING FOR u SERVER s",
            "MAPPING IF NOT EXISTS FOR u",
        ),
        (
            K::View,
            "CREATE VIEW a.v AS SELECT 1",
            "CREATE OR REPLACE VIEW a.v",
        ),
        (
            K::View,
            "CREATE OR REPLACE VIEW a.v AS SELECT 1",
            "CREATE OR REPLACE VIEW a.v",
        ),
        (
            K::Function,
            "CREATE FUNCTION a.f() RETURNS int LANGUAGE sql AS $_$ select 1; $_$",
            "CREATE OR REPLACE FUNCTION a.f",
        ),
        (
            K::Function,
            "CREATE AGGREGATE a.g(int) (sfunc = f, stype = int)",
            "CREATE OR REPLACE AGGREGATE",
        ),
        (
            K::Rule,
            "CREATE RULE r AS ON INSERT TO a.t DO INSTEAD NOTHING",
            "CREATE OR REPLACE RULE r",
        ),
        (
            K::Table,
            "COMMENT ON TABLE a.t IS 'x;y'",
            "COMMENT ON TABLE a.t IS 'x;y'",
        ),
        (
            K::Table,
            "ALTER TABLE a.t ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE a.t ENABLE ROW",
        ),
    ] {
        let made = once(ObjectId::of(kind, "a", "t"), sql);
        assert_eq!(made.len(), 1, "{sql}");
        assert!(made[0].contains(wanted), "{}", made[0]);
        assert!(!made[0].starts_with("do "), "{}", made[0]);
        assert!(quoting::is_one_statement(&made[0]));
    }
}

#[test]
fn everything_else_asks_the_catalog_first() {
    use ObjectKind as K;
    let on = |kind| ObjectId::on(kind, "a", "t'x", "n");
    let of = |kind| ObjectId::of(kind, "a", "n");
    for (object, sql, wanted) in [
        (
            of(K::Type),
            "CREATE TYPE a.n AS ENUM ('x')",
            "from pg_catalog.pg_type where typname = 'n'",
        ),
        (
            of(K::Type),
            "CREATE TYPE a.n (INPUT = i, OUTPUT = o)",
            "typisdefined",
        ),
        (of(K::Domain), "CREATE DOMAIN a.n AS int", "pg_type"),
        (
            of(K::Domain),
            "ALTER DOMAIN a.n ADD CONSTRAINT c CHECK (value > 0) NOT VALID",
            "contypid = pg_catalog.to_regtype('\"a\".\"n\"') and conname = 'c'",
        ),
        (
            on(K::Constraint),
            "ALTER TABLE ONLY a.\"t'x\" ADD CONSTRAINT n PRIMARY KEY (id)",
            "conrelid = pg_catalog.to_regclass('\"a\".\"t''x\"') and conname = 'n'",
        ),
        (
            on(K::Trigger),
            "CREATE TRIGGER n AFTER INSERT ON a.\"t'x\" FOR EACH ROW EXECUTE FUNCTION f()",
            "tgname = 'n' and not tgisinternal",
        ),
        (
            on(K::Policy),
            "CREATE POLICY n ON a.\"t'x\" USING (true)",
            "pg_policy",
        ),
        (
            of(K::Table),
            "ALTER TABLE ONLY a.p ATTACH PARTITION a.n FOR VALUES IN (1)",
            "inhrelid = pg_catalog.to_regclass('\"a\".\"n\"')",
        ),
        (
            of(K::Index),
            "ALTER INDEX a.p ATTACH PARTITION a.n",
            "inhparent = pg_catalog.to_regclass('\"a\".\"p\"')",
        ),
        (
            of(K::Table),
            "ALTER TABLE ONLY a.n INHERIT a.p",
            "pg_inherits",
        ),
        (
            of(K::Table),
            "ALTER TABLE a.n ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME a.s)",
            "attidentity <> ''",
        ),
        (
            of(K::ForeignTable),
            "ALTER FOREIGN TABLE ONLY a.n ALTER COLUMN x OPTIONS (column_name 'y')",
            "attfdwoptions is not null",
        ),
        (of(K::Publication), "CREATE PUBLICATION n", "pg_publication"),
        (
            of(K::Publication),
            "ALTER PUBLICATION n ADD TABLE ONLY a.t WHERE (x > 1)",
            "prrelid",
        ),
        (
            of(K::Publication),
            "ALTER PUBLICATION n ADD TABLES IN SCHEMA a",
            "pnnspid",
        ),
        (
            of(K::TextSearchConfiguration),
            "ALTER TEXT SEARCH CONFIGURATION a.n ADD MAPPING FOR asciiword WITH simple",
            "t.alias = 'asciiword'",
        ),
        (
            of(K::EventTrigger),
            "CREATE EVENT TRIGGER n ON ddl_command_end EXECUTE FUNCTION f()",
            "evtname",
        ),
        (
            of(K::MaterializedView),
            "REFRESH MATERIALIZED VIEW a.n",
            "relispopulated",
        ),
        (
            ObjectId::global(K::Cast, "cast").with_args("a.x,pg_catalog.int4[]"),
            "CREATE CAST (a.x AS int[]) WITH INOUT",
            "casttarget = pg_catalog.to_regtype('\"pg_catalog\".\"int4\"[]')",
        ),
        (
            of(K::Operator).with_args("none,a.x"),
            "CREATE OPERATOR a.! (FUNCTION = f, RIGHTARG = a.x)",
            "oprleft = 0",
        ),
    ] {
        let made = once(object, sql);
        assert_eq!(made.len(), 1, "{sql}");
        assert!(made[0].starts_with("do $towpath$"), "{}", made[0]);
        assert!(made[0].contains(wanted), "{}", made[0]);
        assert!(made[0].contains(sql), "{}", made[0]);
        assert!(quoting::is_one_statement(&made[0]));
        assert!(pg_query::parse(&made[0], 0).is_ok());
    }
}

#[test]
fn a_statement_that_simple_programs_would_cut_is_wrapped() {
    let function = ObjectId::of(ObjectKind::Function, "a", "f").with_args("");
    let made = once(
        function.clone(),
        "CREATE FUNCTION a.f() RETURNS bigint LANGUAGE sql\n BEGIN ATOMIC\n SELECT '$sql$';\n SELECT 2;\nEND",
    );
    assert_eq!(made.len(), 1);
    assert!(
        made[0].starts_with("do ") && made[0].contains("OR REPLACE FUNCTION"),
        "{}",
        made[0]
    );
    assert!(quoting::is_one_statement(&made[0]));
    let three = once(
        function,
        "grant create on schema a to r;\nalter routine a.f() owner to r;\nrevoke create on schema a from r",
    );
    assert_eq!(three.len(), 3);
}

#[test]
fn what_needs_a_table_comes_behind_it_and_the_order_holds() {
    use ObjectKind as K;
    let table = ObjectId::of(K::Table, "a", "T/../x");
    let of_table = ObjectId::of(K::Function, "a", "f").with_args("a.t");
    let plain = ObjectId::of(K::Function, "a", "g").with_args("");
    let checked = ObjectId::of(K::Domain, "a", "d");
    let second = ObjectId::of(K::Table, "a", "u");
    let partition = ObjectId::of(K::Table, "a", "p");
    let view = ObjectId::of(K::View, "a", "v");
    let pre = |no, object: &ObjectId, sql: &str| statement(no, Phase::PreData, object.clone(), sql);
    let schema = CleanSchema {
        pre_data: vec![
            pre(1, &table, "CREATE TABLE a.\"T/../x\" (id int)"),
            pre(
                2,
                &of_table,
                "CREATE FUNCTION a.f(a.\"T/../x\") RETURNS int LANGUAGE sql AS ''",
            ),
            pre(
                3,
                &plain,
                "CREATE FUNCTION a.g() RETURNS int LANGUAGE sql AS ''",
            ),
            pre(
                4,
                &checked,
                "CREATE DOMAIN a.d AS int CHECK (value > a.g())",
            ),
            pre(5, &second, "CREATE TABLE a.u (id int DEFAULT a.f(null))"),
            pre(6, &view, "CREATE VIEW a.v AS SELECT NULL::int AS id"),
            pre(
                7,
                &partition,
                "ALTER TABLE ONLY a.\"T/../x\" ATTACH PARTITION a.p DEFAULT",
            ),
            pre(8, &view, "CREATE OR REPLACE VIEW a.v AS SELECT id FROM a.u"),
        ],
        post_data: vec![statement(
            1,
            Phase::Index,
            table.clone(),
            "CREATE INDEX i ON a.t (id)",
        )],
        needs: BTreeMap::from([
            (of_table.clone(), BTreeSet::from([table.clone()])),
            (checked.clone(), BTreeSet::from([plain.clone()])),
            (second.clone(), BTreeSet::from([of_table.clone()])),
            (view.clone(), BTreeSet::from([second.clone()])),
        ]),
        ..CleanSchema::default()
    };
    let options = SqlFileOptions {
        about: vec!["Of 'x'; \"y\"\nselect".to_owned()],
        search_path: "\"$user\", public".to_owned(),
    };
    let files = sql_files(&schema, &options).unwrap();
    let paths: Vec<&str> = files.split.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "30-functions.sql",
            "35-types-that-need-functions.sql",
            "40-tables/0001-a.T-..-x.sql",
            "42-table-details.sql",
            "45-functions-that-need-tables.sql",
            "55-intertwined.sql",
            "60-indexes.sql",
        ]
    );
    // The first form of the view must not replace the second one.
    assert!(
        files
            .consolidated
            .contains("if not (pg_catalog.to_regclass('\"a\".\"v\"') is not null) then")
    );
    assert!(pg_query::parse(&files.consolidated, 0).is_ok());
    for file in &files.split {
        assert!(file.text.starts_with("-- "), "{}", file.text);
        assert!(!file.text.contains("\nselect"), "{}", file.text);
        assert!(pg_query::parse(&file.text, 0).is_ok());
    }
}

#[test]
fn a_large_schema_is_written_in_seconds() {
    let mut schema = CleanSchema::default();
    for number in 0..10_000_u32 {
        let name = format!("t{number}");
        let table = ObjectId::of(ObjectKind::Table, "public", &name);
        let create = format!(
            "CREATE TABLE public.{name} (id bigint NOT NULL, a text, b text DEFAULT now())"
        );
        let pre = statement(number + 1, Phase::PreData, table.clone(), &create);
        schema.pre_data.push(pre);
        for index in 0..3 {
            let sql = format!("CREATE INDEX {name}_{index} ON public.{name} USING btree (a)");
            let no = number * 3 + index + 1;
            let post = statement(no, Phase::Index, table.clone(), &sql);
            schema.post_data.push(post);
        }
    }
    let options = SqlFileOptions {
        about: Vec::new(),
        search_path: String::new(),
    };
    let began = std::time::Instant::now();
    let files = sql_files(&schema, &options).unwrap();
    let took = began.elapsed();
    assert_eq!(files.split.len(), 10_001);
    assert!(took.as_secs() < 60, "{took:?}");
}
