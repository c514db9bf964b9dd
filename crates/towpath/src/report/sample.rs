//! A made-up report, for tests.

use serde_json::{Value, json};
use towpath_model::custody::{Chain, Link};
use towpath_model::manifest::Manifest;
use towpath_model::plan::Plan;
use towpath_model::report::Report;
use towpath_model::{QualifiedName, TableId};

/// Bytes of heap of table number `no` of so many: none are of one size.
fn bytes(no: usize, count: usize) -> u64 {
    (count - no) as u64 * 1_048_576
}

fn server(endpoint: &str, version: u32) -> Value {
    json!({
        "endpoint": endpoint,
        "facts": {
            "version_num": version, "system_identifier": null, "database": "app", "user": "master",
            "is_superuser": false, "bypasses_rls": false, "can_create_roles": true,
            "encoding": "UTF8", "collation": "en_US.UTF-8", "search_path": "public",
            "uses_tls": true, "available_extensions": {}, "database_bytes": 1_000_000,
        },
    })
}

fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn digest(no: usize) -> Value {
    json!({"rows": 1000 + no, "sum": format!("{:016x}{:048x}", no * 0x0123_4567_89ab + 0x7edc_ba98_7654, no)})
}

/// A run of so many tables, of which the second differs.
pub fn report(tables: usize, name_of: impl Fn(usize) -> String) -> Report {
    let names: Vec<QualifiedName> = (0..tables)
        .map(|no| QualifiedName::new("public", name_of(no)))
        .collect();
    let plan = plan(&names);
    let manifest = manifest(&names);
    let mut chain = Chain::begin(&manifest, &plan);
    let held = Link::compare(&1, &1);
    for (no, table) in chain.tables.iter_mut().enumerate() {
        table.loaded = if no == 1 { Link::BROKEN } else { held };
        for chunk in &mut table.chunks {
            (chunk.links.stored, chunk.links.raw, chunk.links.rows) = (held, held, held);
        }
    }
    let proofs = names.iter().enumerate().map(|(no, name)| {
        let found = digest(if no == 1 { 999 } else { no });
        json!({"table": name, "expected": digest(no), "found": found})
    });
    let name = names.get(1).or(names.first());
    let verification = json!({
        "run": plan.run, "manifest": manifest.root, "began_at": "2026-01-02T03:06:00Z",
        "ended_at": "2026-01-02T03:07:00Z",
        "levels": ["chunks", "rows", "sequences", "schema", "access", "health"],
        "source": "manifest", "reading": "stream", "chunks_checked": tables,
        "tables": proofs.collect::<Vec<_>>(), "counts": [], "sequences_checked": 4,
        "objects_checked": 90, "chain": chain,
        "access": {
            "roles": ["anon"], "subjects": [{"role": "anon", "claims": ""}], "relations": 3,
            "sampled": [], "empty": 0, "visible_sets": 3, "writes": 9, "write_attempts": "explain",
            "not_looked_at": [{"what": "role reporting", "reason": "the login may not take it on"}],
            "differences": [],
        },
        "health": {
            "checks": [
                {"check": "indexes-valid", "verdict": "pass", "finding": "12 indexes are valid"},
                {"check": "foreign-key-index", "verdict": "warn", "finding": "1 foreign key has no index",
                 "remedy": "create an index on public.orders (customer_id)"},
            ],
        },
        "differences": [
            {"kind": "rows", "table": name, "expected": digest(1), "found": digest(999), "located": []},
        ],
    });
    let object = |kind: &str, name: &str, decision: &str, rule: &str, reason: &str| {
        json!({"object": {"kind": kind, "schema": "public", "name": name}, "decision": decision,
               "rule": rule, "reason": reason})
    };
    let first = name_of(0);
    let value = json!({
        "written_at": "2026-01-02T03:08:00Z", "stage": "loaded", "plan": plan,
        "schema": {
            "objects": [
                object("table", &first, "kept", "user", "yours"),
                object("view", "totals", "rewritten", "build-path", "search path set"),
                object("function", "uid", "emulated", "emulated", "stands in for the platform's"),
                object("policy", "own", "dropped", "policy-roles", "applies only to roles that do not go"),
                object("table", "objects", "dropped", "managed", "the platform's"),
            ],
            "breaks_at_run_time": [{
                "object": {"kind": "function", "schema": "public", "name": "notify"},
                "needs": "net.http_post", "consequence": "every insert fails; drop the trigger",
                "callers": [{"kind": "trigger", "schema": "public", "name": "t", "on": first}],
            }],
            "appendix": [{
                "object": {"kind": "policy", "schema": "storage", "name": "own", "on": "objects"},
                "sql": "create policy own on storage.objects using (true)",
            }],
        },
        "manifest": manifest, "verification": verification,
        "bindings": [{
            "binding": "lambda orders-api DATABASE_URL", "before": "postgres://postgres@old:5432/postgres",
            "after": "postgres://app@new:5432/app", "state": "restored",
        }],
        "target_snapshot": "towpath-20260102-00000000",
        "cutover": cutover(), "checklists": checklists(),
        "timings": [
            {"what": "export", "millis": 61_000, "began_at_ms": 1_767_322_800_000_u64},
            {"what": "load", "millis": 90_000, "began_at_ms": 1_767_322_803_000_u64},
            {"what": "export and load", "millis": 93_500, "began_at_ms": 1_767_322_800_000_u64},
            {"what": "indexes, constraints and policies", "millis": 30_250, "began_at_ms": 1_767_322_893_600_u64},
            {"what": "verify", "millis": 41_000, "began_at_ms": 1_767_322_924_000_u64},
        ],
    });
    serde_json::from_value(value).expect("a report")
}

