//! The coverage gate, and what `mask` says of a source without cloning it.

use serde_json::Value;
use towpath_tests::pg::psql;
use towpath_tests::process::Finished;
use towpath_tests::sample::Site;
use towpath_tests::{Pair, Project, pair, project};

/// What every value of the source holds that is somebody's.
const MARK: &str = "zqx";

const SCHEMA: &str = r#"
create domain public.handle as varchar(30) check (value <> '');
create type public.place as (no int, mail text);
create table public.customers (
    id int primary key,
    full_name text not null,
    e_mail text unique not null,
    nick public.handle,
    born date,
    seen_from inet,
    membership text,
    is_email boolean,
    label text
);
create table public.logs (
    id int primary key,
    line text,
    payload jsonb,
    app_version text,
    status text,
    "odd * ""name" text,
    origin public.place
);
create table public.visits (id int, day date not null, contact text) partition by range (day);
create table public.visits_1 partition of public.visits for values from ('2026-01-01') to ('2026-02-01');
create table public.visits_2 partition of public.visits for values from ('2026-02-01') to ('2026-03-01');
-- Of no schema: under an empty search path whoever plans a query of the tables finds no function.
create function public.quarter(n int) returns int language sql immutable as 'select n / 4';
create function public.half(n int) returns int language sql immutable as 'select quarter(n) * 2';
create index on public.customers (public.half(id)) where public.half(id) > 1;
create index on public.logs (public.half(id)) where public.half(id) > 1;
insert into public.customers
select i, 'Anna zqx' || i, 'zqx' || i || '@example.com', 'zqx' || i, date '1980-01-01' + i,
       '192.0.2.7', 'gold', i > 1, 'label ' || i
  from generate_series(1, 40) i;
-- The older half says nothing: a look at the first pages alone would miss the rest.
insert into public.logs
select i, case when i > 20000 then 'sent to zqx' || i || '@example.com' else 'started' end,
       jsonb_build_object('kind', 'mail', 'to', jsonb_build_array('zqx' || i || '@example.com')),
       '1.2.3.' || i % 9, 'done', 'zqx' || i || '@example.com',
       row(i, 'zqx' || i || '@example.com')::public.place
  from generate_series(1, 40000) i;
insert into public.visits
select i, date '2026-01-01' + i % 59, '+49 30 471199' || 100 + i from generate_series(1, 100) i;
analyze public.logs;
"#;

struct Shop {
    pair: Pair,
    site: Site,
    project: Project,
}

impl Shop {
    fn new() -> Self {
        let pair = pair();
        let site = Site::fresh(&pair, "shop");
        psql(&site.source_superuser, SCHEMA);
        let project = site.project(project!(&pair));
        Self {
            pair,
            site,
            project,
        }
    }

    fn rules(&self, text: &str) {
        let path = self.project.path().join("towpath.clone.toml");
        std::fs::write(path, format!("version = 1\n{text}")).expect("write rules");
    }

    /// Runs towpath with the rules, as talkative as it can be, and looks for values of the source in
    /// all that it says.
    fn towpath(&self, code: i32, arguments: &[&str]) -> Finished {
        let rules = ["--rules", "towpath.clone.toml", "-vv"];
        let end = self.project.expect(code, &[arguments, &rules].concat());
        assert!(!end.stderr.contains(MARK), "a value was told:\n{end}");
        assert!(!end.stderr.contains("471199"), "a value was told:\n{end}");
        end
    }

    fn check(&self, code: i32, more: &[&str]) -> Finished {
        let end = self.towpath(code, &[&["mask", "check"], more].concat());
        assert!(!end.stdout.contains(MARK), "a value was told:\n{end}");
        end
    }

    fn source(&self, sql: &str) {
        psql(&self.site.source_superuser, sql);
    }
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not said:\n{text}");
    }
}

