//! Runs whose store is on S3.

use serde_json::Value;
use towpath_tests::oracle::assert_same_rows;
use towpath_tests::tcp_proxy::{Direction, Fault};
use towpath_tests::{MiniStack, Pair, S3Server, TcpProxy, pair, project};

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
        .with("TOWPATH_STORE", "s3://runs/team/moves")
        .with("TOWPATH_CHUNK_MIB", "64");
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

/// Digits: half of their bytes say nothing, and nothing repeats.
const DIGITS: &str = "
    create table public.digits (id integer primary key, hex text not null);
    insert into public.digits
    select i, (select string_agg(md5(i || '-' || j), '') from generate_series(1, 16) j)
      from generate_series(1, 120000) i";

/// Codec and key of each chunk of the table of digits, in the order in which they are read.
fn codecs(manifest: &[u8]) -> Vec<(String, String)> {
    let manifest: Value = serde_json::from_slice(manifest).expect("a manifest is JSON");
    let tables = manifest["tables"].as_array().expect("it lists tables");
    let digits = tables
        .iter()
        .find(|table| table["table"] == "public.digits")
        .expect("it lists the table of digits");
    let chunks = digits["chunks"].as_array().expect("it lists chunks");
    let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
    chunks
        .iter()
        .map(|chunk| (text(&chunk["codec"]), text(&chunk["key"])))
        .collect()
}

fn file_codecs(pair: &Pair, codec: &str) -> Vec<(String, String)> {
    let project = project!(pair)
        .with("TOWPATH_CHUNK_MIB", "2")
        .with("TOWPATH_COPY_CODEC", codec);
    project.expect(0, &["export", "--yes"]);
    let files = project.store_files();
    let (_, manifest) = files
        .iter()
        .find(|(path, _)| path.ends_with("manifest.json"))
        .expect("the export is sealed");
    codecs(manifest)
}

#[test]
fn the_codec_follows_the_store() {
    let pair = pair();
    pair.source.psql(DIGITS);
    let near = file_codecs(&pair, "auto");
    let is_plain = |(codec, key): &(String, String)| codec == "none" && key.ends_with(".bin");
    // A busy disk may look slow for a moment.
    let plain = near.iter().filter(|chunk| is_plain(chunk)).count();
    assert!(plain * 4 > near.len() * 3, "{near:?}");
    for (setting, codec) in [("fast", "zstd-fast"), ("zstd", "zstd")] {
        let told = file_codecs(&pair, setting);
        assert!(told.iter().all(|(found, _)| found == codec), "{told:?}");
    }

    let s3 = S3Server::start();
    s3.aws().create_bucket("runs");
    let port = s3
        .url()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    let proxy = TcpProxy::start(port.expect("the endpoint has a port"));
    proxy.set(Fault::Throttle(Direction::ToServer, 512 << 10));
    let project = project!(&pair)
        .with_all(&s3.env())
        .with(
            "AWS_ENDPOINT_URL_S3",
            &format!("http://127.0.0.1:{}", proxy.port()),
        )
        .with("TOWPATH_STORE", "s3://runs")
        .with("TOWPATH_CHUNK_MIB", "2");
    project.expect(0, &["run", "--yes"]);
    assert_same_rows(&pair);
    let manifest = format!("{}/manifest.json", project.run_id());
    let slow = codecs(&s3.aws().object("runs", &manifest));
    assert!(slow.len() >= 20, "{slow:?}");
    assert_eq!(slow[0].0, "zstd-fast", "{slow:?}");
    let settled = &slow[slow.len() - 4..];
    assert!(settled.iter().all(|(codec, _)| codec == "zstd"), "{slow:?}");
    assert!(slow.iter().all(|(_, key)| key.ends_with(".bin.zst")));
}
