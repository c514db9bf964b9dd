//! What somebody with access to the run store could do to it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use towpath_model::digest::{Hash, RowDigest, RunKey};
use towpath_model::document;
use towpath_model::manifest::{ExportedTable, Manifest};

const MANIFEST: &str = "manifest.json";
const KEY: &str = "key.json";

/// Does one edit to the folder of a run.
pub(crate) fn edit(run: &Path, edit: &str, other_run: Option<&Path>) {
    let words: Vec<&str> = edit.split(' ').collect();
    match words[..] {
        ["flip", table] => change(&object(run, table), |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }),
        ["cut", table] => change(&object(run, table), |bytes| {
            bytes.pop();
        }),
        ["grow", table] => change(&object(run, table), |bytes| bytes.push(0)),
        ["remove", table] => fs::remove_file(object(run, table)).expect("remove an object"),
        ["swap", a, b] => swap(&object(run, a), &object(run, b)),
        ["replay", table] => {
            let other = other_run.expect("another run was exported");
            replay(&object(run, table), &object(other, table));
        }
        ["spoil", file] => change(&run.join(file), |bytes| bytes.push(b'\n')),
        ["rewrite", file, was, is] => change(&run.join(file), |bytes| replace(bytes, was, is)),
        ["other-key"] => change(&run.join(KEY), |bytes| {
            let was = key_text(bytes);
            replace(bytes, &was, &Hash::of(b"another key").to_string());
        }),
        ["manifest", "sequence"] => edit_manifest(run, |manifest| {
            let sequences = &mut manifest.sequences;
            let tickets = sequences.iter_mut().find(|one| one.name.name == "tickets");
            tickets.expect("the sequence is exported").last_value += 1;
        }),
        ["manifest", "rows", table] => {
            let at = place_of(run, table);
            edit_manifest(run, |manifest| manifest.tables[at].digest.rows += 1);
        }
        ["manifest", "forget", table] => {
            let at = place_of(run, table);
            edit_manifest(run, |manifest| manifest.tables[at].chunks.clear());
        }
        ["forge", table, was, is] => forge(run, table, was, is),
        ["rehash"] => edit_manifest(run, |manifest| {
            for file in &mut manifest.files {
                let bytes = fs::read(run.join(&file.key)).expect("read a schema file");
                file.hash = Hash::of(&bytes);
            }
            manifest.root = manifest.compute_root();
        }),
        _ => panic!("{edit} is no edit of a store"),
    }
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let before = bytes.clone();
    how(&mut bytes);
    assert_ne!(before, bytes, "{} is as it was", path.display());
    fs::write(path, bytes).expect("write a changed file");
}

/// Puts a text in the place of one as long that is there once.
fn replace(bytes: &mut [u8], was: &str, is: &str) {
    assert_eq!(was.len(), is.len(), "{was} and {is}");
    let windows = bytes.windows(was.len()).enumerate();
    let found: Vec<usize> = windows
        .filter(|(_, window)| *window == was.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let [at] = found[..] else {
        panic!("{was} is there {} times", found.len());
    };
    bytes[at..at + was.len()].copy_from_slice(is.as_bytes());
}

fn swap(a: &Path, b: &Path) {
    let (of_a, of_b) = (
        fs::read(a).expect("read a chunk"),
        fs::read(b).expect("read a chunk"),
    );
    assert_eq!(of_a.len(), of_b.len(), "the objects are of two sizes");
    assert_ne!(of_a, of_b);
    fs::write(a, of_b).expect("write a chunk");
    fs::write(b, of_a).expect("write a chunk");
}

fn replay(path: &Path, earlier: &Path) {
    let (now, then) = (
        fs::read(path).expect("read a chunk"),
        fs::read(earlier).expect("read the earlier chunk"),
    );
    assert_ne!(now, then, "the runs exported the same");
    fs::write(path, then).expect("write a chunk");
}

fn read_manifest(run: &Path) -> Manifest {
    let bytes = fs::read(run.join(MANIFEST)).expect("read the manifest");
    document::parse(&bytes, MANIFEST).expect("the manifest is one")
}

fn edit_manifest(run: &Path, how: impl FnOnce(&mut Manifest)) {
    let mut manifest = read_manifest(run);
    how(&mut manifest);
    let bytes = document::render(&manifest).expect("a manifest can be written");
    fs::write(run.join(MANIFEST), bytes).expect("write the manifest");
}

/// Where a table is in the plan, and so in the manifest.
fn place_of(run: &Path, table: &str) -> usize {
    let bytes = fs::read(run.join("plan.json")).expect("read the plan");
    let plan: Value = serde_json::from_slice(&bytes).expect("the plan is JSON");
    let tables = plan["tables"].as_array().expect("tables");
    let at = tables.iter().position(|planned| {
        planned["name"]["schema"] == "mutations" && planned["name"]["name"] == table
    });
    at.unwrap_or_else(|| panic!("{table} is not planned"))
}

/// The only stored object of a table.
fn object(run: &Path, table: &str) -> PathBuf {
    let manifest = read_manifest(run);
    let exported = &manifest.tables[place_of(run, table)];
    assert_eq!(exported.chunks.len(), 1, "chunks of {table}");
    run.join(&exported.chunks[0].key)
}

fn key_text(document: &[u8]) -> String {
    let document: Value = serde_json::from_slice(document).expect("the key is JSON");
    document["key"].as_str().expect("a key").to_owned()
}

/// Changes the only row of a table that travels in binary, and every hash that speaks of it up to
/// that of the table: what is left is the root.
fn forge(run: &Path, table: &str, was: &str, is: &str) {
    const OPENING: usize = 19;
    const TRAILER: usize = 2;
    let at = place_of(run, table);
    let path = object(run, table);
    let key = key_text(&fs::read(run.join(KEY)).expect("read the key"));
    let key: RunKey = serde_json::from_value(Value::from(key)).expect("a key is a hash");
    edit_manifest(run, |manifest| {
        let ExportedTable {
            digest,
            stored_bytes,
            chunks,
            ..
        } = &mut manifest.tables[at];
        let chunk = &mut chunks[0];
        let stored = fs::read(&path).expect("read a chunk");
        let mut raw = match chunk.codec.is_packed() {
            true => zstd::decode_all(stored.as_slice()).expect("unpack a chunk"),
            false => stored,
        };
        replace(&mut raw, was, is);
        let stored = match chunk.codec.is_packed() {
            true => zstd::encode_all(raw.as_slice(), 1).expect("pack a chunk"),
            false => raw.clone(),
        };
        assert_eq!(chunk.digest.rows, 1, "rows of {table}");
        chunk.digest = digest_of(&key, &raw[OPENING..raw.len() - TRAILER]);
        chunk.raw_hash = Hash::of(&raw);
        chunk.stored_hash = Hash::of(&stored);
        chunk.stored_bytes = stored.len() as u64;
        *digest = chunk.digest;
        *stored_bytes = chunk.stored_bytes;
        fs::write(&path, stored).expect("write a chunk");
    });
}

/// The digest of one row, as `docs/concepts/verification.md` defines it.
fn digest_of(key: &RunKey, row: &[u8]) -> RowDigest {
    let mut padded = row.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    let mut digest = RowDigest::default();
    digest.add_row(blake3::keyed_hash(key.bytes(), &padded).as_bytes());
    digest
}
