//! Clones, end to end: masked, a subset, proven, swapped in, and again the next day.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use towpath_tests::pg::{MASTER_PASSWORD, psql, try_psql};
use towpath_tests::process::Finished;
use towpath_tests::sample::{Site, fixture};
use towpath_tests::{Pair, Project, pair, project};

const KEY: &str = "a key of masks that nobody guesses";

/// What every original of the fixture holds, as texts; people's ids hold bytes.
const MARKS: [&str; 2] = ["zqxorig", "471199"];
const MARK_OF_IDS: &str = r"\xfe\xed\xc0\xde";

struct Clinic {
    pair: Pair,
    site: Site,
    project: Project,
}

impl Clinic {
    fn new() -> Self {
        let pair = pair();
        let site = Site::fresh(&pair, "clinic");
        psql(&site.source_superuser, &fixture("clone/clinic.sql"));
        let project = site
            .project(project!(&pair))
            .with("TOWPATH_MASK_KEY", KEY)
            .with("TOWPATH_CODEC", "none");
        let clinic = Self {
            pair,
            site,
            project,
        };
        clinic.rules(&fixture("clone/rules.toml"));
        clinic
    }

    fn rules(&self, text: &str) {
        std::fs::write(self.project.path().join("rules.toml"), text).expect("write rules");
    }

    fn clone(&self, code: i32, name: &str, more: &[&str]) -> Finished {
        let arguments = [
            &[
                "clone",
                "--to",
                name,
                "--rules",
                "rules.toml",
                "--yes",
                "-vv",
            ][..],
            more,
        ];
        self.project.expect(code, &arguments.concat())
    }

    /// A database of the target's server, as its master and as superuser.
    fn url(&self, database: &str) -> String {
        let master = &self.pair.target.shape().master;
        self.pair.target.url_as(master, MASTER_PASSWORD, database)
    }

    fn ask(&self, database: &str, sql: &str) -> String {
        psql(&self.pair.target.cluster.superuser_url(database), sql)
    }

    fn source(&self, sql: &str) -> String {
        psql(&self.site.source_superuser, sql)
    }

    /// Rows of the clone that hold a mark, for who has to find out why.
    fn rows_with_marks(&self) -> String {
        let tables =
            towpath_tests::oracle::user_tables(&self.pair.target.cluster.superuser_url("staging"));
        let found = tables.iter().map(|table| {
            self.ask(
                "staging",
                &format!(
                    "select coalesce(string_agg('{table} ' || t::text, E'\n'), '')
                       from (select * from {table} t where t::text ~* 'zqxorig|471199' limit 2) t"
                ),
            )
        });
        found.collect::<Vec<_>>().join("\n")
    }

    /// The marks of originals in every file of the run store, of the target's server and of the
    /// project, and in what was printed.
    fn hunt(&self, ends: &[&Finished]) {
        self.ask("clinic", "checkpoint");
        for place in [
            self.pair.target.cluster.socket_dir(),
            &self.project.path().join(".towpath"),
        ] {
            let found = grep(place, &MARKS, &[]);
            let rows = || self.rows_with_marks();
            assert!(found.is_empty(), "originals in {found:#?}: {}", rows());
            let found = grep(place, &[MARK_OF_IDS], &["-P"]);
            assert!(found.is_empty(), "ids of people in {found:#?}");
        }
        for end in ends {
            let said = format!("{}{}", end.stdout, end.stderr).to_lowercase();
            for mark in MARKS.into_iter().chain(["feedc0de"]) {
                assert!(!said.contains(mark), "{mark} was printed:\n{end}");
            }
        }
    }
}

/// Files below a place that hold one of the patterns.
fn grep(place: &Path, patterns: &[&str], options: &[&str]) -> Vec<String> {
    let mut command = Command::new("grep");
    command.env("LC_ALL", "C").args(["-rlai"]).args(options);
    if options.is_empty() {
        command.arg("-F");
    }
    for pattern in patterns {
        command.args(["-e", pattern]);
    }
    let output = command.arg(place).output().expect("start grep");
    let found = String::from_utf8_lossy(&output.stdout);
    found.lines().map(str::to_owned).collect()
}