#[test]
fn what_looks_personal_stops_a_clone_until_it_is_masked_or_allowed_and_so_does_what_is_new() {
    let shop = Shop::new();
    shop.rules("");
    let refused = shop.check(10, &["--json"]);
    let personal = [
        "public.customers.full_name looks personal: name of a person, by its name",
        "public.customers.e_mail looks personal: e-mail address, by its name",
        "public.customers.nick looks personal: name of a person, by its name",
        "public.customers.born looks personal: date of birth, by its name",
        "public.customers.seen_from looks personal: IP address, by its type",
        "public.logs.line looks personal: e-mail address, by ",
        "public.logs.payload looks personal: e-mail address, by ",
        "public.logs.origin looks personal: e-mail address, by ",
        "public.visits.contact looks personal: telephone number, by ",
    ];
    says(&refused.stderr, &personal);
    says(
        &refused.stderr,
        &["(exit 10)", "sampled values", "[[mask]]"],
    );
    for plain in [
        "membership",
        "is_email",
        "label",
        "app_version",
        "status",
        "visits_1",
    ] {
        assert!(!refused.stderr.contains(plain), "{plain}:\n{refused}");
    }
    // The failure comes after it, as a line of its own.
    let line = refused.stdout.lines().next().expect("a line");
    let told: Value = serde_json::from_str(line).expect("a document");

    // A clone is stopped by the same, of a sealed run, too; and nothing is made.
    let clone = ["clone", "--to", "copy", "--yes"];
    says(&shop.towpath(10, &clone).stderr, &personal);
    assert!(shop.project.store_files().is_empty());
    shop.project.expect(0, &["export", "--yes"]);
    let run = shop.project.run_id();
    let of_run = shop.towpath(10, &[&clone[..], &["--from", &run]].concat());
    says(&of_run.stderr, &personal);
    let made = "select count(*) from pg_database
                 where datname like 'towpath_clone%' or datname = 'copy'";
    assert_eq!(shop.pair.target.psql_superuser(made), "0");

    // What it writes as rules is enough, as it is; what is allowed by name counts before them.
    let rules = told["rules"].as_str().expect("rules");
    shop.rules(&rules.replacen(
        "[[mask]]\ntable = \"public.customers\"\ncolumn = \"seen_from\"\nwith = \"fake-ip\"\n",
        "[[allow]]\ntable = \"customers\"\ncolumn = \"seen_from\"\nreason = \"our own\"\n",
        1,
    ));
    shop.source("comment on column public.logs.status is 'towpath:allow(a word of ours)'");
    let strict = shop.check(10, &["--strict"]);
    says(&strict.stderr, &["no columns are approved"]);
    let covered = [
        "public.customers.e_mail",
        "masked: fake-email",
        "masked: scrub",
        "our own",
        "a word of ours",
        "2 allowed, 0 personal by their looks",
    ];
    says(&strict.stdout, &covered);
    let told = shop.towpath(0, &["mask", "approve", "--json"]).stdout;
    let told: Value = serde_json::from_str(told.trim()).expect("what was approved");
    assert_eq!(
        (&told["type"], &told["looks_personal"]),
        (&"mask-approved".into(), &0.into())
    );
    let lock = shop.project.path().join("towpath.clone.lock");
    let approved = std::fs::read_to_string(&lock).expect("a lock");
    let written = ["[tables.\"public.logs\"]", "\"app_version\" = \"text\""];
    says(&approved, &written);
    assert!(!approved.contains("visits_1"), "{approved}");
    assert!(!approved.contains(MARK), "{approved}");
    shop.check(0, &["--strict"]);

    // The next day: a partition more is nothing new; a column is, and so is another type.
    shop.source(
        "create table public.visits_3 partition of public.visits
             for values from ('2026-03-01') to ('2026-04-01');
         insert into public.visits values (1, '2026-03-02', null);
         alter table public.logs add shoe_size int;
         alter table public.logs alter app_version type varchar(9);",
    );
    let changed = [
        "2 columns are neither masked nor allowed",
        "public.logs.shoe_size is not approved: it was not there when the masks were approved",
        "public.logs.app_version is not approved: it was of type text",
    ];
    says(&shop.check(10, &[]).stderr, &changed);

    a_difference_shows_what_comes_and_hides_what_was(shop);
}

fn a_difference_shows_what_comes_and_hides_what_was(shop: Shop) {
    shop.rules(
        "[[mask]]\ntable = \"customers\"\ncolumn = \"e_mail\"\nwith = \"fake-email\"\nunique = true\n\
         [[mask]]\ntable = \"customers\"\ncolumn = \"nick\"\nwith = \"null\"\n\
         [[mask]]\ntable = \"customers\"\ncolumn = \"full_name\"\nwith = \"fake-name\"\n\
         when = { column = \"is_email\", is_not = [false] }\n",
    );
    let no_key = shop.towpath(2, &["mask", "diff"]);
    says(&no_key.stderr, &["TOWPATH_MASK_KEY"]);
    let keyed = Shop {
        project: shop
            .project
            .with("TOWPATH_MASK_KEY", "a key that nobody guesses"),
        ..shop
    };
    let stored = keyed.project.store_files();
    let hidden = keyed.towpath(0, &["mask", "diff", "cust*", "--rows", "3"]);
    let seen = [
        "public.customers, 3 rows",
        "@example.",
        "NULL (was a value)",
        "hidden (spared by the condition)",
    ];
    says(&hidden.stdout, &seen);
    assert!(!hidden.stdout.contains(MARK), "{hidden}");
    let shown = keyed.towpath(
        0,
        &["mask", "diff", "--rows", "3", "--json", "--show-before"],
    );
    says(
        &shown.stdout,
        &["zqx1@example.com", "\"became\":\"spared\""],
    );
    assert_eq!(shown.stdout.lines().count(), 3, "{shown}");
    assert_eq!(keyed.project.store_files(), stored);
}
