use proptest::prelude::*;
use towpath_model::custody::{
    Chain, ChunkCustody, ChunkLinks, FileCustody, Link, LinkState, TableCustody,
};
use towpath_model::digest::{Hash, RowDigest, RunKey};
use towpath_model::inventory::SequenceState;
use towpath_model::manifest::{Codec, FileEntry, StoredChunk};
use towpath_model::verification::{
    Difference, Measure, Reading, TableCount, TableProof, Verification,
};
use towpath_model::{ChunkId, ErrorKind, QualifiedName, TableId};

use super::*;

/// Made by `openssl genpkey -algorithm ed25519` for these tests, and its public half.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
/// RFC 8032, section 7.1, test 1 has this key.
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn held() -> Link {
    Link::compare(&1, &1)
}

pub(super) fn digest(of: u8, rows: u64) -> RowDigest {
    let mut digest = RowDigest::default();
    (0..rows).for_each(|_| digest.add_row(&[of; 32]));
    digest
}

fn chunk(table: &TableId, no: u32) -> ChunkCustody {
    ChunkCustody {
        chunk: StoredChunk {
            chunk: ChunkId {
                table: table.clone(),
                no,
            },
            attempt: 1,
            key: format!("chunks/{}/{no:04}.1.bin.zst", table.as_str()),
            codec: Codec::Zstd,
            raw_bytes: 100,
            raw_hash: Hash::of(b"raw"),
            stored_bytes: 50,
            stored_hash: Hash::of(b"stored"),
            digest: digest(7, 3),
            masked: None,
        },
        links: ChunkLinks {
            stored: held(),
            raw: held(),
            rows: held(),
        },
    }
}

/// One table of two chunks, everything looked at, nothing wrong.
pub(super) fn clean() -> Verification {
    // A name that a person may have given, with what JSON must escape.
    let name = QualifiedName::new("app", "a \"signature\": {\u{e9}\n}");
    let table = TableId::of(&name);
    let sequence = SequenceState {
        name: QualifiedName::new("app", "numbers"),
        last_value: 17,
        is_called: true,
    };
    let exported = digest(7, 6);
    let mut verification = Verification {
        run: "20261123-abcdefgh".parse().unwrap(),
        rehearsal: None,
        manifest: Hash([0; 32]),
        source_database: None,
        target_database: Some("db.example:5432/app".to_owned()),
        began_at: "2026-11-23T01:00:00Z".to_owned(),
        ended_at: "2026-11-23T01:00:01Z".to_owned(),
        levels: ["chunks", "rows", "sequences", "schema", "counts"]
            .map(str::to_owned)
            .to_vec(),
        source: Measure::Manifest,
        reading: Reading::Stream,
        chunks_checked: 2,
        tables: vec![TableProof {
            table: name.clone(),
            expected: exported,
            found: exported,
        }],
        live: Vec::new(),
        counts: vec![TableCount {
            table: name.clone(),
            expected: 6,
            found: 6,
        }],
        sequences_checked: 1,
        objects_checked: 12,
        access: None,
        health: None,
        clone: None,
        differences: Vec::new(),
        chain: Chain {
            plan: Hash::of(b"plan"),
            planned: held(),
            root: held(),
            snapshot: "700:700:".to_owned(),
            snapshot_lsn: "0/1".to_owned(),
            snapshot_at: "2026-11-23T00:00:00Z".to_owned(),
            sealed_at: "2026-11-23T00:30:00Z".to_owned(),
            files: vec![FileCustody {
                file: FileEntry {
                    key: "schema/pre-data.sql".to_owned(),
                    hash: Hash::of(b"pre"),
                },
                stored: held(),
            }],
            sequences: vec![sequence],
            tables: vec![TableCustody {
                table: table.clone(),
                name,
                digest: exported,
                caught_up: None,
                raw_bytes: 200,
                stored_bytes: 100,
                complete: held(),
                sum: held(),
                target: Some(exported),
                loaded: held(),
                chunks: vec![chunk(&table, 1), chunk(&table, 2)],
            }],
        },
        signature: None,
    };
    seal_root(&mut verification);
    verification
}

pub(super) fn seal_root(verification: &mut Verification) {
    let manifest = verification
        .chain
        .manifest(&verification.run, Hash([0; 32]));
    verification.manifest = manifest.compute_root();
}