/// Rows of a clone that belong together, whatever the masks made of them.
fn assert_whole(clinic: &Clinic, name: &str) {
    let open = clinic.ask(
        name,
        "select count(*) from pg_constraint where contype in ('f', 'c') and not convalidated",
    );
    assert_eq!(open, "0", "constraints are not validated");
    for (what, sql) in [
        (
            "remarks lead nowhere",
            "select count(*) from public.remarks r where subject_type = 'patient'
               and not exists (select from public.patients p where p.id::text = r.subject_id)",
        ),
        (
            "mails of one person differ",
            "select count(*) from public.audit a
              where not exists (select from public.profiles p where p.email = a.actor_mail)",
        ),
        (
            "scrubbed notes do not name the row's own mask",
            "select count(*) from public.patients where notes like '%agreed%'
               and position(\"Last Name\" in notes) = 0 and email is not null",
        ),
        (
            "somebody died before they were born",
            "select count(*) from public.patients where died < born",
        ),
    ] {
        assert_eq!(clinic.ask(name, sql), "0", "{what}");
    }
}

#[test]
fn a_masked_subset_serves_and_holds_no_original_and_the_next_day_another_takes_its_place() {
    let clinic = Clinic::new();
    let subset = ["--root", "public.practices", "--limit", "6"];
    let first = clinic.clone(0, "staging", &subset);
    clinic.hunt(&[&first]);
    assert_whole(&clinic, "staging");

    // A subset, and closed.
    let counted = clinic.ask(
        "staging",
        "select (select count(*) from public.practices) || ' ' ||
                (select count(*) > 0 and count(*) < 1500 from public.patients) || ' ' ||
                (select count(*) > 0 from public.visits) || ' ' ||
                (select count(*) from public.codes)",
    );
    let practices: u32 = counted
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a number");
    // Patients are referred by those of other practices, and bring these along, but not all.
    assert!((6..12).contains(&practices), "{counted}");
    assert!(counted.contains(" true true "), "{counted}");

    // The application's queries, with policies: who they were sees what they saw, masked.
    let somebody = clinic.ask(
        "staging",
        "select m.profile_id || ' ' || m.practice_id || ' ' ||
                (select count(*) from public.patients p where p.practice_id = m.practice_id)
           from public.members m order by 1 limit 1",
    );
    let [id, practice, patients] = *somebody.split(' ').collect::<Vec<_>>() else {
        panic!("{somebody}");
    };
    let superuser = clinic.pair.target.cluster.superuser_url("staging");
    let seen = psql(
        &superuser,
        &format!(
            "begin;
             select set_config('request.jwt.claims', '{{\"sub\": \"{id}\", \"role\": \"authenticated\"}}', true);
             set local role authenticated;
             select (select count(*) from public.patients) || ' '
                    || (select count(*) from public.open_accounts)
                    || ' ' || (select count(*) from public.profiles);
             rollback"
        ),
    );
    let seen = seen.lines().last().expect("counts are told");
    assert!(
        seen.starts_with(&format!("{patients} ")) && seen.ends_with(" 1"),
        "{seen} of {patients}"
    );
    let of_source = clinic.source(&format!(
        "select count(*) from public.patients where practice_id = {practice}"
    ));
    assert_eq!(
        of_source, patients,
        "a practice came without some of its patients"
    );

    // The next day: rows change, a column comes, a table goes.
    clinic.source(
        "set role postgres;
         update public.patients set notes = 'new: p8@zqxorig-mail.de' where id::text like '%8';
         delete from public.lines where invoice % 10 = 0 and pos = 3;
         alter table public.patients add column nickname text;
         update public.patients set nickname = 'Zqxorignick ' || left(id::text, 3);
         drop table public.audit;",
    );
    // What the rules name must be there, what they do not know stops it, and the first one serves on.
    let rules = fixture("clone/rules.toml");
    let (rules, of_audit) = rules
        .rsplit_once("[[reference]]")
        .expect("the last reference is that of the audit");
    assert!(of_audit.contains("public.audit"), "{of_audit}");
    let refused = clinic.clone(10, "staging", &subset);
    assert!(
        refused.stderr.contains("there is no table public.audit"),
        "{refused}"
    );
    clinic.rules(rules);
    let refused = clinic.clone(10, "staging", &subset);
    assert!(refused.stderr.contains("nickname"), "{refused}");
    assert!(
        !refused.stderr.to_lowercase().contains("zqxorig"),
        "{refused}"
    );
    assert_whole(&clinic, "staging");

    clinic.rules(&format!(
        "{rules}\n[[mask]]\ncolumn = \"nickname\"\nwith = \"hash\"\ndigits = 8\n"
    ));
    let mark = |end: &Finished| end.stdout.clone();
    let second = clinic.clone(0, "staging", &subset);
    assert_ne!(mark(&first), mark(&second));
    clinic.hunt(&[&second]);
    let gone = try_psql(&superuser, "select from public.audit");
    assert!(gone.is_err(), "a dropped table is there");

    // The same key gives the same masks, and another one others.
    let kept: Value = serde_json::from_str(
        clinic
            .project
            .expect(0, &["clones", "--json"])
            .stdout
            .lines()
            .last()
            .expect("something is printed"),
    )
    .expect("clones are told as JSON");
    let names: Vec<&str> = kept["clones"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|clone| clone["database"].as_str().expect("a database"))
        .collect();
    assert_eq!(names.len(), 2, "{kept}");
    let before = *names
        .iter()
        .find(|name| **name != "staging")
        .expect("one is kept");
    let people = "select string_agg(id || coalesce(first_name, '-') || email || insurance_no, ' ' order by id)
                    from public.patients where email is not null";
    assert_eq!(clinic.ask(before, people), clinic.ask("staging", people));
    let other = Clinic {
        project: clinic
            .site
            .project(project!(&clinic.pair))
            .with("TOWPATH_MASK_KEY", "another key, as long as it must be"),
        pair: clinic.pair,
        site: clinic.site,
    };
    std::fs::copy(
        clinic.project.path().join("rules.toml"),
        other.project.path().join("rules.toml"),
    )
    .expect("copy rules");
    other.clone(0, "other", &subset);
    let ids = "select string_agg(id::text, ' ' order by id) from public.patients";
    let (one, two) = (other.ask("staging", ids), other.ask("other", ids));
    assert_eq!(one.len(), two.len());
    assert!(
        one.split(' ').all(|id| !two.contains(id)),
        "masks do not depend on the key"
    );
    assert!(try_psql(&other.url("other"), "select 1").is_ok());
}
