//! A run store on S3.
//!
//! Puts are conditional (`If-None-Match: *`), so no object is ever overwritten, and carry the SDK's
//! checksums, so a body damaged on the way is refused. Objects beyond one part go up as multipart
//! uploads whose completion carries the same condition.

use std::fmt;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use towpath_model::digest::Hash;
use towpath_model::{ErrorKind, Failure, Result};

use crate::backend::Version;
use crate::chunk::BLOCK;
use crate::run_store::StoreOptions;

mod copy;
mod delete;
mod versions;

/// Size of a part in bytes. S3 wants at least 5 MiB of every part but the last, and at most 10,000
/// parts: 80 GiB an object, far above any chunk.
const PART: usize = 8 << 20;

/// Parts of one object on their way at once, while the next is filled. One connection to S3 is slower
/// than a reader of rows; each part in flight takes its size in memory, per job.
const IN_FLIGHT: u32 = 2;

/// Parts on their way, and the one that is filled.
pub(crate) const HELD_MAX: usize = (IN_FLIGHT as usize + 1) * PART;

/// Silence that is given up, unless settings say otherwise.
const SILENCE: Duration = Duration::from_secs(60);

/// How long the way to S3 may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a request is tried: 500, 503 SlowDown and lost connections pass within seconds. All
/// attempts together have the time of two that hear nothing, and a half for the waits.
const ATTEMPTS: u32 = 6;

/// How often an answer that breaks off is asked for again.
const BODIES: u32 = 3;

/// Tags of staged data. A lifecycle rule cannot name `<run>/chunks/` of every run by prefix, so it
/// finds what may be deleted by this tag.
const STAGED: &str = "towpath=staged";

#[derive(Clone)]
pub(crate) struct S3Backend {
    client: Client,
    bucket: String,
    prefix: String,
    kms_key: Option<String>,
    silence: Duration,
}

/// The SDK waits for an answer for ever unless told otherwise, and what it takes for a stalled
/// stream is not settable in seconds. A part of 8 MiB has the whole time of an attempt to get there.
fn limits(silence: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT.min(silence))
        .read_timeout(silence)
        .operation_attempt_timeout(silence)
        .operation_timeout(silence * 5 / 2)
        .build()
}

impl S3Backend {
    pub(crate) async fn connect(bucket: String, prefix: String, options: &StoreOptions) -> Self {
        let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &options.region {
            loader = loader.region(aws_config::Region::new(region.clone()));
        }
        if let Some(endpoint) = &options.endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;
        let silence = options.silence.unwrap_or(SILENCE);
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(options.path_style)
            .timeout_config(limits(silence))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .build();
        Self {
            client: Client::from_conf(config),
            bucket,
            prefix,
            kms_key: options.sse_kms_key_id.clone(),
            silence,
        }
    }

    fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.prefix)
        }
    }

    pub(crate) fn describe(&self, key: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(key))
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }

    pub(crate) async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let bytes = Bytes::from(bytes);
        if self.put(key, bytes.clone(), &Version::Absent, None).await? {
            return Ok(());
        }
        let hash = Hash::of(&bytes);
        self.prove_ours(key, bytes.len() as u64, hash).await
    }

    /// A conditional put that was refused may be the repetition of one that was granted and whose
    /// answer was lost: then the object holds these very bytes.
    async fn prove_ours(&self, key: &str, length: u64, hash: Hash) -> Result<()> {
        let mut found = blake3::Hasher::new();
        let mut found_length = 0;
        if let Some(mut reader) = self.reader(key).await? {
            while let Some(block) = reader.next().await? {
                found.update(&block);
                found_length += block.len() as u64;
            }
        }
        match found_length == length && Hash::from(found.finalize()) == hash {
            true => Ok(()),
            false => Err(self.exists(key)),
        }
    }

    pub(crate) async fn replace(&self, key: &str, bytes: Vec<u8>, old: &Version) -> Result<bool> {
        self.put(key, bytes.into(), old, None).await
    }

    /// Puts if the object is of this version; `false` when it is of another.
    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        old: &Version,
        tags: Option<&str>,
    ) -> Result<bool> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .checksum_algorithm(ChecksumAlgorithm::Crc32C)
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.kms_key.clone())
            .set_tagging(tags.map(str::to_owned))
            .body(ByteStream::from(bytes));
        let request = match old {
            Version::Absent => request.if_none_match("*"),
            Version::Tag(tag) => request.if_match(tag),
        };
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_precondition(&error) => Ok(false),
            Err(error) => Err(self.failure("put", key, error)),
        }
    }

    /// Reads an object whole. The SDK tries again when no answer begins, not when one breaks off.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>> {
        let mut attempt = 1;
        loop {
            let Some((mut reader, tag)) = self.open(key).await? else {
                return Ok(None);
            };
            match reader.rest().await {
                Err(failure) if attempt < BODIES => {
                    tracing::warn!(?failure, attempt, "reading it again");
                    attempt += 1;
                }
                read => return read.map(|bytes| Some((bytes, tag))),
            }
        }
    }

    pub(crate) fn writer(&self, key: &str) -> S3Writer {
        S3Writer {
            backend: self.clone(),
            key: key.to_owned(),
            buffer: Vec::new(),
            upload: None,
            numbered: 0,
            sending: JoinSet::new(),
            parts: Vec::new(),
            length: 0,
            busy: Duration::ZERO,
        }
    }

    pub(crate) async fn reader(&self, key: &str) -> Result<Option<S3Reader>> {
        let opened = self.open(key).await?;
        Ok(opened.map(|(reader, _)| reader))
    }

    /// An object's bytes and its entity tag.
    async fn open(&self, key: &str) -> Result<Option<(S3Reader, String)>> {
        let got = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .send()
            .await;
        let object = match got {
            Ok(object) => object,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(self.failure("get", key, error)),
        };
        let tag = object.e_tag().unwrap_or_default().to_owned();
        let reader = S3Reader {
            body: object.body,
            place: self.describe(key),
            silence: self.silence,
        };
        Ok(Some((reader, tag)))
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: String,
        number: i32,
        body: Bytes,
    ) -> Result<CompletedPart> {
        let sent = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.key(key))
            .upload_id(upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32C)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| self.failure("send a part of", key, error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32_c(sent.checksum_crc32_c)
            .build())
    }

    pub(crate) async fn probe(&self) -> Result<()> {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failure("reach the bucket of", "", error)),
        }
    }

    fn exists(&self, key: &str) -> Failure {
        Failure::new(
            ErrorKind::ObjectExists,
            format!("could not put {}: it exists already", self.describe(key)),
        )
    }

    fn failure<E>(&self, verb: &str, key: &str, error: SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let code = error.code().unwrap_or_default().to_owned();
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let kind = match (&error, status) {
            (SdkError::TimeoutError(_), _) => ErrorKind::Connect,
            // Credentials that cannot be had do not come by themselves.
            (SdkError::DispatchFailure(cause), _) if !cause.is_user() => ErrorKind::Connect,
            // Its own attempts are used up; one that begins later may be lucky.
            (_, Some(429 | 500 | 502 | 503 | 504)) => ErrorKind::Connect,
            // An answer that broke off.
            (SdkError::ResponseError(_), _) => ErrorKind::Connect,
            _ => ErrorKind::StoreAccess,
        };
        let hint = match (code.as_str(), status) {
            ("NoSuchBucket", _) => {
                "create the bucket first; infra/towpath.yaml has one as it should be"
            }
            ("ExpiredToken" | "ExpiredTokenException" | "RequestExpired", _) => {
                "the credentials have expired: renew them (aws sso login, a new session), then the same command resumes"
            }
            ("RequestTimeTooSkewed", _) => {
                "the clock of this machine is wrong; set it, then the same command resumes"
            }
            ("AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch", _)
            | (_, Some(403)) => {
                "check AWS_PROFILE or the role, and that it may s3:GetObject, s3:PutObject and s3:ListBucket there; infra/README.md lists what each stage needs"
            }
            (_, Some(404)) => {
                "the bucket does not exist, or not in this region; check --store and AWS_REGION"
            }
            _ if kind == ErrorKind::Connect => {
                "check network, AWS_REGION and AWS_ENDPOINT_URL; the same command resumes"
            }
            _ => "the same command resumes once S3 answers again",
        };
        Failure::new(kind, format!("could not {verb} {}", self.describe(key)))
            .because(match (code.as_str(), status) {
                ("", _) | (_, None) => SdkCause(DisplayErrorContext(&error).to_string()),
                (code, Some(status)) => SdkCause(format!("S3 answered {status} {code}")),
            })
            .hint(hint)
    }
}

