//! `towpath diff`: what differs, in words and as data, and nothing changed by asking.

use serde_json::Value;
use towpath_tests::catalog::{assert_same_catalog, catalog};
use towpath_tests::{pair, project};

#[test]
fn two_sides_of_three() {
    let pair = pair();
    let secret = "sk_live_0123456789abcdefghij";
    let project = project!(&pair);

    // Nothing is there yet: everything is only in the source, and nobody needs a store.
    let before = catalog(&pair);
    let end = project.expect(12, &["diff", "source", "target"]);
    assert!(
        end.stdout.contains("table public.no_pk: only in source"),
        "{end}"
    );
    assert_same_catalog(&before, &catalog(&pair));
    assert!(project.store_files().is_empty(), "a store was made");

    project.expect(0, &["run", "--yes"]);
    let run = format!("run:{}", project.run_id());
    for (left, right) in [
        ("source", "target"),
        ("target", "source"),
        ("run", "target"),
        (run.as_str(), "source"),
        ("target", "target"),
    ] {
        let end = project.expect(0, &["diff", left, right]);
        assert_eq!(end.stdout, format!("{left} and {right}: no difference\n"));
    }
    // As they are, the catalogs differ in all that the platform brings.
    let raw = project.expect(12, &["diff", "--raw", "source", "target"]);
    assert!(
        raw.stdout.contains("role supabase_admin: only in source"),
        "{raw}"
    );
    assert!(
        raw.stdout.contains("schema towpath: only in target"),
        "{raw}"
    );

    let changes = format!(
        "alter table public.no_pk add column later integer default 7;
         create function public.leak() returns text language sql as $$
             select '{secret}'
             union select 'b' $$;
         create schema mine; create table mine.notes (id integer)"
    );
    pair.target.psql(&changes);
    let before = catalog(&pair);
    let end = project.expect(12, &["diff", &run, "target"]);
    let lines: Vec<&str> = end.stdout.lines().collect();
    for line in [
        "  column later: only in target",
        "function public.leak(): only in target",
        "table mine.notes: only in target",
        "schema mine: only in target",
    ] {
        assert!(lines.contains(&line), "{line:?} is not said:\n{end}");
    }
    let json = project.expect(12, &["diff", "target", &run, "--json"]);
    let answer: Value = serde_json::from_str(&json.stdout).expect("one line of JSON");
    assert_eq!(answer["type"], "diff");
    assert_eq!(answer["left"], "target");
    let differences = answer["differences"].as_array().expect("a list");
    let of = |name: &str| {
        differences
            .iter()
            .find(|difference| difference["name"] == name)
            .unwrap_or_else(|| panic!("{name} is not in {json}"))
    };
    assert_eq!(of("table mine.notes")["difference"], "only-left");
    assert_eq!(of("table public.no_pk")["aspect"], "columns");
    assert_eq!(of("table public.no_pk")["left"][3]["name"], "later");
    assert_same_catalog(&before, &catalog(&pair));

    // A body that seems to hold a secret is told by its hash, on whichever side it is.
    pair.source.psql(
        "create function public.leak() returns text language sql as $$
             select 'a'
             union select 'b' $$",
    );
    for arguments in [
        &["diff", "source", "target"][..],
        &["diff", "target", "source", "--json"],
    ] {
        let end = project.expect(12, arguments);
        assert!(end.stdout.contains("public.leak()"), "{end}");
        assert!(end.stdout.contains("blake3:"), "{end}");
        assert!(!format!("{end}").contains(secret), "a secret is shown");
    }

    for (wrong, said) in [
        (
            &["diff", "source", "run:"][..],
            "source, target, run or run:ID",
        ),
        (&["diff", "--raw", "run", "target"], "a run stores none"),
    ] {
        let end = project.expect(2, wrong);
        assert!(end.stderr.contains(said), "{end}");
    }
}