fn run_key() -> RunKey {
    RunKey::new([3; 32])
}

fn signers() -> Vec<(Signer, Keys)> {
    let own = Signer::from_pem(PRIVATE.as_bytes()).unwrap();
    let of_run = Keys {
        run: Some(run_key()),
        demanded: None,
    };
    let demanded = Keys {
        run: None,
        demanded: own.public_key(),
    };
    let anybody = Keys::default();
    let again = Signer::from_pem(PRIVATE.as_bytes()).unwrap();
    vec![
        (own, demanded),
        (again, anybody),
        (Signer::Run(run_key()), of_run),
    ]
}

fn check(bytes: &[u8], keys: &Keys) -> Result<Verification> {
    open(bytes, "evidence")?.checked(keys)
}

fn is_refused(bytes: &[u8], keys: &Keys) -> bool {
    match check(bytes, keys) {
        Ok(_) => false,
        Err(failure) => matches!(
            failure.kind(),
            ErrorKind::EvidenceAltered | ErrorKind::DocumentVersion
        ),
    }
}

#[test]
fn an_evidence_is_read_back_as_it_was_signed() {
    for (signer, keys) in signers() {
        let (bytes, sealed) = seal(clean(), &signer).unwrap();
        assert_eq!(check(&bytes, &keys).unwrap(), sealed);
        assert!(contradictions(&sealed).is_empty());
        // Signing anew replaces the signature and nothing else.
        assert_eq!(seal(sealed, &signer).unwrap().0, bytes);
    }
}

#[test]
fn a_chunk_is_a_line() {
    let (bytes, _) = seal(clean(), &Signer::Run(run_key())).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let chunks = text.lines().filter(|line| line.contains("stored_hash"));
    assert_eq!(chunks.clone().count(), 2, "{text}");
    let longest = chunks.map(str::len).max().unwrap_or(0);
    assert!(longest < 600, "{longest} bytes a chunk");
    assert!(text.starts_with("{\n  \"format\": \"towpath-verification\",\n  \"version\": 2,\n"));
    let last = text.lines().nth_back(1).unwrap();
    assert!(
        last.starts_with("  \"signature\": {\"algorithm\":"),
        "{last}"
    );
}

#[test]
fn every_flipped_byte_is_refused() {
    for (signer, keys) in signers() {
        let (bytes, _) = seal(clean(), &signer).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(is_refused(&flipped, &keys), "byte {at}");
            // Case is a bit that hexadecimal digits do not need.
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x20;
            assert!(is_refused(&flipped, &keys), "case of byte {at}");
        }
    }
}

#[test]
fn a_cut_lengthened_or_reordered_file_is_refused() {
    for (signer, keys) in signers() {
        let (bytes, _) = seal(clean(), &signer).unwrap();
        for length in 0..bytes.len() {
            assert!(is_refused(&bytes[..length], &keys), "cut to {length} bytes");
        }
        for more in [" ", "\n", "\0", "{}"] {
            let longer = [bytes.as_slice(), more.as_bytes()].concat();
            assert!(is_refused(&longer, &keys), "{more:?} at its end");
            let longer = [more.as_bytes(), bytes.as_slice()].concat();
            assert!(is_refused(&longer, &keys), "{more:?} before it");
        }
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..lines.len() - 1 {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            if swapped != lines {
                let swapped = swapped.join("\n") + "\n";
                assert!(is_refused(swapped.as_bytes(), &keys), "lines from {at}");
            }
        }
        // The same JSON, laid out otherwise, is not what was signed.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let compact = serde_json::to_vec(&value).unwrap();
        assert!(is_refused(&compact, &keys));
        // Windows line ends.
        assert!(is_refused(text.replace('\n', "\r\n").as_bytes(), &keys));
    }
}

