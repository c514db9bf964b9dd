//! What a verification leaves behind: a chain of custody, signed, that stands without any database.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use towpath_model::manifest::Manifest;
use towpath_tests::{Project, pair, project};

/// The key of RFC 8032, section 7.1, test 1, as `openssl genpkey -algorithm ed25519` writes one.
pub const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// Nothing listens there, and nothing is stored there.
const NOWHERE: &str = "postgres://nobody:nothing@127.0.0.1:1/nowhere";
const NO_STORE: &str = "file:///nonexistent/store";

fn latest(project: &Project) -> PathBuf {
    let folder = project.run_folder().join("verify");
    let number = (1..).find(|no| !folder.join(format!("{no}.json")).exists());
    folder.join(format!("{}.json", number.expect("a number") - 1))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Every state of a link in a chain of custody.
fn states<'c>(chain: &'c Value, link: &str, of: &str) -> Vec<&'c str> {
    let tables = chain["tables"].as_array().expect("tables");
    let holders: Vec<&Value> = match of {
        "chunks" => tables
            .iter()
            .flat_map(|table| table["chunks"].as_array().expect("chunks"))
            .collect(),
        _ => tables.iter().collect(),
    };
    let states = holders.iter().map(|it| it[link].as_str().expect("a state"));
    states.collect()
}

fn all(states: &[&str], wanted: &str) -> bool {
    !states.is_empty() && states.iter().all(|state| *state == wanted)
}

#[test]
fn evidence_stands_without_a_database_and_not_when_it_was_changed() {
    let pair = pair();
    pair.source.add_large_objects();
    let project = project!(&pair);
    let end = project.expect(0, &["run", "--yes"]);
    for told in ["stored = raw = rows, ", "rows = target"] {
        assert!(end.stdout.contains(told), "{told}:\n{end}");
    }
    let evidence = project.document("verify/1.json");
    let chain = &evidence["chain"];
    for (link, of) in [
        ("stored", "chunks"),
        ("raw", "chunks"),
        ("rows", "chunks"),
        ("sum", "tables"),
        ("complete", "tables"),
        ("loaded", "tables"),
    ] {
        assert!(all(&states(chain, link, of), "held"), "{link} of {of}");
    }
    assert_eq!(evidence["signature"]["algorithm"], "keyed-blake3");

    // One level alone: what it did not look at, it does not vouch for.
    project.expect(0, &["verify", "--chunks"]);
    let chunks = project.document("verify/2.json");
    let loaded = states(&chunks["chain"], "loaded", "tables");
    assert!(all(&loaded, "not-looked-at"), "{loaded:?}");
    let end = project.expect(0, &["verify", "--counts"]);
    assert!(end.stdout.contains("chunks not looked at"), "{end}");

    let lost = "set session_replication_role = replica;
        delete from public.documents
         where id = (select id from public.documents order by id limit 1)";
    pair.target.psql_superuser(lost);
    // A table that is not there has no rows to compare, and that is a broken link too.
    pair.target
        .psql_superuser("alter table public.no_pk rename to no_pk_gone");
    let end = project.expect(12, &["verify", "--counts"]);
    assert!(end.stdout.contains("table public.documents: "), "{end}");
    assert!(end.stdout.contains(" exported"), "{end}");
    assert!(end.stdout.contains("table public.no_pk: "), "{end}");
    project.expect(12, &["verify", "--rows"]);
    let broken = project.document("verify/5.json");
    let loaded = states(&broken["chain"], "loaded", "tables");
    assert_eq!(loaded.iter().filter(|it| **it == "broken").count(), 2);

    // From here on there is no database.
    let project = project
        .with("TOWPATH_SOURCE_URL", NOWHERE)
        .with("TOWPATH_TARGET_URL", NOWHERE);
    let root = evidence["manifest"].as_str().expect("a root").to_owned();
    let folder = project.run_folder().join("verify");
    let clean = folder.join("1.json");
    let clean = text(&clean);
    let end = project.expect(
        0,
        &["verify", "--evidence", clean, "--expect-manifest", &root],
    );
    assert!(end.stdout.contains("signed by the key of run"), "{end}");
    assert!(end.stdout.contains("no difference"), "{end}");
    for number in [4, 5] {
        let file = folder.join(format!("{number}.json"));
        let end = project.expect(12, &["verify", "--evidence", text(&file)]);
        assert!(end.stdout.contains("NOT EQUAL"), "{end}");
    }

    // Changed, of something else, or by somebody else.
    let refused = |arguments: &[&str], why: &str| {
        let end = project.expect(12, arguments);
        assert!(end.stderr.contains("evidence-altered"), "{end}");
        assert!(end.stderr.contains(why), "{why}:\n{end}");
    };
    let sound = fs::read(clean).expect("read an evidence");
    let copy = project.path().join("copy.json");
    let copied = text(&copy);
    for at in [20, sound.len() / 3, sound.len() / 2, sound.len() - 20] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&copy, bytes).expect("write a changed evidence");
        refused(&["verify", "--evidence", copied], "proves nothing");
    }
    fs::write(&copy, &sound[..sound.len() - 1]).expect("cut an evidence");
    refused(&["verify", "--evidence", copied], "does not end with");
    let zeroes = "0".repeat(64);
    refused(
        &["verify", "--evidence", clean, "--expect-manifest", &zeroes],
        "was demanded",
    );
    refused(
        &["verify", "20200101-aaaaaaaa", "--evidence", clean],
        "and not of",
    );
    refused(
        &["verify", "--evidence", clean, "--public-key", PUBLIC],
        "was demanded",
    );
    let end = project.expect(1, &["verify", "--evidence", clean, "--store", NO_STORE]);
    assert!(
        end.stderr.contains("could not read the key of run"),
        "{end}"
    );
    assert!(end.stderr.contains("--store"), "{end}");

    // The latest evidence counts, and only when it is whole.
    let last = latest(&project);
    let mut bytes = fs::read(&last).expect("read the latest evidence");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&last, bytes).expect("damage the latest evidence");
    refused(&["status"], "proves nothing");
}

