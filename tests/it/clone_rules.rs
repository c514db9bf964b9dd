//! Rules of clones that the database would not bear: refused before anything is copied, all at once.

use serde_json::json;
use towpath_tests::pg::psql;
use towpath_tests::process::Finished;
use towpath_tests::sample::Site;
use towpath_tests::{MiniStack, Project, aws_state, pair, project};

const KEY: &str = "sixteen letters or more";

/// The plan of a clone, with all that can be said of it.
const PLAN: [&str; 7] = [
    "clone",
    "--to",
    "staging",
    "--dry-run",
    "--rules",
    "rules.toml",
    "-vv",
];

const SCHEMA: &str = r#"
create schema "App (1)" authorization postgres;
create domain public.country as text check (value in ('DE', 'AT', 'zqx'));
create type public.pair as (a int, b text);
create table public.accounts (
    id int primary key,
    login text not null,
    nick varchar(12),
    home public.country,
    born date,
    joined date,
    level text,
    pair public.pair,
    slot int4range,
    shout text generated always as (upper(login)) stored,
    ok bool not null default true,
    constraint "Joined (grown up)" check (joined >= born + 6000),
    exclude using gist (slot with &&)
);
create unique index on public.accounts (lower(login));
create table "App (1)"."odd, "" table" (
    "a ""b"", c" int primary key references public.accounts (id) on update cascade,
    country text check (country in ('DE', 'AT', 'zqx'))
);
create table public.logins (
    at date not null, who text not null, account int references public.accounts
) partition by range (at);
create table public.logins_1 partition of public.logins default;
insert into public.accounts (id, login, nick, home, born, joined, level, pair, slot)
select i, 'zqx' || i, 'n' || i, 'zqx', date '1980-01-01' + i, date '2010-01-01' + i, 'lead', row(i, null)::public.pair, int4range(i, i + 1)
from generate_series(1, 300) as i;
-- What original rows break says nothing about masks.
alter table public.accounts add constraint level_check check (level = 'gold') not valid;
insert into "App (1)"."odd, "" table" select i, 'zqx' from generate_series(1, 300) as i;
insert into public.logins select date '2026-01-01', 'zqx', 1 from generate_series(1, 5) as i;
"#;