#[test]
fn the_signature_of_somebody_else_is_refused() {
    let (by_run, _) = seal(clean(), &Signer::Run(run_key())).unwrap();
    let (by_key, _) = seal(clean(), &Signer::from_pem(PRIVATE.as_bytes()).unwrap()).unwrap();
    let other_run = Keys {
        run: Some(RunKey::new([4; 32])),
        demanded: None,
    };
    let other_key = Keys {
        run: None,
        demanded: PublicKey::from_hex(&"ab".repeat(32)),
    };
    let told = |bytes: &[u8], keys: &Keys| format!("{:?}", check(bytes, keys).unwrap_err());
    assert!(told(&by_run, &other_run).contains("key of another run"));
    assert!(told(&by_run, &Keys::default()).contains("not at hand"));
    assert!(told(&by_run, &other_key).contains("was demanded"));
    assert!(told(&by_key, &other_key).contains("was demanded"));
    assert!(
        check(&by_key, &other_run).is_ok(),
        "an ed25519 key needs no run"
    );
    // Two evidences of one run, the signature of the one below the other.
    let mut later = clean();
    later.ended_at.push('0');
    let (later, _) = seal(later, &Signer::Run(run_key())).unwrap();
    let cut = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (body, signature) = text.split_once(",\n  \"signature\"").unwrap();
        (body.to_owned(), signature.to_owned())
    };
    let mixed = format!("{},\n  \"signature\"{}", cut(&later).0, cut(&by_run).1);
    let own = Keys {
        run: Some(run_key()),
        demanded: None,
    };
    assert!(told(mixed.as_bytes(), &own).contains("not of these bytes"));
}

#[test]
fn evidence_of_another_version_is_refused_with_both_numbers() {
    let old = br#"{"format": "towpath-verification", "version": 1, "run": "20261123-abcdefgh"}"#;
    let failure = open(old, "verify/1.json").unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::DocumentVersion);
    assert!(
        failure
            .to_string()
            .contains("version 1, this towpath reads version 2")
    );
    assert!(failure.find_hint().unwrap().contains("towpath verify RUN"));
}

#[test]
fn keys_are_read_as_openssl_writes_them() {
    // The key of RFC 8032, section 7.1, test 1, in the form of RFC 8410.
    assert_eq!(
        Signer::from_pem(PRIVATE.as_bytes())
            .unwrap()
            .public_key()
            .unwrap()
            .to_string(),
        PUBLIC
    );
    let public = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
    assert_eq!(
        PublicKey::from_pem(public.as_bytes()).unwrap().to_string(),
        PUBLIC
    );
    assert_eq!(PublicKey::from_hex(PUBLIC).unwrap().to_string(), PUBLIC);
    for wrong in ["", "nothing", &PUBLIC[1..]] {
        assert!(PublicKey::from_hex(wrong).is_none(), "{wrong}");
        assert!(PublicKey::from_pem(wrong.as_bytes()).is_none(), "{wrong}");
        let failure = Signer::from_pem(wrong.as_bytes()).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Config);
    }
    // A letter amiss: the letter about it must not tell the key.
    let broken = PRIVATE.replace("MC4CAQ", "MC5CAQ");
    let told = format!("{:?}", Signer::from_pem(broken.as_bytes()).unwrap_err());
    assert!(!told.contains("J1hsZ3v"), "{told}");
}

/// What a forger who holds the key might write.
fn forgeries() -> Vec<(&'static str, Verification)> {
    type Edit = fn(&mut Verification);
    let edits: [(&str, Edit); 22] = [
        ("a level that is none", |it| {
            it.levels.push("luck".to_owned())
        }),
        ("a level twice", |it| it.levels.push("rows".to_owned())),
        ("no level", |it| it.levels.clear()),
        ("another root", |it| it.manifest = Hash([9; 32])),
        ("a chunk of other bytes", |it| {
            it.chain.tables[0].chunks[0].chunk.stored_hash = Hash([9; 32]);
        }),
        ("a table of other rows", |it| {
            it.chain.tables[0].digest = digest(7, 5);
            seal_root(it);
        }),
        ("a chunk less", |it| {
            it.chain.tables[0].chunks.pop();
            it.chunks_checked = 1;
            seal_root(it);
        }),
        ("chunks that nobody looked at", |it| {
            it.chain.tables[0].chunks[1].links = ChunkLinks::default();
        }),
        ("a broken link without a difference", |it| {
            it.chain.tables[0].chunks[1].links.raw = Link::BROKEN;
        }),
        ("a link without its level", |it| {
            it.levels.retain(|level| level != "chunks");
        }),
        ("a difference without a broken link", |it| {
            it.differences.push(Difference::ChunkMissing {
                chunk: it.chain.tables[0].chunks[0].chunk.chunk.clone(),
                key: it.chain.tables[0].chunks[0].chunk.key.clone(),
            });
        }),
        ("a difference of a chunk that is not there", |it| {
            let mut chunk = it.chain.tables[0].chunks[0].chunk.chunk.clone();
            chunk.no = 9;
            let key = String::new();
            it.differences.push(Difference::ChunkMissing { chunk, key });
        }),
        ("other rows on the target", |it| {
            it.chain.tables[0].target = Some(digest(7, 5));
        }),
        ("other rows in the list", |it| {
            it.tables[0].found = digest(7, 5)
        }),
        ("a broken table without a difference", |it| {
            it.chain.tables[0].target = Some(digest(7, 5));
            it.chain.tables[0].loaded = Link::BROKEN;
            it.tables[0].found = digest(7, 5);
        }),
        ("no rows where they are claimed", |it| {
            it.chain.tables[0].target = None;
            it.chain.tables[0].loaded = Link::NOT_LOOKED_AT;
            it.tables.clear();
        }),
        ("a file that nobody looked at", |it| {
            it.chain.files[0].stored = Link::NOT_LOOKED_AT;
        }),
        ("another count", |it| it.counts[0].found = 5),
        ("a count less", |it| it.counts.clear()),
        ("sequences that nobody looked at", |it| {
            it.sequences_checked = 0
        }),
        ("access without proof", |it| {
            it.levels.push("access".to_owned())
        }),
        ("a document that does not hold", |it| {
            it.chain.tables[0].complete = Link::BROKEN;
        }),
    ];
    let forged = edits.into_iter().map(|(name, edit)| {
        let mut forged = clean();
        edit(&mut forged);
        (name, forged)
    });
    forged.collect()
}

