//! The gates of a cutover, and what tells of them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use towpath_tests::{Finished, MiniStack, pair, pg, project};

/// The objects of a type that a command has printed.
fn objects(end: &Finished, wanted: &str) -> Vec<Value> {
    let lines = end.stdout.lines();
    let all = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|it| it["type"] == wanted).collect()
}

/// How a dry run says that a gate stands.
fn outcome(end: &Finished, gate: &str) -> String {
    let told = objects(end, "gates");
    let gates = told[0]["gates"].as_array().expect("gates");
    let one = gates.iter().find(|it| it["item"] == gate);
    let one = one.unwrap_or_else(|| panic!("{gate} is not told"));
    one["outcome"].as_str().expect("an outcome").to_owned()
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let end = Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("run openssl");
    assert!(
        end.status.success(),
        "{}",
        String::from_utf8_lossy(&end.stderr)
    );
}

#[test]
fn every_closed_gate_is_told_at_once_and_what_is_approved_is_what_is_switched() {
    let pair = pair();
    let aws = MiniStack::start();
    let source = pair.source.url();
    aws.aws()
        .create_function("orders-api", &[("DATABASE_URL", &source)]);
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("TOWPATH_SWITCH_FUNCTIONS", "orders-api")
        .with("LOGNAME", "ops");
    let plan = project.expect(0, &["plan", "-o", "plan.json", "--json"]);
    let planned = &objects(&plan, "plan")[0];
    let item = |item: &Value| item["item"] == "versions of both servers are supported";
    let listed = planned["checklists"].as_array().expect("checklists");
    assert_eq!(
        listed.iter().find(|it| item(it)).expect("the item")["state"],
        "passed"
    );
    project.expect(0, &["run", "plan.json"]);
    let id = project.run_id();

    let dry = ["cutover", "--dry-run", "--json"];
    let end = project.expect(0, &dry);
    for (gate, wanted) in [
        ("consumers", "passed"),
        ("verification", "passed"),
        ("verification-age", "passed"),
        ("rehearsal", "skipped"),
        ("approval", "skipped"),
        ("window", "skipped"),
        ("checks", "passed"),
        ("snapshot", "skipped"),
    ] {
        assert_eq!(outcome(&end, gate), wanted, "{gate}: {end}");
    }
    let digest = objects(&end, "gates")[0]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    assert_eq!(
        planned["digest"],
        digest.as_str(),
        "what was planned is another thing"
    );

    // Nothing is fenced, and no gate hides another.
    let strict = project
        .with("TOWPATH_CUTOVER_APPROVAL", "file")
        .with("TOWPATH_CUTOVER_REHEARSAL", "required")
        .with("TOWPATH_CUTOVER_MAX_VERIFICATION_AGE", "0s")
        .with("TOWPATH_CUTOVER_WINDOW", "2001-01-01 22:00-02:00 UTC")
        .with("TOWPATH_CUTOVER_SNAPSHOT", "required");
    let end = strict.expect(10, &["cutover", "--confirm", &id]);
    for told in [
        "5 gates of the cutover are closed",
        "verification-age: verify/1.json",
        "rehearsal: no rehearsal is known here",
        "approval: nobody has approved",
        "window: it is outside of the maintenance window",
        "snapshot: no RDS snapshot can be had",
    ] {
        assert!(end.stderr.contains(told), "{told:?} is not told:\n{end}");
    }
    pg::try_psql(
        &source,
        "insert into public.no_pk select * from public.no_pk limit 1",
    )
    .expect("the source accepts writes");

    // A window that is open, a signed approval of somebody else, and a rehearsal of the same schema,
    // which takes as long as all the rest.
    let is_full = std::env::var_os("TOWPATH_TEST_FULL").is_some();
    let strict = match is_full {
        true => {
            strict.expect(0, &["rehearse", "--from", &id, "--yes"]);
            strict
        }
        false => strict.with("TOWPATH_CUTOVER_REHEARSAL", "wanted"),
    };
    let open = strict
        .with("TOWPATH_CUTOVER_MAX_VERIFICATION_AGE", "24h")
        .with(
            "TOWPATH_CUTOVER_WINDOW",
            "daily 00:00-00:00 UTC, daily 12:00-12:00 UTC",
        )
        .with("TOWPATH_CUTOVER_SNAPSHOT", "auto")
        .with("TOWPATH_CUTOVER_APPROVERS", "Ada, ops")
        .with("TOWPATH_CUTOVER_APPROVER_KEY", "ada.pub");
    let directory = open.path().to_owned();
    openssl(
        &directory,
        &["genpkey", "-algorithm", "ed25519", "-out", "ada.pem"],
    );
    openssl(
        &directory,
        &["pkey", "-in", "ada.pem", "-pubout", "-out", "ada.pub"],
    );
    let approvals = open.run_folder().join("approvals");
    std::fs::create_dir_all(&approvals).expect("a folder");
    let approve = |is_signed: bool| {
        let file = approvals.join(format!("{digest}.json"));
        let text = format!(
            r#"{{"format": "towpath-approval", "version": 1, "run": "{id}", "digest": "{digest}", "by": "Ada", "at": "2026-12-05T21:00:00Z"}}"#
        );
        std::fs::write(&file, text).expect("write an approval");
        if is_signed {
            let signature = file.with_extension("sig");
            let (file, signature) = (file.to_str().unwrap(), signature.to_str().unwrap());
            let sign = [
                "pkeyutl", "-sign", "-rawin", "-inkey", "ada.pem", "-in", file, "-out", signature,
            ];
            openssl(&directory, &sign);
        }
    };
    approve(false);
    let end = open.expect(10, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("is not signed by the key"), "{end}");
    approve(true);
    let end = open.expect(0, &dry);
    assert_eq!(outcome(&end, "approval"), "passed", "{end}");
    assert_eq!(outcome(&end, "window"), "passed", "{end}");
    let rehearsed = if is_full { "passed" } else { "skipped" };
    assert_eq!(outcome(&end, "rehearsal"), rehearsed, "{end}");
    // Somebody changes what would be switched: the approval is of something else now.
    let user = "postgres://somebody:fixture-secret@";
    let elsewhere = open.towpath(&dry).env(
        "TOWPATH_SWITCH_URL",
        format!("{user}127.0.0.1:{}/app", pair.target.cluster.port()),
    );
    let end = elsewhere.run();
    assert_eq!(outcome(&end, "approval"), "failed", "{end}");

    // A cutover that is undone behind its fence has looked at rows once more, and has caught some up;
    // the next one rests on the same proof, without another look.
    let undone = open.towpath(&["cutover", "--confirm", &id]);
    let undone = undone.env("TOWPATH_HOOK_BEFORE_SWITCH", "false").run();
    undone.expect_code(13);

    open.expect(0, &["cutover", "--confirm", &id]);
    let report = directory.join(format!(".towpath/reports/{id}"));
    let text = std::fs::read_to_string(report.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let gates = report["cutover"]["gates"].as_array().expect("gates");
    assert_eq!(gates.len(), 8, "{gates:?}");
    let seen = gates
        .iter()
        .find(|it| it["item"] == "approval")
        .expect("approval")["seen"]
        .clone();
    assert!(
        seen.as_str().expect("words").starts_with("Ada approved"),
        "{seen}"
    );
    assert_eq!(report["cutover"]["fence_stands"], true);
    let items = report["checklists"].as_array().expect("checklists");
    let state = |item: &str| {
        let one = items.iter().find(|it| it["item"] == item);
        one.unwrap_or_else(|| panic!("{item} is not listed"))["state"].clone()
    };
    assert_eq!(state("a second person has approved"), "passed");
    assert_eq!(state("rows are equal"), "passed");
    assert_eq!(state("the time without writes is measured"), "passed");
    assert_eq!(state("nobody is connected to the source"), "open");
    assert!(!text.contains("fixture-secret"));
}
