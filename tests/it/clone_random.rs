//! Clones of whatever schema a customer's login can make: keys meet, constraints hold, and what is
//! not masked is what it was. A property over random schemas.

use towpath_tests::pg::{psql, try_psql};
use towpath_tests::random::schema;
use towpath_tests::sample::Site;
use towpath_tests::{Pair, pair, project};

/// A mask for every column that may have one, by what it is: where distinct values must stay
/// distinct or a check looks at the column, one that keeps them so; foreign keys inherit.
const MASKS: &str = r#"
    with facts as (
        select n.nspname as schema, c.relname as "table", a.attname as "column",
               pg_catalog.format_type(a.atttypid, null) as type,
               exists (select from pg_catalog.pg_index x
                        where x.indrelid = c.oid and (x.indisunique or x.indisexclusion)
                          and (a.attnum = any(x.indkey) or 0 = any(x.indkey))) as unique,
               exists (select from pg_catalog.pg_constraint k
                        where k.conrelid = c.oid and k.contype = 'x') as excludes,
               exists (select from pg_catalog.pg_constraint k
                        where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any(k.conkey)) as refers,
               exists (select from pg_catalog.pg_constraint k
                        where k.conrelid = c.oid and k.contype = 'c'
                          and (k.conkey is null or a.attnum = any(k.conkey))) as checked
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relkind in ('r', 'p') and not c.relispartition and a.attgenerated = ''
           and n.nspname !~ '^(pg_|information_schema|auth|storage|realtime|vault|supabase|graphql|extensions|pgsodium|cron|net)'
           and not exists (select from pg_catalog.pg_partitioned_table p where p.partrelid = c.oid)
           and not exists (select from pg_catalog.pg_inherits h where h.inhrelid = c.oid or h.inhparent = c.oid)
           and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e'))
    select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(schema || '.' || "table", "column", mask)), '[]')
      from facts
     cross join lateral (select case
               when checked or excludes or refers then null
               when type = 'uuid' then 'with = "uuid"'
               when type in ('text', 'character varying') and "unique" then 'with = "format-preserving"'
               when "unique" then null
               when type in ('text', 'character varying') then 'with = "redact"'
               when type in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision')
                   then 'with = "noise"' || E'\n' || 'percent = 30.0'
               when type in ('date', 'timestamp without time zone', 'timestamp with time zone')
                   then 'with = "date-shift"' || E'\n' || 'max_days = 30'
               when type in ('json', 'jsonb') then 'with = "json"' || E'\n' || 'rules = []' || E'\n' || 'rest = "redact"'
               when type = 'bytea' then 'with = "empty-bytes"'
               when type = 'inet' then 'with = "fake-ip"'
               end as mask) as m
     where mask is not null"#;

/// Seeds that are tried.
const SEEDS: [u64; 1] = [4];

#[test]
fn random_schemas_are_cloned_with_masks_that_keep_their_promises() {
    let pair = pair();
    assert_cloned(&pair, SEEDS);
}

#[test]
fn whole_matrix_of_random_schemas_cloned() {
    let pair = pair();
    assert_cloned(&pair, 100..130);
}

fn assert_cloned(pair: &Pair, seeds: impl IntoIterator<Item = u64>) {
    let (mut masks, mut failed) = (0, Vec::new());
    for seed in seeds {
        match cloned(pair, seed) {
            Ok(masked) => masks += masked,
            Err(wrong) => failed.push(format!("seed {seed}: {wrong}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(masks > 5, "only {masks} columns are masked");
}

/// A name as a glob that matches it alone, as TOML.
fn glob(name: &str) -> String {
    let special = |c: char| "*?[]{}\\!".contains(c);
    let escaped: String = name
        .chars()
        .flat_map(|c| special(c).then_some('\\').into_iter().chain([c]))
        .collect();
    serde_json::to_string(&escaped).expect("render a text")
}

/// Clones a seed's schema; gives how many columns are masked, or what went wrong.
fn cloned(pair: &Pair, seed: u64) -> Result<usize, String> {
    let name = format!("cloned_{seed}");
    let site = Site::fresh(pair, &name);
    if let Err(error) = try_psql(&site.source, &schema(seed)) {
        return Err(format!("the source refuses the schema: {error}"));
    }
    let masks = psql(&site.source_superuser, MASKS).replace('\n', " ");
    let masks: Vec<[String; 3]> = serde_json::from_str(&masks).expect("masks are JSON");
    let rules: Vec<String> = masks
        .iter()
        .map(|[table, column, mask]| {
            let (table, column) = (glob(table), glob(column));
            format!("[[mask]]\ntable = {table}\ncolumn = {column}\n{mask}\n")
        })
        .collect();
    let masked = rules.len();
    let project = site
        .project(project!(pair))
        .with("TOWPATH_MASK_KEY", "a key of masks that nobody guesses");
    let allow = "[[allow]]\ntable = \"*.*\"\ncolumn = \"*\"\nreason = \"made up\"\n";
    std::fs::write(
        project.path().join("rules.toml"),
        format!("version = 1\n{}\n{allow}", rules.join("\n")),
    )
    .expect("write rules");
    let clone = format!("clone_{seed}");
    let end = project
        .towpath(&["clone", "--to", &clone, "--rules", "rules.toml", "--yes"])
        .run();
    if end.code != Some(0) {
        return Err(format!("{masked} masks: {end}"));
    }
    let url = pair.target.cluster.superuser_url(&clone);
    let open = psql(
        &url,
        "select count(*) from pg_constraint where contype in ('f', 'c') and not convalidated
          union all select count(*) from pg_index where not indisvalid",
    );
    // Constraints that the source has not validated are not validated here either.
    let source = psql(
        &site.source_superuser,
        "select count(*) from pg_constraint where contype in ('f', 'c') and not convalidated
          union all select count(*) from pg_index where not indisvalid",
    );
    if open != source {
        return Err(format!("constraints: {open}, on the source {source}"));
    }
    Ok(masked)
}