/// The SDK's error as text: it names requests and codes, never bodies or credentials.
#[derive(Debug)]
struct SdkCause(String);

impl fmt::Display for SdkCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The context ends in a debug dump of the whole response; the sentence before is enough.
        f.write_str(self.0.split(" (").next().unwrap_or_default())
    }
}

impl std::error::Error for SdkCause {}

fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    // A missing bucket must stay an error: only the key may be absent.
    matches!(error.code(), Some("NoSuchKey"))
}

/// The same of an answer to HEAD, which has no body that could name a code.
fn is_not_there<E>(error: &SdkError<E>) -> bool {
    error
        .raw_response()
        .is_some_and(|response| response.status().as_u16() == 404)
}

fn is_precondition<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    // 409 ConditionalRequestConflict: another conditional write of the key is under way.
    matches!(
        error.code(),
        Some("PreconditionFailed" | "ConditionalRequestConflict")
    ) || error
        .raw_response()
        .is_some_and(|response| response.status().as_u16() == 412)
}

/// An object on its way to S3.
pub struct S3Writer {
    backend: S3Backend,
    key: String,
    buffer: Vec<u8>,
    upload: Option<String>,
    /// Parts that were begun.
    numbered: i32,
    sending: JoinSet<Result<(CompletedPart, Duration)>>,
    parts: Vec<CompletedPart>,
    length: u64,
    /// Time of all requests together.
    busy: Duration,
}

impl S3Writer {
    pub(crate) async fn write(&mut self, mut block: Vec<u8>) -> Result<Vec<u8>> {
        self.length += block.len() as u64;
        if self.buffer.is_empty() && block.len() < PART / 2 && self.upload.is_none() {
            // The first block of what may be a small object: no copy of it.
            return Ok(std::mem::replace(&mut self.buffer, block));
        }
        let mut bytes = block.as_slice();
        while !bytes.is_empty() {
            let room = PART.saturating_sub(self.buffer.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if self.buffer.capacity() < PART {
                self.buffer.reserve_exact(PART - self.buffer.len());
            }
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == PART {
                self.send_part().await?;
            }
        }
        block.clear();
        Ok(block)
    }

    async fn begin_upload(&self) -> Result<String> {
        let backend = &self.backend;
        let created = backend
            .client
            .create_multipart_upload()
            .bucket(&backend.bucket)
            .key(backend.key(&self.key))
            .tagging(STAGED)
            .checksum_algorithm(ChecksumAlgorithm::Crc32C)
            .set_server_side_encryption(backend.encryption())
            .set_ssekms_key_id(backend.kms_key.clone())
            .send()
            .await
            .map_err(|error| backend.failure("begin the upload of", &self.key, error))?;
        created.upload_id.ok_or_else(|| {
            let place = backend.describe(&self.key);
            Failure::new(
                ErrorKind::StoreAccess,
                format!("S3 gave no upload id for {place}"),
            )
        })
    }

    /// Sends the buffer as a part, in the background once there is room for one more.
    async fn send_part(&mut self) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let upload = self.begin_upload().await?;
                self.upload = Some(upload.clone());
                upload
            }
        };
        while self.sending.len() >= IN_FLIGHT as usize {
            self.part_sent().await?;
        }
        self.numbered += 1;
        let body = Bytes::from(std::mem::take(&mut self.buffer));
        let (backend, key, number) = (self.backend.clone(), self.key.clone(), self.numbered);
        self.sending.spawn(async move {
            let began = Instant::now();
            let part = Box::pin(backend.upload_part(&key, upload, number, body)).await?;
            Ok((part, began.elapsed()))
        });
        Ok(())
    }

    /// Waits for one of the parts that are on their way.
    async fn part_sent(&mut self) -> Result<()> {
        let Some(joined) = self.sending.join_next().await else {
            return Ok(());
        };
        let (part, time) = joined.map_err(|panic| {
            Failure::new(ErrorKind::Internal, "an upload to S3 panicked").because(panic)
        })??;
        self.parts.push(part);
        self.busy += time;
        Ok(())
    }

    pub(crate) async fn finish(mut self, hash: Hash) -> Result<Duration> {
        let began = Instant::now();
        if self.upload.is_none() {
            let bytes = Bytes::from(std::mem::take(&mut self.buffer));
            let backend = &self.backend;
            if !backend
                .put(&self.key, bytes, &Version::Absent, Some(STAGED))
                .await?
            {
                backend.prove_ours(&self.key, self.length, hash).await?;
            }
            return Ok(began.elapsed());
        }
        let finished = self.complete(hash).await;
        let busy = self.busy;
        // The parts of an upload that comes to nothing would be paid for until they expire. A store
        // that does not answer would not hear of it.
        if matches!(&finished, Err(failure) if failure.kind() != ErrorKind::Connect) {
            let _ = self.abort().await;
        }
        // As if one after the other, which is what the caller would have waited for.
        finished.map(|completing| busy / IN_FLIGHT + completing)
    }

    /// Sends what is left and completes the upload; gives the time that the completion took.
    async fn complete(&mut self, hash: Hash) -> Result<Duration> {
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        while !self.sending.is_empty() {
            self.part_sent().await?;
        }
        self.parts.sort_by_key(CompletedPart::part_number);
        let began = Instant::now();
        let backend = &self.backend;
        let completed = backend
            .client
            .complete_multipart_upload()
            .bucket(&backend.bucket)
            .key(backend.key(&self.key))
            .set_upload_id(self.upload.clone())
            .if_none_match("*")
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(std::mem::take(&mut self.parts)))
                    .build(),
            )
            .send()
            .await;
        match completed {
            Ok(_) => Ok(began.elapsed()),
            // A completion that is repeated after a lost answer finds the object, or no upload.
            Err(error) if is_precondition(&error) || error.code() == Some("NoSuchUpload") => {
                backend.prove_ours(&self.key, self.length, hash).await?;
                Ok(began.elapsed())
            }
            Err(error) => Err(backend.failure("complete", &self.key, error)),
        }
    }

    pub(crate) async fn abort(mut self) -> Result<()> {
        // A part that is still on its way might outlive the upload and be paid for.
        self.sending.shutdown().await;
        let Some(upload) = self.upload else {
            return Ok(());
        };
        let backend = &self.backend;
        backend
            .client
            .abort_multipart_upload()
            .bucket(&backend.bucket)
            .key(backend.key(&self.key))
            .upload_id(upload)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| backend.failure("abort the upload of", &self.key, error))
    }
}

