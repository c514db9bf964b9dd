//! A run store on S3.
//!
//! Puts are conditional (`If-None-Match: *`), so no object is ever overwritten, and carry the SDK's
//! checksums, so a body damaged on the way is refused. Objects beyond one part go up as multipart
//! uploads whose completion carries the same condition.

use std::fmt;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use bytes::Bytes;
use towpath_model::{ErrorKind, Failure, Result};

use crate::backend::Version;
use crate::run_store::StoreOptions;

/// Size of a part in bytes. S3 wants at least 5 MiB of every part but the last, and at most 10,000
/// parts: 80 GiB an object, far above any chunk.
const PART: usize = 8 << 20;

/// Tags of staged data. A lifecycle rule cannot name `<run>/chunks/` of every run by prefix, so it
/// finds what may be deleted by this tag.
const STAGED: &str = "towpath=staged";

#[derive(Clone)]
pub(crate) struct S3Backend {
    client: Client,
    bucket: String,
    prefix: String,
    kms_key: Option<String>,
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
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(options.path_style)
            .build();
        Self {
            client: Client::from_conf(config),
            bucket,
            prefix,
            kms_key: options.sse_kms_key_id.clone(),
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
        self.put_absent(key, bytes, None).await
    }

    async fn put_absent(&self, key: &str, bytes: Vec<u8>, tags: Option<&str>) -> Result<()> {
        let (length, hash) = (bytes.len() as u64, blake3::hash(&bytes));
        if self.put(key, bytes, &Version::Absent, tags).await? {
            return Ok(());
        }
        self.prove_ours(key, length, hash).await
    }

    /// A conditional put that was refused may be the repetition of one that was granted and whose
    /// answer was lost: then the object holds these very bytes.
    async fn prove_ours(&self, key: &str, length: u64, hash: blake3::Hash) -> Result<()> {
        let mut found = blake3::Hasher::new();
        let mut found_length = 0;
        if let Some(mut reader) = self.reader(key).await? {
            while let Some(block) = reader.next().await? {
                found.update(&block);
                found_length += block.len() as u64;
            }
        }
        match found_length == length && found.finalize() == hash {
            true => Ok(()),
            false => Err(self.exists(key)),
        }
    }

    pub(crate) async fn replace(&self, key: &str, bytes: Vec<u8>, old: &Version) -> Result<bool> {
        self.put(key, bytes, old, None).await
    }

    /// Puts if the object is of this version; `false` when it is of another.
    async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
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

    pub(crate) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>> {
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
        let bytes = object.body.collect().await.map_err(|cause| {
            Failure::new(
                ErrorKind::StoreAccess,
                format!("could not read {}", self.describe(key)),
            )
            .because(cause)
        })?;
        Ok(Some((bytes.to_vec(), tag)))
    }

    pub(crate) fn writer(&self, key: &str) -> S3Writer {
        S3Writer {
            backend: self.clone(),
            key: key.to_owned(),
            buffer: Vec::new(),
            upload: None,
            parts: Vec::new(),
            length: 0,
            hash: blake3::Hasher::new(),
        }
    }

    pub(crate) async fn reader(&self, key: &str) -> Result<Option<S3Reader>> {
        let got = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .send()
            .await;
        match got {
            Ok(object) => Ok(Some(S3Reader {
                body: object.body,
                place: self.describe(key),
            })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.failure("get", key, error)),
        }
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
        let kind = match &error {
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => ErrorKind::Connect,
            _ => ErrorKind::StoreAccess,
        };
        let hint = match (code.as_str(), status) {
            ("NoSuchBucket", _) => {
                "create the bucket first; infra/towpath.yaml has one as it should be"
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
            .because(SdkCause(DisplayErrorContext(&error).to_string()))
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
    parts: Vec<CompletedPart>,
    length: u64,
    hash: blake3::Hasher,
}

impl S3Writer {
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
        while !bytes.is_empty() {
            let room = PART - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == PART {
                self.send_part().await?;
            }
        }
        Ok(())
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

    async fn send_part(&mut self) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let upload = self.begin_upload().await?;
                self.upload = Some(upload.clone());
                upload
            }
        };
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let body = std::mem::take(&mut self.buffer);
        let backend = &self.backend;
        let sent = backend
            .client
            .upload_part()
            .bucket(&backend.bucket)
            .key(backend.key(&self.key))
            .upload_id(upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32C)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| backend.failure("send a part of", &self.key, error))?;
        self.parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(sent.e_tag)
                .set_checksum_crc32_c(sent.checksum_crc32_c)
                .build(),
        );
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<()> {
        if self.upload.is_none() {
            let bytes = std::mem::take(&mut self.buffer);
            return self
                .backend
                .put_absent(&self.key, bytes, Some(STAGED))
                .await;
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        let backend = &self.backend;
        let parts = std::mem::take(&mut self.parts);
        let completed = backend
            .client
            .complete_multipart_upload()
            .bucket(&backend.bucket)
            .key(backend.key(&self.key))
            .set_upload_id(self.upload.clone())
            .if_none_match("*")
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts))
                    .build(),
            )
            .send()
            .await;
        match completed {
            Ok(_) => Ok(()),
            // A completion that is repeated after a lost answer finds the object, or no upload.
            Err(error) if is_precondition(&error) || error.code() == Some("NoSuchUpload") => {
                let proof = backend
                    .prove_ours(&self.key, self.length, self.hash.finalize())
                    .await;
                if proof.is_err() {
                    // The parts of an upload that lost the race would be paid for until they expire.
                    let _ = self.abort().await;
                }
                proof
            }
            Err(error) => Err(backend.failure("complete", &self.key, error)),
        }
    }

    pub(crate) async fn abort(self) -> Result<()> {
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
}

impl S3Reader {
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.body.next().await {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(cause)) => Err(Failure::new(
                ErrorKind::Connect,
                format!("could not read {} to its end", self.place),
            )
            .because(cause)
            .hint("the connection to S3 broke or the body did not match its checksum; the same command resumes")),
        }
    }
}
