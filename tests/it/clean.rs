//! `towpath clean`: staged rows go for good, versions included, and what tells of the run stays.

use std::fs;
use std::path::Path;
use std::time::Duration;

use towpath_tests::process::Finished;
use towpath_tests::s3_proxy::{FOR_EVER, Mishap, Rule, S3Proxy};
use towpath_tests::{Aws, MiniStack, Pair, Project, pair, project};

const BUCKET: &str = "runs";

/// Keys of all versions and delete markers below a prefix, and of unfinished uploads.
fn everything(aws: &Aws, prefix: &str) -> Vec<String> {
    let versions = aws
        .s3()
        .list_object_versions()
        .bucket(BUCKET)
        .prefix(prefix);
    let versions = aws.wait(versions.send()).expect("list versions");
    let uploads = aws
        .s3()
        .list_multipart_uploads()
        .bucket(BUCKET)
        .prefix(prefix);
    let uploads = aws.wait(uploads.send()).expect("list uploads");
    let objects = versions.versions().iter().filter_map(|it| it.key());
    let markers = versions.delete_markers().iter().filter_map(|it| it.key());
    let begun = uploads.uploads().iter().filter_map(|it| it.key());
    objects
        .chain(markers)
        .chain(begun)
        .map(str::to_owned)
        .collect()
}

/// A chunk with a version behind it, one behind a delete marker, one that no document names, and an
/// upload that nobody has ended.
fn leave_traces(aws: &Aws, prefix: &str) {
    let chunks = aws.object_keys(BUCKET, prefix);
    aws.put_object(BUCKET, &chunks[0], b"another version".to_vec());
    aws.delete_object(BUCKET, &chunks[1]);
    aws.put_object(
        BUCKET,
        &format!("{prefix}public.orders/0000.9.bin"),
        b"orphan".to_vec(),
    );
    let upload = aws
        .s3()
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(format!("{prefix}public.orders/0001.9.bin"));
    aws.wait(upload.send()).expect("begin an upload");
}