#[test]
fn a_key_of_the_operator_signs_and_a_manifest_sealed_again_is_seen_through() {
    let pair = pair();
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let keys = TempDir::new().expect("make a directory");
    let key = keys.path().join("key.pem");
    fs::write(&key, PRIVATE).expect("write a key");
    let project = project.with("TOWPATH_SIGNING_KEY", text(&key));

    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("open the key to others");
    let end = project.expect(2, &["verify", "--chunks"]);
    assert!(end.stderr.contains("chmod 600"), "{end}");
    assert!(!end.stderr.contains("J1hsZ3v"), "{end}");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("close the key");
    project.expect(0, &["verify", "--chunks"]);

    let elsewhere = keys.path().join("evidence.json");
    fs::copy(latest(&project), &elsewhere).expect("carry the evidence away");
    let file = text(&elsewhere);
    let away = &["--store", NO_STORE];
    let check = |code: i32, more: &[&str]| {
        let all = [&["verify", "--evidence", file][..], away, more].concat();
        project.expect(code, &all)
    };
    let end = check(0, &["--public-key", PUBLIC]);
    assert!(end.stdout.contains(PUBLIC), "{end}");
    assert!(!end.stderr.contains("warning"), "{end}");
    let end = check(0, &[]);
    assert!(end.stderr.contains("--public-key proves who"), "{end}");
    let end = check(12, &["--public-key", &"ab".repeat(32)]);
    assert!(end.stderr.contains("evidence-altered"), "{end}");
    check(2, &["--public-key", "neither digits nor a file"]);
    let told = check(0, &["--public-key", PUBLIC, "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["signed_by"], "ed25519");
    assert_eq!(told["clean"], true);

    // A chunk left out of the manifest, and the manifest sealed again: its own root proves nothing.
    let path = project.run_folder().join("manifest.json");
    let sealed = fs::read(&path).expect("read the manifest");
    let mut manifest: Manifest = towpath_model::document::parse(&sealed, "manifest").expect("one");
    let table = manifest.tables.iter_mut().find(|it| it.digest.rows > 0);
    let table = table.expect("a table with rows");
    table.chunks.pop();
    manifest.root = manifest.compute_root();
    let edited = towpath_model::document::render(&manifest).expect("render");
    fs::write(&path, edited).expect("edit the manifest");
    let end = project.expect(12, &["verify", "--chunks"]);
    assert!(end.stdout.contains("(complete)"), "{end}");
    assert!(end.stdout.contains("(sum)"), "{end}");
    fs::copy(latest(&project), &elsewhere).expect("carry the evidence away");
    let end = check(12, &["--public-key", PUBLIC]);
    assert!(end.stdout.contains("BROKEN in the manifest"), "{end}");
}
