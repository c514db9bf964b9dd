//! A whole fleet: every shape of consumer, switched and put back.

use serde_json::{Value, json};
use towpath_tests::aws_state::call;
use towpath_tests::consumers::deploy;
use towpath_tests::{AwsState, Consumers, MiniStack, Project, Shape, pair, project};

/// So many of each shape.
const COPIES: usize = 3;

#[test]
fn a_fleet_of_every_shape_is_switched_and_put_back_to_the_byte() {
    let pair = pair();
    let aws = MiniStack::start();
    let fleet = Consumers::create(&aws, &pair.source.url(), &Shape::ALL, COPIES);
    assert!(fleet.functions.len() >= 40, "{}", fleet.functions.len());
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("TOWPATH_SWITCH_PREFIXES", "orders-")
        .with("TOWPATH_SWITCH_CANARY", "orders-url-1,orders-rdssecret-2")
        .with("TOWPATH_FENCE_MODE", "none");
    project.expect(0, &["run", "--yes"]);
    let run = project.run_id();
    let before = AwsState::read(&aws.url());
    let (source, target) = (
        pair.source.cluster.port().to_string(),
        pair.target.cluster.port().to_string(),
    );

    // The canary fails: nobody else was touched, and it is as it was.
    let canary = ["orders-url-1", "orders-pgvariables-1"];
    let failing = project.towpath(&["cutover", "--confirm", &run]);
    let failing = failing.envs([
        ("TOWPATH_SWITCH_CANARY", canary.join(",").as_str()),
        ("TOWPATH_PROBE_INVOKE", canary[1]),
        ("TOWPATH_PROBE_ATTEMPTS", "1"),
    ]);
    let end = failing.run().expect_code(13);
    before.assert_restored(&AwsState::read(&aws.url()));
    let touched = intents(&project);
    assert_eq!(touched.len(), canary.len(), "{touched:?}\n{end}");
    for name in canary {
        assert!(touched.contains(&format!("lambda {name}")), "{touched:?}");
    }
    project.expect(0, &["verify"]);

    let end = project.expect(0, &["cutover", "--confirm", &run]);
    let switched = AwsState::read(&aws.url());
    for (name, text) in switched.connections() {
        assert!(!text.contains(&source), "{name} is left behind\n{end}");
    }
    for (function, shape) in &fleet.functions {
        let held = format!("{shape:?}");
        // Those that name a secret or a parameter are switched by it.
        if !held.contains("Secret") && !held.contains("Parameter") {
            let variables = switched.variables(function).to_string();
            assert!(variables.contains(&target), "{function}");
        }
    }
    for function in [
        "orders-url-1",
        "orders-rdssecret-3",
        "orders-customsecret-1",
    ] {
        let answer = aws.aws().invoke(function).expect("the function answers");
        assert_eq!(answer["port"].to_string(), target, "{function}");
    }

    // Somebody goes on deploying: nothing is written before that is decided.
    let mut variables = switched.variables("orders-url-2").clone();
    variables["NEW_FLAG"] = json!("on");
    deploy(&aws.url(), "orders-url-2", &variables);
    let parameter = "/orders/orders-parameter-2";
    let asked = json!({"Name": parameter, "Value": "theirs", "Overwrite": true});
    let _ = call(&aws.url(), "AmazonSSM.PutParameter", &asked);
    let drifted = AwsState::read(&aws.url());
    let end = project.expect(15, &["rollback", "--yes"]);
    for part in ["NEW_FLAG", parameter, "--drift keep", "--drift overwrite"] {
        assert!(end.stderr.contains(part), "{part} is not said:\n{end}");
    }
    assert_eq!(AwsState::read(&aws.url()), drifted);

    project.expect(0, &["rollback", "--yes", "--drift", "keep"]);
    let kept = AwsState::read(&aws.url());
    let mut merged = before.variables("orders-url-2").clone();
    merged["NEW_FLAG"] = json!("on");
    assert_eq!(kept.variables("orders-url-2"), &merged);
    assert_eq!(
        kept.get(&format!("parameter {parameter}"))["value"],
        "theirs"
    );

    // The same again finds nothing to do, and the third way leaves nothing of theirs.
    let end = project.expect(0, &["rollback", "--yes", "--drift", "keep"]);
    assert!(end.stdout.contains("; 0 written now"), "{end}");
    assert_eq!(AwsState::read(&aws.url()), kept);
    project.expect(0, &["rollback", "--yes", "--drift", "overwrite"]);
    before.assert_restored(&AwsState::read(&aws.url()));
}

/// Bindings that were to be written, by the journal.
fn intents(project: &Project) -> Vec<String> {
    let mut intents = Vec::new();
    for (path, bytes) in project.store_files() {
        if !path.components().any(|part| part.as_os_str() == "journal") {
            continue;
        }
        for line in String::from_utf8_lossy(&bytes).lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let entry = &line["entry"];
            if entry["type"] == "switch-intent" {
                intents.push(entry["binding"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    intents
}