/// Kills a cleaning once so many of these requests have passed and no more are answered.
fn clean_and_kill(
    project: &Project,
    proxy: &S3Proxy,
    run: &str,
    (method, path, after): (&'static str, &str, usize),
) -> Finished {
    proxy.when(Rule {
        method,
        path: path.to_owned(),
        after,
        times: FOR_EVER,
        mishap: Mishap::Silence(Duration::from_secs(60)),
    });
    let cleaning = project.towpath(&["clean", run, "--confirm", run]).spawn();
    let end = cleaning.kill_9_when(|| proxy.struck() > 0);
    proxy.pass();
    end
}

fn with_versions() -> MiniStack {
    use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
    let server = MiniStack::start();
    let aws = server.aws();
    aws.create_bucket(BUCKET);
    let enabled = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let call = aws
        .s3()
        .put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(enabled);
    aws.wait(call.send()).expect("keep versions");
    server
}

/// A run whose rows are staged on S3.
fn exported(pair: &Pair, server: &MiniStack, proxy: &S3Proxy) -> Project {
    let project = project!(pair)
        .with_all(&server.env())
        .with("AWS_ENDPOINT_URL_S3", &proxy.url())
        .with("TOWPATH_STORE", "s3://runs/team");
    project.expect(0, &["export", "--yes"]);
    project
}

#[test]
fn versions_markers_and_unfinished_uploads_go_and_the_documents_stay() {
    let pair = pair();
    let server = with_versions();
    let aws = server.aws();
    let proxy = S3Proxy::start(&server.url());
    let project = exported(&pair, &server, &proxy);
    let run = project.run_id();
    let chunks = format!("team/{run}/chunks/");
    leave_traces(&aws, &chunks);
    let all = everything(&aws, &chunks);
    let documents = |aws: &Aws| -> Vec<String> {
        let keys = aws.object_keys(BUCKET, &format!("team/{run}/"));
        let stays = |key: &String| {
            ["chunks/", "journal/", "lease.json"]
                .iter()
                .all(|it| !key.contains(it))
        };
        keys.into_iter().filter(stays).collect()
    };
    let before = documents(&aws);

    // Never loaded: a yes is not enough, and nothing is deleted by looking.
    let end = project.expect(2, &["clean", &run, "--yes"]);
    assert!(
        end.stderr.contains(&format!("pass --confirm {run}")),
        "{end}"
    );
    assert!(end.stderr.contains("never loaded"), "{end}");
    let end = project.expect(0, &["--json", "clean", &run, "--dry-run"]);
    let told: serde_json::Value = serde_json::from_str(&end.stdout).expect("one line of JSON");
    assert_eq!(told["objects"], all.len() - 1, "{end}");
    assert_eq!(told["uploads"], 1, "{end}");
    assert_eq!(everything(&aws, &chunks), all);

    // A bucket that wants MFA, some deletions in: told with the way out, and the run says that its
    // rows cannot be counted on.
    proxy.when(Rule {
        method: "DELETE",
        path: "versionId=".to_owned(),
        after: 3,
        times: FOR_EVER,
        mishap: Mishap::Answer(403, "AccessDenied"),
    });
    let end = project.expect(1, &["clean", &run, "--confirm", &run]);
    for said in ["s3:DeleteObjectVersion", "MFA", "AccessDenied"] {
        assert!(end.stderr.contains(said), "{said}: {end}");
    }
    proxy.pass();
    assert!(!everything(&aws, &chunks).is_empty());
    let end = project.expect(1, &["verify", &run, "--chunks"]);
    assert!(end.stderr.contains("are being deleted, since 20"), "{end}");

    let left = everything(&aws, &chunks);
    let end = clean_and_kill(&project, &proxy, &run, ("DELETE", "versionId=", 2));
    assert!(end.killed, "{end}");
    assert_eq!(everything(&aws, &chunks).len(), left.len() - 2);

    let end = project.expect(0, &["clean", &run, "--confirm", &run]);
    assert!(end.stdout.contains("are gone"), "{end}");
    assert_eq!(everything(&aws, &chunks), Vec::<String>::new());
    assert_eq!(documents(&aws), before);
}

/// Everything of a run on S3 as it is now, put back in place of what is there.
fn put_back(aws: &Aws, prefix: &str, objects: &[(String, Vec<u8>)]) {
    for key in aws.object_keys(BUCKET, prefix) {
        aws.delete_object(BUCKET, &key);
    }
    for (key, bytes) in objects {
        aws.put_object(BUCKET, key, bytes.clone());
    }
}

#[test]
fn whole_matrix_of_kills_while_a_run_is_cleaned() {
    let pair = pair();
    let server = with_versions();
    let aws = server.aws();
    let proxy = S3Proxy::start(&server.url());
    let project = exported(&pair, &server, &proxy);
    let run = project.run_id();
    let (all, chunks) = (format!("team/{run}/"), format!("team/{run}/chunks/"));
    let keys = aws.object_keys(BUCKET, &all).into_iter();
    let objects: Vec<(String, Vec<u8>)> = keys
        .map(|key| {
            let bytes = aws.object(BUCKET, &key);
            (key, bytes)
        })
        .collect();
    // Whatever its requests are for; of hundreds that delete and ask one after another, some.
    let mut requests = 0;
    loop {
        put_back(&aws, &all, &objects);
        leave_traces(&aws, &chunks);
        let before = everything(&aws, &chunks);
        let end = clean_and_kill(&project, &proxy, &run, ("", "", requests));
        if !end.killed {
            assert_eq!(end.code, Some(0), "{end}");
            break;
        }
        requests += 1 + requests / 8;
        let end = project.expect(0, &["--json", "status", &run]);
        let told: serde_json::Value = serde_json::from_str(&end.stdout).expect("a line of JSON");
        let (left, word) = (everything(&aws, &chunks), &told["staged"]);
        // From the first deletion on nobody is told that they are there, and before the last that
        // they are not.
        assert!(left == before || word != "kept", "{requests}: {end}");
        assert!(left.is_empty() || word != "deleted", "{requests}: {end}");
        let end = project.expect(0, &["clean", &run, "--confirm", &run]);
        assert_eq!(everything(&aws, &chunks), Vec::<String>::new(), "{end}");
        let end = project.expect(0, &["--json", "status", &run]);
        let told: serde_json::Value = serde_json::from_str(&end.stdout).expect("a line of JSON");
        assert_eq!(told["staged"], "deleted", "{requests}: {end}");
    }
    assert!(requests > objects.len(), "{requests} requests");
    let stays = objects.iter().filter(|(key, _)| {
        !key.contains("/chunks/") && !key.contains("/journal/") && !key.ends_with("lease.json")
    });
    for (key, bytes) in stays {
        assert!(aws.object(BUCKET, key) == *bytes, "{key}");
    }
}

#[test]
fn whole_matrix_of_more_than_one_page_of_versions() {
    let pair = pair();
    let server = with_versions();
    let aws = server.aws();
    let project = project!(&pair)
        .with_all(&server.env())
        .with("TOWPATH_STORE", "s3://runs/team");
    project.expect(0, &["export", "--yes"]);
    let run = project.run_id();
    let chunks = format!("team/{run}/chunks/");
    // A page is a thousand; in a third one are delete markers.
    for no in 0..700 {
        let key = format!("{chunks}public.orders/{no:04}.8.bin");
        for _ in 0..2 {
            aws.put_object(BUCKET, &key, b"orphan".to_vec());
        }
        aws.delete_object(BUCKET, &key);
    }
    let staged = aws.object_keys(BUCKET, &chunks).len() + 3 * 700;
    let end = project.expect(0, &["--json", "clean", &run, "--dry-run"]);
    let told: serde_json::Value = serde_json::from_str(&end.stdout).expect("a line of JSON");
    assert_eq!(told["objects"], staged, "{end}");
    let end = project.expect(0, &["--json", "clean", &run, "--confirm", &run]);
    let told: serde_json::Value = serde_json::from_str(&end.stdout).expect("a line of JSON");
    assert_eq!(told["objects"], staged, "{end}");
    assert_eq!(everything(&aws, &chunks), Vec::<String>::new());
}

fn files_below(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, |entries| {
        entries
            .map(|entry| entry.expect("read a directory").path())
            .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
            .sum()
    })
}