/// A cutover whose probe failed, and which was undone.
fn cutover() -> Value {
    json!({
        "timeline": [
            {"at": "2026-01-02T03:07:10Z", "what": "the fence is about to be put up"},
            {"at": "2026-01-02T03:07:11Z", "what": "the source refuses writes at 0/1A2B3D00: 2 tables fenced"},
            {"at": "2026-01-02T03:07:20Z", "what": "probe invoke orders-api did not hold: status 500"},
            {"at": "2026-01-02T03:07:24Z", "what": "the source accepts writes again"},
        ],
        "fence": {
            "lsn": "0/1A2B3D00", "at_ms": 1_767_323_231_000_u64, "mode": "refuse", "tables": 2,
            "weak": [QualifiedName::new("auth", "users")], "open": [QualifiedName::new("cron", "job")],
        },
        "fence_stands": false,
        "gap": {
            "refused_from_ms": 1_767_323_231_000_u64, "first_switched_ms": 1_767_323_238_250_u64,
            "last_switched_ms": 1_767_323_239_500_u64, "first_write_seen_ms": null,
        },
        "gates": [
            {"list": "gate", "item": "verification", "outcome": "passed", "seen": "verify/1.json found no difference at rows"},
            {"list": "gate", "item": "window", "outcome": "skipped", "seen": "cutover.window is not set"},
        ],
        "probes": [
            {"list": "probe", "item": "invoke orders-api", "outcome": "failed", "seen": "status 500"},
        ],
    })
}

fn checklists() -> Value {
    json!([
        {"list": "before", "item": "versions of both servers are supported", "by": ["check source-version", "check target-version"],
         "state": "passed", "seen": "PostgreSQL 15"},
        {"list": "before", "item": "a second person has approved", "by": ["gate approval"], "state": "skipped",
         "seen": "cutover.approval is none"},
        {"list": "after", "item": "rows are equal", "by": ["verify rows"], "state": "failed",
         "seen": "1 difference at 2026-01-02T03:07:00Z"},
        {"list": "after", "item": "the old credentials are revoked", "by": [], "state": "by-hand", "seen": ""},
    ])
}

fn plan(names: &[QualifiedName]) -> Plan {
    let tables = names.iter().enumerate().map(|(no, name)| {
        json!({
            "id": TableId::of(name), "name": name, "columns": ["id"], "key": ["id"], "types": ["int4"],
            "format": "binary", "bytes": bytes(no, names.len()), "estimated_rows": 1000,
            "force_row_security": false, "chunks": [{"no": 1, "pages": null}],
        })
    });
    let value = json!({
        "run": "20260102-00000000", "created_at": "2026-01-02T03:00:00Z", "made_by": "0.1.0",
        "source": server("db.example.supabase.co:5432/postgres", 150_008),
        "target": server("orders.example.rds.amazonaws.com:5432/app", 160_004),
        "store": "s3://bucket/runs", "tables": tables.collect::<Vec<_>>(), "sequences": [],
        "migrations": {"count": 3, "redacted": ["20250101"]},
        "pre_data": hash('a'), "post_data": hash('b'),
        "decisions": {"kept": 1, "rewritten": 1, "emulated": 1, "dropped": 2},
        "checks": [
            {"check": "source-login", "verdict": "pass", "finding": "postgres bypasses row-level security"},
            {"check": "schema-run-time", "verdict": "warn", "finding": "1 object breaks at run time",
             "remedy": "look at the report"},
        ],
        "estimated_seconds": 120, "jobs": {"jobs": 4, "reason": "4 cores here"},
    });
    serde_json::from_value(value).expect("a plan")
}

