//! A clone is verified for what it is: every finding can be found.

use std::fs;

use towpath_tests::pg::psql;
use towpath_tests::process::Finished;
use towpath_tests::sample::Site;
use towpath_tests::{pair, project};

const RULES: &str = r#"
version = 1

[[mask]]
table = "people"
column = "email"
with = "fake"
what = "email"
unique = true

[[mask]]
table = "people"
column = "full_name"
with = "fake"
what = "name"

[[mask]]
table = "people"
column = "phone"
with = "fake"
what = "phone"

[[mask]]
table = "people"
column = "consent"
with = "constant"
value = "none"
"#;

const SOURCE: &str = r"
set role postgres;
create table public.people (
    id integer primary key,
    email text unique,
    full_name text,
    phone text,
    -- Half of them have what the mask puts there.
    consent text not null,
    points integer not null
);
insert into public.people
select n, 'somebody' || n || '@zqx-post.de', 'Zqxanna Zqxmann' || chr(97 + n % 20),
       '+49 30 4711' || 10000 + n, case n % 2 when 0 then 'none' else 'given zqx' end, n
from generate_series(1, 2000) n;
create table public.parcels (
    id integer primary key,
    person integer references public.people,
    extra jsonb,
    label text
);
insert into public.parcels
select n, 1 + n % 2000, jsonb_build_object('weight', n, 'tags', array['small', 'red']),
       'parcel no. ' || n
from generate_series(1, 9000) n;
";

/// What a verification says of a clone, told without a value of any row.
fn assert_found(end: &Finished, told: &[&str]) {
    for told in told {
        assert!(end.stdout.contains(told), "{told:?} is not in\n{end}");
    }
    let said = format!("{}{}", end.stdout, end.stderr).to_lowercase();
    for value in ["zqx", "471110"] {
        assert!(!said.contains(value), "{value} was printed:\n{end}");
    }
}

#[test]
fn what_is_wrong_with_a_clone_is_found_and_what_served_before_still_does() {
    let pair = pair();
    let site = Site::fresh(&pair, "parcels");
    psql(&site.source_superuser, SOURCE);
    let project = site
        .project(project!(&pair))
        .with("TOWPATH_MASK_KEY", "a key of masks that nobody guesses");
    fs::write(project.path().join("rules.toml"), RULES).expect("write rules");
    let order = ["clone", "--to", "lab", "--rules", "rules.toml", "--yes"];
    let clone = |code: i32| project.expect(code, &order);
    let on_clone = |sql: &str| psql(&pair.target.cluster.superuser_url("lab"), sql);

    let made = clone(0);
    assert_found(
        &made,
        &[
            "1 of 1 table equal but for their masks, 7000 values masked in 4 columns",
            "residual scan:",
            "none of the source's",
        ],
    );
    let run = on_clone(
        "select substring(shobj_description(oid, 'pg_database') from '\"run\":\"([^\"]+)\"')
           from pg_database where datname = 'lab'",
    );
    let verify = |code: i32| project.expect(code, &["verify", &run]);

    // Somebody was at work: a value of a column that is not masked, and a parent that is gone.
    on_clone(
        "set session_replication_role = replica;
         update public.people set points = points + 1 where id = 7;
         delete from public.people where id = 8;",
    );
    assert_found(
        &verify(12),
        &[
            "table public.people: columns that are not masked differ: 1999 rows of 2000",
            "rows of parcels_person_fkey lead nowhere",
            "no residual scan",
        ],
    );
    on_clone("update public.people set points = points - 1 where id = 7");

    // Originals where no sample has seen them; the row is one of 9000.
    psql(
        &site.source_superuser,
        r#"update public.parcels
              set label = 'mail/Somebody41@zqx-post.de;office@example.org',
                  extra = '{"to": ["{\"is\": \"Zqxanna Zqxmannb\"}"], "ring": "004930 471110041"}'
            where id = 8765;
           update public.parcels
              set label = 'eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZSJ9.c2lnbmF0dXJlLW9mLWl0'
            where id = 8766"#,
    );
    // Again: what was found wanting is not gone on with, and nothing is forgotten by it.
    for _ in 0..2 {
        assert_found(
            &clone(12),
            &[
                "public.parcels: 1 value of label looks like e-mail and is the source's own",
                "public.parcels: 1 value of extra looks like name and is the source's own",
                "public.parcels: 1 value of extra looks like number and is the source's own",
                "public.parcels: 1 value of label looks like secret\n",
            ],
        );
    }
    assert_eq!(
        on_clone("select count(*) from public.people"),
        "1999",
        "another clone serves than the one before"
    );
    let evidence = made
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("evidence: "))
        .expect("the evidence is named");
    assert_found(
        &project.expect(0, &["verify", "--evidence", evidence]),
        &["no difference"],
    );
}
