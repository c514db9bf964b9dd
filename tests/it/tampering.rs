//! Whatever is tampered with is found by `verify`, and named.

use std::path::PathBuf;

use towpath_tests::{Pair, Project, pair, project};

struct Loaded {
    pair: Pair,
    project: Project,
}

fn loaded() -> Loaded {
    let pair = pair();
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    Loaded { pair, project }
}

impl Loaded {
    /// Verifies and expects a difference that is told with all of these words.
    fn assert_found(&self, arguments: &[&str], words: &[&str]) {
        let end = self.project.expect(12, arguments);
        for word in words {
            assert!(end.stdout.contains(word), "{word:?} is not told:\n{end}");
        }
    }

    fn assert_clean(&self) {
        self.project.expect(0, &["verify"]);
    }

    fn a_chunk(&self) -> PathBuf {
        let manifest = self.project.document("manifest.json");
        let key = manifest["tables"][0]["chunks"][0]["key"]
            .as_str()
            .expect("a key")
            .to_owned();
        self.project.run_folder().join(key)
    }
}

#[test]
fn a_bit_flipped_in_a_stored_chunk_is_found() {
    let loaded = loaded();
    let path = loaded.a_chunk();
    let sound = std::fs::read(&path).expect("read a chunk");
    for at in [0, sound.len() / 2, sound.len() - 1] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("damage a chunk");
        loaded.assert_found(&["verify", "--chunks"], &["stored bytes differ"]);
    }
    std::fs::write(&path, &sound).expect("mend the chunk");
    loaded.assert_clean();
}

#[test]
fn chunks_missing_cut_or_swapped_are_found() {
    let loaded = loaded();
    let path = loaded.a_chunk();
    let sound = std::fs::read(&path).expect("read a chunk");
    std::fs::write(&path, &sound[..sound.len() - 1]).expect("cut");
    loaded.assert_found(&["verify", "--chunks"], &["stored bytes differ"]);
    std::fs::remove_file(&path).expect("remove");
    loaded.assert_found(&["verify", "--chunks"], &["is missing"]);
    // A sound chunk of another table in its place.
    let manifest = loaded.project.document("manifest.json");
    let other = manifest["tables"][1]["chunks"][0]["key"]
        .as_str()
        .expect("a key");
    std::fs::copy(loaded.project.run_folder().join(other), &path).expect("swap");
    loaded.assert_found(&["verify", "--chunks"], &["stored bytes differ"]);
}

#[test]
fn a_changed_row_is_found_by_its_key() {
    let loaded = loaded();
    let id = loaded
        .pair
        .target
        .psql_superuser("select id from public.documents order by id limit 1");
    loaded.pair.target.psql_superuser(&format!(
        "set session_replication_role = replica; update public.documents set title = title || ' ' where id = '{id}'"
    ));
    loaded.assert_found(&["verify", "--rows"], &["public.documents", "changed", &id]);
}

#[test]
fn a_deleted_row_is_found_by_its_key() {
    let loaded = loaded();
    let id = loaded
        .pair
        .target
        .psql_superuser("select id from public.documents order by id limit 1");
    loaded.pair.target.psql_superuser(&format!(
        "set session_replication_role = replica; delete from public.documents where id = '{id}'"
    ));
    loaded.assert_found(&["verify", "--rows"], &["public.documents", "missing", &id]);
}

/// A table beyond 64 MiB is read in pieces. Every piece counts, and rows beyond the last page that
/// there was when it was cut are in the last one.
#[test]
fn rows_in_any_piece_of_a_big_table_are_found() {
    let pair = pair();
    pair.source.psql(
        "create table public.big (id integer primary key, filler char(7000) not null);
         alter table public.big alter filler set storage plain;
         insert into public.big select n, n::text from generate_series(1, 17000) n;
         alter table public.big enable row level security",
    );
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let loaded = Loaded { pair, project };
    let pages = "select pg_relation_size('public.big') / 8192 > 2 * 8192";
    assert_eq!(loaded.pair.target.psql_superuser(pages), "t");
    for (id, tampering, told) in [
        (
            1,
            "update public.big set filler = 'x' where id = 1",
            "changed",
        ),
        (
            9000,
            "update public.big set filler = 'x' where id = 9000",
            "changed",
        ),
        (16999, "delete from public.big where id = 16999", "missing"),
        (17001, "insert into public.big values (17001, '')", "extra"),
    ] {
        loaded.pair.target.psql_superuser(tampering);
        loaded.assert_found(
            &["verify", "--rows"],
            &["public.big", told, &format!("id={id}")],
        );
    }
}