#[test]
fn what_cannot_be_true_is_told() {
    assert_eq!(contradictions(&clean()), Vec::<String>::new());
    for (name, forged) in forgeries() {
        assert!(!contradictions(&forged).is_empty(), "{name} is believed");
    }
}

#[test]
fn a_true_difference_is_believed() {
    let mut lost = clean();
    let chunk = &mut lost.chain.tables[0].chunks[0];
    chunk.links = ChunkLinks {
        stored: Link::BROKEN,
        ..ChunkLinks::default()
    };
    let (id, key) = (chunk.chunk.chunk.clone(), chunk.chunk.key.clone());
    lost.differences
        .push(Difference::ChunkMissing { chunk: id, key });
    assert_eq!(contradictions(&lost), Vec::<String>::new());

    let mut less = clean();
    let found = digest(7, 5);
    let table = &mut less.chain.tables[0];
    table.target = Some(found);
    table.loaded = Link::compare(&table.digest, &found);
    assert_eq!(table.loaded.state(), LinkState::Broken);
    less.tables[0].found = found;
    less.counts[0].found = 5;
    less.differences = vec![
        Difference::Counts {
            table: table.name.clone(),
            expected: 6,
            found: 5,
        },
        Difference::Rows {
            table: table.name.clone(),
            expected: table.digest,
            found,
            story: None,
            located: Vec::new(),
            rest: None,
        },
    ];
    assert_eq!(contradictions(&less), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_else_passes_for_it(
        who in 0usize..3,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        removed in any::<bool>(),
    ) {
        let (signer, keys) = signers().swap_remove(who);
        let (bytes, _) = seal(clean(), &signer).unwrap();
        let mut edited = bytes.clone();
        for (at, byte) in &edits {
            let at = at.index(edited.len());
            match removed {
                true => { edited.remove(at); }
                false => edited[at] = *byte,
            }
        }
        prop_assert!(edited == bytes || is_refused(&edited, &keys));
    }
}

/// RFC 8032, section 7.1, test 1: the signature of nothing.
const OF_NOTHING: &str = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

#[test]
fn a_detached_signature_is_of_its_bytes_and_its_key_alone() {
    let digits = OF_NOTHING.as_bytes().as_chunks::<2>().0;
    let bytes = digits.iter().map(|pair| {
        let pair = std::str::from_utf8(pair).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    });
    let signature: Vec<u8> = bytes.collect();
    let key = PublicKey::from_hex(PUBLIC).unwrap();
    assert!(key.has_signed(b"", &signature));
    assert!(!key.has_signed(b"x", &signature));
    assert!(!key.has_signed(b"", &signature[..63]));
    assert!(!key.has_signed(b"", b""));
    let other = PublicKey::from_hex(&"ab".repeat(32)).unwrap();
    assert!(!other.has_signed(b"", &signature));
}
