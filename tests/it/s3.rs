//! Runs whose store is on S3.

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{MiniStack, S3Server, pair, project};

/// A table whose rows do not compress: its one chunk is larger than a part of a multipart upload.
const INCOMPRESSIBLE: &str = "
    create table public.noise (id integer primary key, bytes bytea not null);
    insert into public.noise
    select i, (select string_agg(extensions.digest(i || '-' || j, 'sha512'), '') from generate_series(1, 160) j)
      from generate_series(1, 2000) i";

#[test]
fn a_run_on_s3_arrives_and_resumes_from_the_store_alone() {
    let pair = pair();
    pair.source.psql(INCOMPRESSIBLE);
    let s3 = S3Server::start();
    s3.aws().create_bucket("runs");
    let project = project!(&pair)
        .with_all(&s3.env())
        .with("TOWPATH_STORE", "s3://runs/team/moves");
    project.expect(0, &["export", "--yes"]);
    let run = project.run_id();
    let prefix = format!("team/moves/{run}/");
    let chunks = s3
        .aws()
        .object_keys("runs", &format!("{prefix}chunks/public.noise/"));
    assert_eq!(chunks.len(), 1, "{chunks:?}");
    assert!(
        s3.aws().object("runs", &chunks[0]).len() > 8 << 20,
        "one part was enough"
    );

    // Another machine: nothing but the store, the URLs and the run's name.
    let elsewhere = project!(&pair)
        .with_all(&s3.env())
        .with("TOWPATH_STORE", "s3://runs/team/moves");
    elsewhere.expect(0, &["load", "--run", &run]);
    elsewhere.expect(0, &["verify", &run]);
    assert_same_rows(&pair);
    let status = elsewhere.expect(0, &["status", &run]);
    assert!(status.stdout.contains("no difference"), "{status}");

    // The stored bytes are proven on S3 as they are on disk.
    let mut bytes = s3.aws().object("runs", &chunks[0]);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    s3.aws().put_object("runs", &chunks[0], bytes);
    let end = elsewhere.expect(12, &["verify", &run, "--chunks"]);
    assert!(end.stdout.contains("public.noise"), "{end}");
    s3.aws().delete_object("runs", &chunks[0]);
    let end = elsewhere.expect(12, &["verify", &run, "--chunks"]);
    assert!(end.stdout.contains("is missing"), "{end}");
}

#[test]
fn an_emulator_with_its_own_opinions_of_s3_serves_too() {
    let pair = pair();
    let aws = MiniStack::start();
    aws.aws().create_bucket("runs");
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("TOWPATH_STORE", "s3://runs");
    project.expect(0, &["run", "--yes"]);
    assert_same_rows(&pair);
}
