//! The benchmark itself, small: it stays able to run, and it notices who moves nothing.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// One round of the smallest thing it can measure.
fn bench(directory: &Path, towpath: &Path, peers: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-copy"));
    command.args(["--scale", "0.0005", "--rounds", "1", "--sets", "d3"]);
    command.args(["--store", "file", "--peers", peers]);
    command.arg("--towpath").arg(towpath);
    command.arg("--json").arg(directory.join("result.json"));
    command.arg("--directory").arg(directory.join("bench"));
    command.output().expect("start the bench")
}

#[test]
fn the_bench_measures_and_does_not_believe_a_tool_that_moves_nothing() {
    let directory = tempfile::Builder::new()
        // The servers' user has to get there.
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .expect("make a directory");
    let towpath = Path::new(env!("CARGO_BIN_EXE_towpath-under-test"));
    let end = bench(directory.path(), towpath, "z0,floor");
    let told = String::from_utf8_lossy(&end.stderr);
    assert!(end.status.success(), "{told}");
    let shown = String::from_utf8_lossy(&end.stdout);
    assert!(shown.contains("| d3 | towpath file |"), "{shown}");

    let text = std::fs::read(directory.path().join("result.json")).expect("read the results");
    let result: Value = serde_json::from_slice(&text).expect("results are JSON");
    let figure = |tool: &str, name: &str| {
        let cases = result["cases"].as_array().expect("cases is a list");
        let case = cases.iter().find(|case| case["tool"] == tool);
        let rounds = &case.unwrap_or_else(|| panic!("no {tool} in {result}"))["rounds"];
        rounds[0][name].as_f64().unwrap_or(0.0)
    };
    assert!(figure("towpath file", "seconds") > 0.0);
    assert!(figure("towpath file", "memory_mib") > 1.0);
    assert!(figure("towpath file", "raw_gb") > 0.0);
    assert!(figure("pg_dump -Z0", "restore") > 0.0);
    assert!(figure("floor", "copy_split") > 0.0);

    // A program that says all the right things and does none of them.
    let idle = directory.path().join("idle");
    let events = r#"{"type":"started","stage":"verify"}\n{"type":"finished","stage":"verify"}\n"#;
    let script = format!(
        "#!/bin/sh\nmkdir -p .towpath/idle\necho idle >.towpath/current-run\n\
         echo '{{\"tables\":[]}}' >.towpath/idle/manifest.json\nprintf '{events}' >&2\n"
    );
    std::fs::write(&idle, script).expect("write a script");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&idle, executable).expect("make it a program");
    let end = bench(directory.path(), &idle, "");
    let told = String::from_utf8_lossy(&end.stderr);
    assert!(!end.status.success() && told.contains("lacks"), "{told}");
}
