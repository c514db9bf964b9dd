//! Every kind of statement that pg_dump writes is told apart.

use super::*;
use crate::statement::parse;

fn names() -> Names {
    let ids = [
        ObjectId::of(ObjectKind::View, "app", "seen"),
        ObjectId::of(ObjectKind::Type, "app", "pair"),
        ObjectId::on(ObjectKind::Index, "app", "orders", "orders_idx"),
        ObjectId::on(ObjectKind::Index, "app", "orders_1", "orders_1_idx"),
    ];
    let objects = ids
        .into_iter()
        .map(|id| towpath_model::structure::SchemaObject {
            id,
            oid: 1,
            owner: None,
            extension: None,
            comment: None,
            grants: Default::default(),
            aspects: Default::default(),
        });
    Names::of(&Structure::new(objects))
}

/// Each line: a statement as pg_dump writes it, the object, the phase.
const STATEMENTS: &[(&str, &str, Phase)] = &[
    ("CREATE SCHEMA app", "schema app", Phase::PreData),
    (
        "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA extensions",
        "extension citext",
        Phase::PreData,
    ),
    (
        "CREATE TYPE app.mood AS ENUM ('a', 'b')",
        "type app.mood",
        Phase::PreData,
    ),
    (
        "CREATE TYPE app.pair AS (a integer, b text)",
        "type app.pair",
        Phase::PreData,
    ),
    (
        "CREATE TYPE app.span AS RANGE (subtype = double precision)",
        "type app.span",
        Phase::PreData,
    ),
    (
        "CREATE DOMAIN app.d AS integer",
        "domain app.d",
        Phase::PreData,
    ),
    (
        "ALTER DOMAIN app.d ADD CONSTRAINT c CHECK ((VALUE > 0)) NOT VALID",
        "domain app.d",
        Phase::Constraint,
    ),
    (
        "CREATE COLLATION app.c (provider = icu, locale = 'und')",
        "collation app.c",
        Phase::PreData,
    ),
    (
        "CREATE FUNCTION app.f(a integer, OUT b text) RETURNS text LANGUAGE sql AS ''",
        "function app.f(pg_catalog.int4)",
        Phase::PreData,
    ),
    (
        "CREATE PROCEDURE app.p(INOUT a bigint) LANGUAGE sql AS ''",
        "function app.p(pg_catalog.int8)",
        Phase::PreData,
    ),
    (
        "CREATE AGGREGATE app.agg(text) (SFUNC = app.f, STYPE = text)",
        "function app.agg(pg_catalog.text)",
        Phase::PreData,
    ),
    (
        "CREATE AGGREGATE app.cnt(*) (SFUNC = int8inc, STYPE = bigint)",
        "function app.cnt()",
        Phase::PreData,
    ),
    (
        "CREATE OPERATOR app.=~= (FUNCTION = app.f, LEFTARG = text, RIGHTARG = app.mood)",
        "operator app.\"=~=\"(pg_catalog.text,app.mood)",
        Phase::PreData,
    ),
    (
        "CREATE OPERATOR app.! (FUNCTION = app.f, RIGHTARG = text)",
        "operator app.\"!\"(none,pg_catalog.text)",
        Phase::PreData,
    ),
    (
        "COMMENT ON OPERATOR app.! (NONE, text) IS 'x'",
        "operator app.\"!\"(none,pg_catalog.text)",
        Phase::PreData,
    ),
    (
        "CREATE CAST (app.pair AS point) WITH FUNCTION app.f(app.pair) AS ASSIGNMENT",
        "cast cast(app.pair,pg_catalog.point)",
        Phase::PreData,
    ),
    (
        "CREATE TEXT SEARCH CONFIGURATION app.t (PARSER = pg_catalog.\"default\")",
        "text search configuration app.t",
        Phase::PreData,
    ),
    (
        "ALTER TEXT SEARCH CONFIGURATION app.t ADD MAPPING FOR asciiword WITH simple",
        "text search configuration app.t",
        Phase::PreData,
    ),
    (
        "CREATE TABLE app.orders (id integer)",
        "table app.orders",
        Phase::PreData,
    ),
    (
        "CREATE FOREIGN TABLE app.far (id integer) SERVER s",
        "foreign table app.far",
        Phase::PreData,
    ),
    (
        "CREATE VIEW app.seen AS SELECT 1 AS one",
        "view app.seen",
        Phase::PreData,
    ),
    (
        "CREATE MATERIALIZED VIEW app.mv AS SELECT 1 AS one WITH NO DATA",
        "materialized view app.mv",
        Phase::PreData,
    ),
    (
        "CREATE SEQUENCE app.s START WITH 1",
        "sequence app.s",
        Phase::PreData,
    ),
    (
        "ALTER SEQUENCE app.s OWNED BY app.orders.id",
        "sequence app.s",
        Phase::PreData,
    ),
    (
        "ALTER TABLE ONLY app.orders ALTER COLUMN id SET DEFAULT nextval('app.s'::regclass)",
        "table app.orders",
        Phase::PreData,
    ),
    (
        "ALTER TABLE ONLY app.seen ALTER COLUMN one SET DEFAULT 1",
        "view app.seen",
        Phase::PreData,
    ),
    (
        "ALTER TABLE ONLY app.orders ATTACH PARTITION app.orders_1 FOR VALUES IN (1)",
        "table app.orders_1",
        Phase::PreData,
    ),
    (
        "ALTER INDEX app.orders_idx ATTACH PARTITION app.orders_1_idx",
        "index orders_idx on app.orders",
        Phase::IndexAttach,
    ),
    (
        "CREATE INDEX orders_idx ON ONLY app.orders USING btree (id)",
        "index orders_idx on app.orders",
        Phase::Index,
    ),
    (
        "COMMENT ON INDEX app.orders_idx IS 'x'",
        "index orders_idx on app.orders",
        Phase::View,
    ),
    (
        "ALTER TABLE ONLY app.orders ADD CONSTRAINT pk PRIMARY KEY (id)",
        "constraint pk on app.orders",
        Phase::Constraint,
    ),
    (
        "ALTER TABLE ONLY app.orders ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES app.b(id)",
        "constraint fk on app.orders",
        Phase::ForeignKey,
    ),
    (
        "ALTER TABLE app.orders ADD CONSTRAINT ck CHECK ((id > 0)) NOT VALID",
        "constraint ck on app.orders",
        Phase::Constraint,
    ),
    (
        "ALTER TABLE ONLY app.orders REPLICA IDENTITY FULL",
        "table app.orders",
        Phase::IndexAttach,
    ),
    (
        "ALTER TABLE app.orders CLUSTER ON orders_idx",
        "table app.orders",
        Phase::IndexAttach,
    ),
    (
        "ALTER TABLE ONLY app.orders FORCE ROW LEVEL SECURITY",
        "table app.orders",
        Phase::Policy,
    ),
    (
        "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY",
        "table app.orders",
        Phase::Policy,
    ),
    (
        "CREATE STATISTICS app.st ON a, b FROM app.orders",
        "statistics app.st",
        Phase::IndexAttach,
    ),
    (
        "CREATE RULE r AS ON INSERT TO app.orders DO INSTEAD NOTHING",
        "rule r on app.orders",
        Phase::View,
    ),
    (
        "CREATE TRIGGER t AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION app.f()",
        "trigger t on app.orders",
        Phase::Trigger,
    ),
    (
        "ALTER TABLE app.orders DISABLE TRIGGER t",
        "trigger t on app.orders",
        Phase::Trigger,
    ),
    (
        "CREATE POLICY \"own rows\" ON app.orders USING (true)",
        "policy \"own rows\" on app.orders",
        Phase::Policy,
    ),
    (
        "COMMENT ON POLICY \"own rows\" ON app.orders IS 'x'",
        "policy \"own rows\" on app.orders",
        Phase::Policy,
    ),
    (
        "COMMENT ON COLUMN app.seen.one IS 'x'",
        "view app.seen",
        Phase::PreData,
    ),
    (
        "COMMENT ON COLUMN app.pair.a IS 'x'",
        "type app.pair",
        Phase::PreData,
    ),
    (
        "COMMENT ON CONSTRAINT c ON DOMAIN app.d IS 'x'",
        "domain app.d",
        Phase::PreData,
    ),
    (
        "COMMENT ON FUNCTION app.f(a integer, OUT b text) IS 'x'",
        "function app.f(pg_catalog.int4)",
        Phase::PreData,
    ),
    (
        "GRANT SELECT ON TABLE app.seen TO anon",
        "view app.seen",
        Phase::Grant,
    ),
    (
        "GRANT ALL ON FUNCTION app.f(a integer, OUT b text) TO anon",
        "function app.f(pg_catalog.int4)",
        Phase::Grant,
    ),
    (
        "GRANT USAGE ON SCHEMA app TO anon",
        "schema app",
        Phase::Grant,
    ),
    (
        "GRANT ALL ON TYPE app.pair TO anon",
        "type app.pair",
        Phase::Grant,
    ),
    (
        "GRANT ALL ON FOREIGN SERVER s TO anon",
        "foreign server s",
        Phase::Grant,
    ),
    (
        "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
        "foreign server s",
        Phase::PreData,
    ),
    (
        "CREATE USER MAPPING FOR postgres SERVER s",
        "user mapping postgres(s)",
        Phase::PreData,
    ),
    (
        "CREATE PUBLICATION p WITH (publish = 'insert')",
        "publication p",
        Phase::Last,
    ),
    (
        "ALTER PUBLICATION p ADD TABLE ONLY app.orders WHERE ((id > 0))",
        "publication p",
        Phase::Last,
    ),
    (
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION app.f()",
        "event trigger e",
        Phase::Last,
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA app GRANT ALL ON TABLES TO anon",
        "default privileges app.postgres(tables)",
        Phase::Last,
    ),
];

#[test]
fn every_kind_of_statement_is_told_by_its_tree() {
    for (sql, object, phase) in STATEMENTS {
        let subject = subject(&parse(sql).unwrap(), &names())
            .unwrap_or_else(|| panic!("not understood: {sql}"));
        assert_eq!(subject.object.to_string(), *object, "{sql}");
        assert_eq!(subject.phase, *phase, "{sql}");
    }
}

#[test]
fn a_publications_table_and_a_partitions_parent_must_go_too() {
    let also = |sql: &str| subject(&parse(sql).unwrap(), &names()).unwrap().also;
    assert_eq!(
        also("ALTER PUBLICATION p ADD TABLE ONLY app.orders"),
        [ObjectId::of(ObjectKind::Table, "app", "orders")]
    );
    assert_eq!(
        also("ALTER TABLE ONLY app.orders ATTACH PARTITION app.orders_1 DEFAULT"),
        [ObjectId::of(ObjectKind::Table, "app", "orders")]
    );
}