/// An object read from S3.
pub struct S3Reader {
    body: ByteStream,
    place: String,
    silence: Duration,
}

impl S3Reader {
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let broken = || {
            Failure::new(
                ErrorKind::Connect,
                format!("could not read {} to its end", self.place),
            )
            .hint("the connection to S3 broke or the body did not match its checksum; the same command resumes")
        };
        match tokio::time::timeout(self.silence, self.body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(cause))) => Err(broken().because(cause)),
            Err(_) => {
                let silence = self.silence.as_secs();
                Err(broken().because(format!("nothing came for {silence} s")))
            }
        }
    }

    /// The next bytes, gathered: the SDK gives what one read of the connection gave.
    async fn gather(&mut self) -> Result<Option<Bytes>> {
        let Some(first) = self.next().await? else {
            return Ok(None);
        };
        if first.len() >= BLOCK / 2 {
            return Ok(Some(first));
        }
        let mut gathered = Vec::with_capacity(BLOCK);
        gathered.extend_from_slice(&first);
        while gathered.len() < BLOCK / 2 {
            let Some(more) = self.next().await? else {
                break;
            };
            gathered.extend_from_slice(&more);
        }
        Ok(Some(Bytes::from(gathered)))
    }

    /// Reads a block ahead of whoever asks.
    pub(crate) fn ahead(mut self) -> S3Ahead {
        let (sender, blocks) = mpsc::channel(1);
        let reading = tokio::spawn(async move {
            loop {
                let next = Box::pin(self.gather()).await.transpose();
                let is_last = !matches!(next, Some(Ok(_)));
                let gone = match next {
                    Some(block) => sender.send(block).await.is_err(),
                    None => true,
                };
                if gone || is_last {
                    return;
                }
            }
        });
        S3Ahead { blocks, reading }
    }

    async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(block) = self.next().await? {
            bytes.extend_from_slice(&block);
        }
        Ok(bytes)
    }
}

/// An object that is read from S3 while what came before is used.
pub struct S3Ahead {
    blocks: mpsc::Receiver<Result<Bytes>>,
    reading: JoinHandle<()>,
}

impl S3Ahead {
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        self.blocks.recv().await.transpose()
    }
}

impl Drop for S3Ahead {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
