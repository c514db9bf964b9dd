use serde_json::json;

use super::*;
use crate::schema::SchemaReport;
use crate::script::Phase;

fn object(id: ObjectId, aspects: Value) -> SchemaObject {
    SchemaObject {
        id,
        oid: 0,
        owner: None,
        extension: None,
        comment: None,
        grants: BTreeSet::new(),
        aspects: match aspects {
            Value::Object(fields) => fields.into_iter().collect(),
            _ => panic!("not an object"),
        },
    }
}

fn table(aspects: Value) -> SchemaObject {
    object(ObjectId::of(ObjectKind::Table, "app", "t"), aspects)
}

fn on_table(kind: ObjectKind, name: &str, aspects: Value) -> SchemaObject {
    object(ObjectId::on(kind, "app", "t", name), aspects)
}

fn statement(id: &ObjectId, effect: Effect) -> Statement {
    Statement {
        no: 1,
        phase: Phase::PreData,
        object: id.clone(),
        table: None,
        effect,
        sql: String::new(),
    }
}

fn grant(grantee: &str, privilege: &str) -> Grant {
    Grant {
        grantee: grantee.to_owned(),
        privilege: privilege.to_owned(),
        column: None,
        grantable: false,
    }
}

/// Runs a question over expected and found objects and a script.
fn ask<T>(
    expected: &[&SchemaObject],
    found: &[&SchemaObject],
    script: &[Statement],
    question: impl FnOnce(&Convergence<'_>) -> T,
) -> T {
    let of = |list: &[&SchemaObject]| Structure::new(list.iter().map(|o| (*o).clone()));
    let (expected, found) = (of(expected), of(found));
    let report = SchemaReport::default();
    let expectation = Expectation::new(&expected, &report);
    let convergence = Convergence::new(&expectation, &found, "master", script.iter());
    question(&convergence)
}

fn conflicts(expected: &[&SchemaObject], found: &[&SchemaObject], script: &[Statement]) -> usize {
    ask(expected, found, script, |c| c.conflicts().len())
}

fn is_done(expected: &SchemaObject, found: &SchemaObject, effect: Effect) -> bool {
    let script = [statement(&expected.id, effect)];
    ask(&[expected], &[found], &script, |c| c.is_done(&script[0]))
}

#[test]
fn what_create_decides_is_a_conflict_and_what_follows_is_not() {
    let plain = json!({
        "columns": [{"name": "id", "type": "bigint", "not_null": true}],
        "persistence": "permanent", "row_security": false, "replica_identity": "default",
    });
    let with = |path: &str, value: Value| {
        let mut changed = plain.clone();
        *changed
            .pointer_mut(path)
            .unwrap_or_else(|| panic!("{path}")) = value;
        table(changed)
    };
    let there = table(plain.clone());
    for (path, value) in [
        ("/columns/0/type", json!("text")),
        ("/columns/0/name", json!("nr")),
        ("/columns/0/not_null", json!(false)),
        ("/columns", json!([])),
        ("/persistence", json!("unlogged")),
    ] {
        assert_eq!(
            conflicts(&[&with(path, value.clone())], &[&there], &[]),
            1,
            "{path}"
        );
    }
    for (path, value) in [
        ("/row_security", json!(true)),
        ("/replica_identity", json!("full")),
    ] {
        assert_eq!(
            conflicts(&[&with(path, value.clone())], &[&there], &[]),
            0,
            "{path}"
        );
        // No statement leads back.
        assert_eq!(
            conflicts(&[&there], &[&with(path, value)], &[]),
            1,
            "{path}"
        );
    }
}

#[test]
fn a_default_is_decided_by_whoever_says_it() {
    let of = |default: Value| {
        table(json!({"columns": [{"name": "id", "type": "bigint", "default": default}]}))
    };
    let (expected, bare) = (
        of(json!("nextval('s')")),
        table(json!({"columns": [{"name": "id", "type": "bigint"}]})),
    );
    let says = Effect::SetPart(Part::column("id", "default"));
    let script = [statement(&expected.id, says.clone())];
    assert_eq!(
        conflicts(&[&expected], &[&bare], &[]),
        1,
        "written into the table"
    );
    assert_eq!(
        conflicts(&[&expected], &[&bare], &script),
        0,
        "a statement says it"
    );
    assert_eq!(
        conflicts(&[&expected], &[&of(json!("7"))], &script),
        1,
        "somebody's own"
    );
    assert!(!is_done(&expected, &bare, says.clone()));
    assert!(is_done(&expected, &expected, says));
}

#[test]
fn a_check_that_comes_with_its_table_is_missed_on_one_that_is_there() {
    let (t, check) = (
        table(json!({})),
        on_table(
            ObjectKind::Constraint,
            "c",
            json!({"type": "check", "validated": true}),
        ),
    );
    assert_eq!(conflicts(&[&t, &check], &[], &[]), 0);
    assert_eq!(conflicts(&[&t, &check], &[&t], &[]), 1);
    let script = [statement(&check.id, Effect::Make)];
    assert_eq!(conflicts(&[&t, &check], &[&t], &script), 0);
}

#[test]
fn an_index_waits_for_the_constraint_that_takes_it_over() {
    let t = table(json!({}));
    let key = on_table(
        ObjectKind::Constraint,
        "k",
        json!({"type": "primary key", "index": "CREATE … k"}),
    );
    let index = |definition: &str| {
        on_table(
            ObjectKind::Index,
            "k",
            json!({"definition": definition, "valid": true}),
        )
    };
    let script = [
        statement(&key.id, Effect::MakeIndex),
        statement(&key.id, Effect::Make),
    ];
    let built = index("CREATE … k");
    assert_eq!(conflicts(&[&t, &key], &[&t, &built], &script), 0);
    assert_eq!(conflicts(&[&t, &key], &[&t, &index("another")], &script), 1);
    let done = |found: &[&SchemaObject]| {
        ask(&[&t, &key], found, &script, |c| {
            [c.is_done(&script[0]), c.is_done(&script[1])]
        })
    };
    assert_eq!(done(&[&t]), [false, false]);
    assert_eq!(done(&[&t, &built]), [true, false]);
    assert_eq!(done(&[&t, &key]), [true, true]);
}

#[test]
fn grants_may_be_missing_and_not_too_many() {
    let mut expected = object(
        ObjectId::of(ObjectKind::Function, "app", "f").with_args(""),
        json!({}),
    );
    expected.grants = BTreeSet::from([grant("anon", "EXECUTE"), grant("x", "EXECUTE")]);
    let mut found = expected.clone();
    // The server lets everybody, until the script revokes it.
    found.grants = BTreeSet::from([grant("public", "EXECUTE"), grant("x", "EXECUTE")]);
    assert_eq!(conflicts(&[&expected], &[&found], &[]), 0);
    found.grants.insert(grant("mallory", "EXECUTE"));
    assert_eq!(conflicts(&[&expected], &[&found], &[]), 1);
    assert!(!is_done(&expected, &found, Effect::Set));
    assert!(is_done(&expected, &expected, Effect::Set));
}

#[test]
fn parts_are_added_once() {
    let publication = |tables: Value| {
        object(
            ObjectId::global(ObjectKind::Publication, "p"),
            json!({"tables": tables, "insert": true}),
        )
    };
    let expected = publication(json!([{"table": "app.t"}, {"table": "app.\"order\""}]));
    let half = publication(json!([{"table": "app.\"order\""}]));
    let adds = |name: &str| Effect::Add(Part::entry("tables", name));
    assert_eq!(conflicts(&[&expected], &[&half], &[]), 0);
    assert!(is_done(&expected, &half, adds("\"app\".\"order\"")));
    assert!(!is_done(&expected, &half, adds("\"app\".\"t\"")));
    let foreign = publication(json!([{"table": "app.elsewhere"}]));
    assert_eq!(conflicts(&[&expected], &[&foreign], &[]), 1);
    let filtered = publication(json!([{"table": "app.t", "where": "(id > 0)"}]));
    assert_eq!(conflicts(&[&expected], &[&filtered], &[]), 1);

    let partition = table(
        json!({"partition_of": "app.m", "partition_bound": "FOR VALUES IN (1)",
        "columns": [{"name": "id", "inherited": true, "local": true}]}),
    );
    let loose = table(json!({"columns": [{"name": "id"}]}));
    assert_eq!(conflicts(&[&partition], &[&loose], &[]), 0);
    let parent_index = object(
        ObjectId::on(ObjectKind::Index, "app", "m", "i"),
        json!({"definition": "…", "valid": false}),
    );
    for found in [vec![&parent_index], vec![&parent_index, &loose]] {
        let expected = [&partition, &parent_index];
        assert_eq!(
            conflicts(&expected, &found, &[]),
            1,
            "its parent is indexed"
        );
    }
    let attach = Effect::Add(Part::aspect("partition_of"));
    assert!(!is_done(&partition, &loose, attach.clone()));
    assert!(is_done(&partition, &partition, attach));
}

#[test]
fn what_acts_on_rows_goes_first_and_is_made_again() {
    let t = table(json!({}));
    let trigger = on_table(
        ObjectKind::Trigger,
        "x",
        json!({"definition": "…", "enabled": "origin"}),
    );
    let fk = on_table(
        ObjectKind::Constraint,
        "f",
        json!({"type": "foreign key", "validated": true}),
    );
    let key = on_table(ObjectKind::Constraint, "k", json!({"type": "primary key"}));
    let all = [&t, &trigger, &fk, &key];
    let script: Vec<Statement> = all.iter().map(|o| statement(&o.id, Effect::Make)).collect();
    ask(&all, &all, &script, |c| {
        let going: Vec<&ObjectId> = c.in_the_way().map(|o| &o.id).collect();
        assert_eq!(going, [&fk.id, &trigger.id]);
        let left: Vec<bool> = script.iter().map(|s| c.is_done(s)).collect();
        assert_eq!(left, [true, false, false, true]);
    });
    // What the script does not bring back stays.
    ask(&all, &all, &[], |c| assert_eq!(c.in_the_way().count(), 0));
}

#[test]
fn default_privileges_go_while_something_is_made() {
    let mut defaults = object(
        ObjectId::of(ObjectKind::DefaultPrivileges, "app", "master").with_args("tables"),
        json!({}),
    );
    defaults.grants.insert(grant("anon", "SELECT"));
    let t = table(json!({}));
    let script = [statement(&t.id, Effect::Make)];
    let going =
        |found: &[&SchemaObject]| ask(&[&t, &defaults], found, &script, |c| c.in_the_way().count());
    assert_eq!(going(&[&t, &defaults]), 0);
    assert_eq!(going(&[&defaults]), 1);
}

#[test]
fn strangers_are_named_once() {
    let t = table(json!({}));
    let index = on_table(ObjectKind::Index, "i", json!({}));
    assert_eq!(conflicts(&[], &[&t, &index], &[]), 1);
    assert_eq!(conflicts(&[&t], &[&t, &index], &[]), 1);
    let ledger = object(ObjectId::of(ObjectKind::Table, "towpath", "run"), json!({}));
    assert_eq!(conflicts(&[], &[&ledger], &[]), 0);
    let mut members = t.clone();
    members.extension = Some("cron".to_owned());
    assert_eq!(
        conflicts(&[&members], &[&t], &[]),
        1,
        "a stranger where an extension's table will be"
    );
}

#[test]
fn a_foreign_key_waits_for_its_validation() {
    let fk = |definition: &str, validated: bool| {
        on_table(
            ObjectKind::Constraint,
            "f",
            json!({"type": "foreign key", "definition": definition, "validated": validated}),
        )
    };
    let t = table(json!({}));
    let expected = fk("FOREIGN KEY (a) REFERENCES b(id)", true);
    let half = fk("FOREIGN KEY (a) REFERENCES b(id) NOT VALID", false);
    let other = fk("FOREIGN KEY (x) REFERENCES b(id) NOT VALID", false);
    let script = [
        statement(&expected.id, Effect::Make),
        statement(&expected.id, Effect::SetPart(Part::aspect("validated"))),
    ];
    assert_eq!(conflicts(&[&t, &expected], &[&t, &half], &script), 0);
    assert_eq!(conflicts(&[&t, &expected], &[&t, &half], &script[..1]), 2);
    assert_eq!(conflicts(&[&t, &expected], &[&t, &other], &script), 1);
}

#[test]
fn owners_are_given_away_by_their_statement_only() {
    let view = |owner: &str| {
        let mut view = object(ObjectId::of(ObjectKind::View, "app", "v"), json!({}));
        view.owner = Some(owner.to_owned());
        view
    };
    let expected = view("app_owner");
    let script = [statement(&expected.id, Effect::Own)];
    assert_eq!(conflicts(&[&expected], &[&view("master")], &script), 0);
    assert_eq!(conflicts(&[&expected], &[&view("master")], &[]), 1);
    assert_eq!(conflicts(&[&expected], &[&view("mallory")], &script), 1);
    assert!(!is_done(&expected, &view("master"), Effect::Own));
    assert!(is_done(&expected, &expected, Effect::Own));
}