fn manifest(names: &[QualifiedName]) -> Manifest {
    let tables = names.iter().enumerate().map(|(no, name)| {
        let table = TableId::of(name);
        let raw_bytes = bytes(no, names.len());
        json!({
            "table": table, "digest": digest(no), "raw_bytes": raw_bytes,
            "stored_bytes": raw_bytes / 3,
            "chunks": [{
                "chunk": {"table": table, "no": 1}, "attempt": 1, "key": "chunks/1.bin.zst",
                "codec": "zstd", "raw_bytes": raw_bytes, "raw_hash": hash('d'),
                "stored_bytes": raw_bytes / 3, "stored_hash": hash('e'), "digest": digest(no),
            }],
        })
    });
    let value = json!({
        "run": "20260102-00000000", "plan": hash('f'), "snapshot": "100:100:",
        "snapshot_lsn": "0/1A2B3C4D", "snapshot_at": "2026-01-02T03:00:05Z",
        "sealed_at": "2026-01-02T03:01:06Z", "files": [], "sequences": [],
        "tables": tables.collect::<Vec<_>>(), "root": hash('c'),
    });
    let mut manifest: Manifest = serde_json::from_value(value).expect("a manifest");
    manifest.root = manifest.compute_root();
    manifest
}

/// The same as the report of a rehearsal.
pub fn rehearsal(mut report: Report) -> Report {
    let of_plan = json!({
        "database": "towpath_rehearsal_20260102_00000000",
        "stands_for": "orders.example.rds.amazonaws.com:5432/app",
    });
    let found = json!({
        "run": report.plan.run, "verdict": "ready", "roles_made": ["anon", "authenticated"],
        "would_besides": ["take an RDS snapshot of the target before the load"],
        "gate": {
            "refused_by": [], "not_looked_at": ["consumers: no Lambda function is selected under [switch]"],
            "source_moved": "the source has changed since the export in 1 table: public.orders",
        },
        "left": [],
    });
    report.plan.rehearsal = serde_json::from_value(of_plan).expect("a rehearsal's plan");
    report.rehearsal = serde_json::from_value(found).expect("a rehearsal");
    if let Some(verification) = &mut report.verification {
        verification.differences.clear();
    }
    report.bindings.clear();
    report.cutover = None;
    report.checklists.clear();
    report
}

/// The same as the report of a masked subset clone that was swapped in.
pub fn clone(mut report: Report) -> Report {
    let mask = |with: Value, origin: &str, uniqueness: &str| {
        json!({"transformer": with, "domain": "email", "base_type": "text", "uniqueness": uniqueness,
               "origin": origin})
    };
    let masks = json!({
        "email": mask(json!({"with": "fake", "what": "email", "unique": true}), "rule 1 of rules.toml", "preserved"),
        "note": mask(json!({"with": "constant", "value": "a value of a rule"}), "rule 2 of rules.toml", "lossy"),
    });
    let of_plan = json!({
        "name": "staging", "aside": "towpath_clone_20260102_00000000",
        "masks": {"set": hash('d'), "key_id": "0011223344556677", "columns": 2},
        "coverage": {"masked": 2, "plain": 9, "allowed": [], "as_they_are": 0, "approved": true},
        "subset": "public.orders by 10 per cent", "seed": "a seed", "order": hash('e'),
    });
    report.plan.clone = serde_json::from_value(of_plan).expect("a clone's plan");
    let (table, others) = report.plan.tables.split_first_mut().expect("a table");
    table.masks = serde_json::from_value(masks).expect("masks");
    for other in others {
        let kept = json!({"rows": "kept", "estimated_rows": 100, "estimated_bytes": 4096});
        other.subset = serde_json::from_value(kept).expect("a subset");
    }
    let tally = |changed, empty| json!({"nulls": 1, "empty": empty, "changed": changed, "unchanged": 0, "spared": 0});
    let proof = json!({
        "masks": report.plan.clone.as_ref().and_then(|it| it.masks.as_ref()),
        "unmasked_tables": 1, "references_checked": 3, "uniques_checked": 2,
        "columns": [],
        "residual": {"columns": 5, "values": 4000, "personal_looking": 999, "originals": 1998, "false_positive": 1e-12},
        "allowed": [{"table": QualifiedName::new("public", "support"), "column": "mail", "reason": "our own address", "hits": 7}],
        "not_looked_at": ["what is within large objects"],
    });
    let mut proof: towpath_model::clone::CloneProof =
        serde_json::from_value(proof).expect("a proof");
    let columns = json!({"email": tally(999, 0), "note": tally(900, 99)});
    let columns = serde_json::from_value(columns).expect("tallies");
    proof.columns.push(towpath_model::clone::MaskedTable {
        table: table.name.clone(),
        columns,
    });
    if let Some(verification) = &mut report.verification {
        verification.differences.clear();
        verification.clone = Some(proof);
    }
    let swapped =
        json!({"at": "2026-01-02T03:07:30Z", "kept": "towpath_clone_kept_20260101_00000000"});
    report.swapped = serde_json::from_value(swapped).expect("a swap");
    report.bindings.clear();
    report.cutover = None;
    report.checklists.clear();
    report
}