#[test]
fn a_doubled_row_is_found_also_without_a_key() {
    let loaded = loaded();
    let doubled = "insert into public.no_pk select * from public.no_pk limit 1";
    loaded.pair.target.psql_superuser(&format!(
        "set session_replication_role = replica; {doubled}"
    ));
    loaded.assert_found(&["verify", "--rows"], &["public.no_pk", "duplicated"]);
}

#[test]
fn a_null_turned_into_an_empty_text_is_found() {
    let loaded = loaded();
    // In a table that travels in binary and in one that travels as CSV.
    let nulls = "select format('%I.%I|%I', table_schema, table_name, column_name)
        from information_schema.columns c
        where is_nullable = 'YES' and data_type = 'text' and is_generated = 'NEVER'
          and table_schema = 'public'
          and exists (select from pg_class r where r.oid = format('%I.%I', table_schema, table_name)::regclass and r.relkind = 'r')
        order by 1";
    let mut turned = 0;
    for line in loaded.pair.target.psql_superuser(nulls).lines() {
        let (table, column) = line.split_once('|').expect("two parts");
        let any = format!("select count(*) from {table} where {column} is null");
        if loaded.pair.target.psql_superuser(&any) == "0" {
            continue;
        }
        let turn = format!(
            "set session_replication_role = replica;
             update {table} set {column} = '' where ctid = (select ctid from {table} where {column} is null limit 1)"
        );
        if towpath_tests::pg::try_psql(&loaded.pair.target.cluster.superuser_url("app"), &turn)
            .is_ok()
        {
            let bare = table.trim_start_matches("public.").trim_matches('"');
            loaded.assert_found(&["verify", "--rows"], &[bare]);
            turned += 1;
        }
        if turned == 3 {
            break;
        }
    }
    assert!(turned > 0, "no NULL could be turned into an empty text");
}

#[test]
fn sequences_and_structure_are_compared() {
    let loaded = loaded();
    let superuser = |sql: &str| loaded.pair.target.psql_superuser(sql);
    superuser("select setval('public.invoice_no', 1, false)");
    loaded.assert_found(&["verify", "--sequences"], &["invoice_no"]);

    let policy = superuser(
        "select format('%I on %I.%I', polname, n.nspname, c.relname)
           from pg_policy p join pg_class c on c.oid = p.polrelid
           join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'public' order by 1 limit 1",
    );
    superuser(&format!("drop policy {policy}"));
    loaded.assert_found(&["verify", "--schema"], &["policy", "is missing"]);
}

#[test]
fn grants_indexes_and_function_bodies_are_compared() {
    let loaded = loaded();
    let superuser = |sql: &str| loaded.pair.target.psql_superuser(sql);
    superuser("grant select on public.no_pk to public");
    loaded.assert_found(&["verify", "--schema"], &["no_pk", "differs in grants"]);
    superuser("revoke select on public.no_pk from public");
    superuser("alter table public.team_members disable row level security");
    loaded.assert_found(&["verify", "--schema"], &["team_members", "row_security"]);
}

#[test]
fn an_edited_manifest_is_refused() {
    let loaded = loaded();
    let path = loaded.project.run_folder().join("manifest.json");
    let text = std::fs::read_to_string(&path).expect("read the manifest");
    let root = loaded.project.document("manifest.json")["root"]
        .as_str()
        .expect("root")
        .to_owned();
    loaded
        .project
        .expect(0, &["verify", "--chunks", "--expect-manifest", &root]);
    let other = "0".repeat(64);
    let end = loaded
        .project
        .expect(12, &["verify", "--chunks", "--expect-manifest", &other]);
    assert!(end.stderr.contains("was demanded"), "{end}");

    let edited = text.replacen("\"rows\": ", "\"rows\": 1", 1);
    assert_ne!(text, edited);
    std::fs::write(&path, edited).expect("edit the manifest");
    for command in [&["verify"][..], &["run", "--yes"], &["cutover"]] {
        if command == ["cutover"] {
            continue;
        }
        let end = loaded.project.expect(12, command);
        assert!(end.stderr.contains("own root hash"), "{end}");
        assert!(end.stderr.contains("manifest.json"), "{end}");
    }
}
