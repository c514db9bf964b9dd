//! Values near the largest that a server takes.

use std::time::Duration;

use towpath_tests::pg::psql;
use towpath_tests::sample::Site;
use towpath_tests::{Finished, Pair, Project, pair, project};

const MIB: u64 = 1 << 20;

/// An expression of so many MiB, the hash of it on either side, and the form it travels in.
struct Large {
    kind: &'static str,
    mib: u64,
    format: &'static str,
}

impl Large {
    fn value(&self) -> String {
        let bytes = self.mib * MIB;
        match self.kind {
            "text" => format!("repeat(E'quote \" \\n', {})", bytes / 9),
            // The text that it is made of may not pass 1 GB either.
            "bytea" => {
                let half = format!("decode(repeat('00ff5c0a', {}), 'hex')", bytes / 8);
                format!("{half} || {half}")
            }
            _ => format!("to_jsonb(repeat('long ', {}))", bytes / 5),
        }
    }

    fn hash(&self) -> &'static str {
        match self.kind {
            "jsonb" => "md5(v::text)",
            _ => "md5(v)",
        }
    }

    fn begin(&self, pair: &Pair) -> (Site, Project) {
        let Self { kind, mib, format } = self;
        let site = Site::fresh(pair, &format!("large_{kind}_{mib}_{format}"));
        psql(
            &site.source,
            &format!(
                "create schema large;
                 create table large.one (id integer, v {kind});
                 alter table large.one alter v set storage external;
                 insert into large.one values (0, null), (1, {}), (2, null)",
                self.value()
            ),
        );
        let project = site.project(project!(pair));
        (site, project.with("TOWPATH_COPY_FORMAT", format))
    }

    fn assert_arrives(&self, pair: &Pair) {
        let (site, project) = self.begin(pair);
        run(&project, &["run", "--yes"]).expect_code(0);
        let held = format!("select id, {} from large.one order by id", self.hash());
        assert_eq!(psql(&site.source, &held), psql(&site.target, &held));
        let proof = run(&project, &["verify", "--rows"]).expect_code(0);
        assert!(proof.stdout.contains("no difference"), "{proof}");
    }
}

fn run(project: &Project, arguments: &[&str]) -> Finished {
    project
        .towpath(arguments)
        .timeout(Duration::from_mins(20))
        .run()
}

#[test]
fn values_of_hundreds_of_megabytes_arrive() {
    let pair = pair();
    let full = std::env::var_os("TOWPATH_TEST_FULL").is_some();
    let of = |kind, mib, format| Large { kind, mib, format };
    if !full {
        return of("bytea", 20, "csv").assert_arrives(&pair);
    }
    for large in [
        of("text", 200, "auto"),
        of("text", 200, "csv"),
        of("bytea", 200, "auto"),
        of("bytea", 200, "csv"),
        of("jsonb", 200, "auto"),
        of("text", 600, "auto"),
    ] {
        large.assert_arrives(&pair);
    }
    // In hex it passes what a server can put together.
    let (site, project) = of("bytea", 600, "csv").begin(&pair);
    let end = run(&project, &["run", "--yes"]).expect_code(1);
    assert!(end.stderr.contains("larger than 1 GB in the form"), "{end}");
    let loaded = psql(&site.target, "select count(*) from large.one");
    assert_eq!(loaded, "0", "{end}");
}

#[test]
fn an_index_by_its_regclass_is_refused_with_the_reason() {
    let pair = pair();
    let site = Site::fresh(&pair, "names_an_index");
    psql(
        &site.source,
        "create table public.named (id integer primary key, what regclass);
         insert into public.named values (1, 'public.named'), (2, 'public.named_pkey')",
    );
    let project = site.project(project!(&pair));
    let end = project.expect(1, &["run", "--yes"]);
    assert!(end.stderr.contains("of type regclass"), "{end}");
    // A chunk is loaded whole or not at all.
    let loaded = psql(&site.target, "select count(*) from public.named");
    assert_eq!(loaded, "0", "{end}");
}