#[test]
fn what_has_expired_goes_unless_it_is_still_wanted() {
    let pair = pair();

    // What went nowhere may be the only copy there is.
    let exported = project!(&pair);
    exported.expect(0, &["export", "--yes"]);
    let (run, chunks) = (exported.run_id(), exported.run_folder().join("chunks"));
    let staged = files_below(&chunks);
    let store = format!("file://{}", exported.path().join(".towpath").display());
    let elsewhere = project!(&pair)
        .with("TOWPATH_STORE", &store)
        .with("TOWPATH_CLEAN_RETAIN_DAYS", "0");
    let end = elsewhere.expect(0, &["clean", "--expired", "--yes"]);
    assert!(end.stderr.contains("it was never loaded"), "{end}");
    assert!(staged > 0 && files_below(&chunks) == staged);
    elsewhere.expect(0, &["clean", &run, "--confirm", &run]);
    assert_eq!(files_below(&chunks), 0);

    let project = project!(&pair).with("TOWPATH_CLEAN_RETAIN_DAYS", "0");
    project.expect(0, &["run", "--yes"]);
    let (run, chunks) = (project.run_id(), project.run_folder().join("chunks"));
    let staged = files_below(&chunks);
    assert!(staged > 0);

    // It is the current run here and nothing is switched; elsewhere nobody knows.
    let end = project.expect(0, &["clean", "--expired", "--yes"]);
    assert!(
        end.stderr.contains("left: run") && end.stderr.contains("current run"),
        "{end}"
    );
    assert!(end.stderr.contains("no other run has rows"), "{end}");
    let store = format!("file://{}", project.path().join(".towpath").display());
    let elsewhere = project!(&pair).with("TOWPATH_STORE", &store);
    let end = elsewhere.expect(0, &["clean", "--expired", "--yes"]);
    assert!(end.stderr.contains("older than 30 days"), "{end}");
    let elsewhere = elsewhere.with("TOWPATH_CLEAN_RETAIN_DAYS", "0");
    let end = elsewhere.expect(0, &["clean", "--expired", "--dry-run"]);
    assert!(end.stdout.contains(&run), "{end}");
    assert_eq!(files_below(&chunks), staged);

    // Chunks that a clone has adopted are its own.
    let clone = project.path().join(".towpath/20200101-aaaaaaaa/chunks");
    fs::create_dir_all(&clone).expect("make a folder");
    let first = project.store_files();
    let first = first.iter().find(|(path, _)| path.starts_with(&chunks));
    let (path, bytes) = first.expect("a chunk");
    fs::hard_link(path, clone.join("adopted.bin")).expect("link a chunk");
    elsewhere.expect(0, &["clean", "--expired", "--yes"]);
    assert_eq!(files_below(&chunks), 0);
    assert_eq!(
        &fs::read(clone.join("adopted.bin")).expect("read it"),
        bytes
    );

    let end = project.expect(1, &["verify", &run]);
    assert!(end.stderr.contains("--rows --sequences --schema"), "{end}");
    project.expect(0, &["verify", &run, "--rows", "--sequences", "--schema"]);
    let end = elsewhere.expect(0, &["clean", "--expired", "--yes"]);
    assert!(end.stderr.contains("no run has rows"), "{end}");

    // Asked for by name it is proven again; what somebody brings back is neither denied nor left.
    let end = project.expect(0, &["clean", &run]);
    assert!(end.stdout.contains("nothing is there"), "{end}");
    fs::create_dir_all(&chunks).expect("make a folder");
    fs::write(chunks.join("back.bin"), b"back").expect("write a file");
    project.expect(2, &["clean", &run, "--yes"]);
    project.expect(2, &["clean", &run, "--confirm", "another"]);
    project.expect(0, &["clean", &run, "--confirm", &run]);
    assert_eq!(files_below(&chunks), 0);
    fs::create_dir_all(&chunks).expect("make a folder");
    fs::write(chunks.join("late.bin"), b"late").expect("write a file");
    elsewhere.expect(0, &["clean", "--expired", "--yes"]);
    assert_eq!(files_below(&chunks), 0);
    let end = project.expect(0, &["status", &run]);
    assert!(end.stdout.contains("staged   deleted"), "{end}");
    // The target is not emptied for rows that are not there any more.
    let url = pair.target.url();
    let database = url
        .rsplit('/')
        .next()
        .and_then(|it| it.split('?').next())
        .expect("a URL");
    let end = project.expect(1, &["run", "--run", &run, "--replace", database, "--yes"]);
    assert!(end.stderr.contains("were deleted on 20"), "{end}");
    project.expect(0, &["report", &run]);
}