#[test]
fn rules_that_the_database_would_not_bear_are_refused_at_once_and_before_anything_is_copied() {
    let pair = pair();
    let site = Site::fresh(&pair, "bear");
    psql(
        &site.source_superuser,
        &format!("set role postgres; {SCHEMA}"),
    );
    let project = site.project(project!(&pair)).with("TOWPATH_MASK_KEY", KEY);
    let clone = |code: i32, rules: &[(&str, &str, &str)]| -> Finished {
        let masks: String = rules
            .iter()
            .map(|(table, column, with)| {
                format!("[[mask]]\ntable = '{table}'\ncolumn = '{column}'\nwith = {with}\n")
            })
            .collect();
        let allow = "[[allow]]\ntable = \"*.*\"\ncolumn = \"*\"\n";
        let path = project.path().join("rules.toml");
        std::fs::write(path, format!("version = 1\n{masks}{allow}")).expect("write rules");
        let end = project.expect(code, &PLAN);
        assert!(!end.stderr.contains("zqx"), "a value was told:\n{end}");
        end
    };

    // What the catalog tells.
    let end = clone(
        10,
        &[
            (
                "accounts",
                "id",
                "\"format-preserving\"\nwhen = { column = \"ok\", is = true }",
            ),
            ("accounts", "login", "\"fake-username\""),
            ("accounts", "slot", "\"null\""),
            ("accounts", "born", "\"redact\""),
            ("logins", "at", "\"date-shift\"\nmax_days = 3"),
            ("logins", "who", "\"null\""),
            ("accounts", "shout", "\"redact\""),
        ],
    );
    for why in [
        "public.accounts.id is masked only by a condition",
        "accounts_lower_idx needs distinct values; add unique = true",
        "accounts_slot_excl may not hold",
        "redact does not fit type date",
        "in which partition a row is",
        "public.logins_1.who, null by mask 6 of rules.toml: the column takes no NULL",
    ] {
        assert!(end.stderr.contains(why), "{why}\n{end}");
    }

    // What only a sample does: domains, checks of several columns, names that want quotes.
    let end = clone(
        10,
        &[
            ("accounts", "home", "\"fake-city\""),
            ("accounts", "nick", "\"format-preserving\""),
            ("accounts", "born", "\"date-shift\"\nmax_days = 20000"),
            ("accounts", "level", "\"fake-city\""),
            ("accounts", "pair", "\"constant\"\nvalue = \"(1)\""),
            ("App (1).odd*", "country", "\"redact\""),
        ],
    );
    for why in [
        "public.accounts: masked rows of a sample break check country_check (home by mask 1 of rules.toml)",
        "break check \"Joined (grown up)\" (born by mask 3 of rules.toml)",
        "public.accounts.pair, by mask 5 of rules.toml: masked values of a sample are none of type",
        "\"App (1)\".\"odd, \"\" table\": masked rows of a sample break check",
    ] {
        assert!(end.stderr.contains(why), "{why}\n{end}");
    }
    for bearable in ["level_check", "nick"] {
        assert!(!end.stderr.contains(&format!("{bearable} (")), "{end}");
    }

    // And what it bears.
    let end = clone(
        0,
        &[
            ("accounts", "id", "\"format-preserving\""),
            ("accounts", "home", "\"constant\"\nvalue = \"DE\""),
            ("accounts", "born", "\"date-shift\"\nmax_days = 30"),
            ("accounts", "login", "\"fake-username\"\nunique = true"),
            ("accounts", "pair", "\"null\""),
            ("accounts", "gone", "\"null\""),
        ],
    );
    for said in [
        "format-preserving  foreign key \"odd, \"\" table_a",
        "mask 6 of rules.toml matches no column",
        "masks: 7 columns under key",
    ] {
        assert!(end.stderr.contains(said), "{said}\n{end}");
    }
    let made = psql(
        &pair.target.cluster.superuser_url("postgres"),
        "select count(*) from pg_database where datname ~ 'towpath|staging'",
    );
    assert_eq!(made, "0");

    // Of a sealed run every row goes, those of tables that rules leave empty among them.
    let rules = "[[subset.table]]\ntable = \"accounts\"\nrows = \"none\"\n";
    std::fs::write(project.path().join("some.toml"), rules).expect("write rules");
    let from = ["--from", "20260101-00000000", "--rules", "some.toml"];
    let refused = project.expect(2, &[&["clone", "--to", "staging"][..], &from].concat());
    assert!(
        refused.stderr.contains("no subset of a sealed run"),
        "{refused}"
    );
    the_key_may_be_named_in_place_of_told(project, &end);
}

fn the_key_may_be_named_in_place_of_told(project: Project, told: &Finished) {
    let aws = MiniStack::start();
    let arn = aws.aws().create_secret("masks/staging", KEY);
    let parameter = json!({"Name": "/masks/staging", "Value": KEY, "Type": "SecureString"});
    let put = aws_state::call(&aws.url(), "AmazonSSM.PutParameter", &parameter);
    assert_eq!(put["Version"], 1, "{put}");
    let is_masks = |line: &&str| line.starts_with("masks: ");
    let masks = |end: &Finished| end.stderr.lines().find(is_masks).map(str::to_owned);
    let mut project = project.with_all(&aws.env()).with("TOWPATH_MASK_KEY", "");
    let (secret, parameter) = (
        "TOWPATH_MASK_KEY_SECRET_ID",
        "TOWPATH_MASK_KEY_PARAMETER_NAME",
    );
    for (of_secret, of_parameter, code) in [
        (arn.as_str(), "", 0),
        ("", "/masks/staging", 0),
        // Who puts the key itself there has told nobody.
        (KEY, "", 2),
        ("", KEY, 2),
        (&arn, "/masks/staging", 2),
    ] {
        project = project
            .with(secret, of_secret)
            .with(parameter, of_parameter);
        let end = project.expect(code, &PLAN);
        assert!(
            !end.stderr.contains(KEY) && !end.stdout.contains(KEY),
            "{end}"
        );
        match code {
            0 => assert_eq!(masks(&end), masks(told), "{end}"),
            _ => assert!(end.stderr.contains("clone.key_"), "{end}"),
        }
    }
}
