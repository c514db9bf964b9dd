//! Copies of objects that S3 makes itself: no byte travels here and back.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, TaggingDirective};
use towpath_model::{ErrorKind, Failure, Result};

use super::{S3Backend, STAGED, is_not_there, is_precondition};

/// Bytes up to which an object is copied by one request. S3 would take five gigabytes and answer when
/// it is done, which is later than a silent answer is waited for.
const AT_ONCE: u64 = 512 << 20;

/// Bytes of a part of what is bigger.
const PART: u64 = 256 << 20;

impl S3Backend {
    /// Copies an object of so many bytes, within the region; one that is there already stays.
    pub(crate) async fn adopt(
        &self,
        source: &Self,
        source_key: &str,
        key: &str,
        bytes: u64,
    ) -> Result<()> {
        source.prove_length(source_key, bytes).await?;
        match bytes > AT_ONCE {
            true => self.copy_by_parts(source, source_key, key, bytes).await?,
            false => self.copy_at_once(source, source_key, key).await?,
        }
        self.prove_length(key, bytes).await
    }

    async fn prove_length(&self, key: &str, bytes: u64) -> Result<()> {
        let asked = self.client.head_object().bucket(&self.bucket);
        let found = match asked.key(self.key(key)).send().await {
            Ok(found) => found.content_length(),
            Err(error) if is_not_there(&error) => {
                let letter = format!("{} is missing", self.describe(key));
                return Err(Failure::new(ErrorKind::ObjectMissing, letter));
            }
            Err(error) => return Err(self.failure("look at", key, error)),
        };
        let found = found.unwrap_or_default();
        if u64::try_from(found).ok() == Some(bytes) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::ChunkCorrupt,
            format!(
                "{} has {found} bytes, {bytes} were stored",
                self.describe(key)
            ),
        ))
    }

    /// What a request names the source by.
    fn copy_source(&self, key: &str) -> String {
        encoded(&format!("{}/{}", self.bucket, self.key(key)))
    }

    async fn copy_at_once(&self, source: &Self, source_key: &str, key: &str) -> Result<()> {
        let copied = self
            .client
            .copy_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .copy_source(source.copy_source(source_key))
            .if_none_match("*")
            // Said, not copied: a role that may set this one tag needs no right to read others.
            .tagging_directive(TaggingDirective::Replace)
            .tagging(STAGED)
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.kms_key.clone())
            .send()
            .await;
        match copied {
            Ok(_) => Ok(()),
            Err(error) if is_precondition(&error) => Err(self.exists(key)),
            Err(error) => Err(self.failure("copy", key, error)),
        }
    }

    async fn copy_by_parts(
        &self,
        source: &Self,
        source_key: &str,
        key: &str,
        bytes: u64,
    ) -> Result<()> {
        let mut writer = self.writer(key);
        let upload = writer.begin_upload().await?;
        writer.upload = Some(upload.clone());
        let copied = self
            .copy_parts(source, source_key, key, &upload, bytes)
            .await;
        if copied.is_err() {
            // Parts of an upload that comes to nothing are paid for until they expire.
            let _ = writer.abort().await;
        }
        copied
    }

    async fn copy_parts(
        &self,
        source: &Self,
        source_key: &str,
        key: &str,
        upload: &str,
        bytes: u64,
    ) -> Result<()> {
        let mut parts = Vec::new();
        let mut from = 0;
        for number in 1.. {
            if from == bytes {
                break;
            }
            let end = bytes.min(from + PART);
            let copied = self
                .client
                .upload_part_copy()
                .bucket(&self.bucket)
                .key(self.key(key))
                .upload_id(upload)
                .part_number(number)
                .copy_source(source.copy_source(source_key))
                .copy_source_range(format!("bytes={from}-{}", end - 1))
                .send()
                .await
                .map_err(|error| self.failure("copy a part of", key, error))?;
            let result = copied.copy_part_result();
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(result.and_then(|it| it.e_tag()).map(str::to_owned))
                    .set_checksum_crc32_c(
                        result
                            .and_then(|it| it.checksum_crc32_c())
                            .map(str::to_owned),
                    )
                    .build(),
            );
            from = end;
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.key(key))
            .upload_id(upload)
            .if_none_match("*")
            .multipart_upload(parts.build())
            .send()
            .await;
        match completed {
            Ok(_) => Ok(()),
            Err(error) if is_precondition(&error) => Err(self.exists(key)),
            // Repeated after a lost answer; the length of what is there is proven by the caller, and
            // its hash by whoever reads it.
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(self.failure("complete", key, error)),
        }
    }
}

/// As a header wants it: everything but letters, digits and a few marks in per cent.
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_survive_the_header() {
        assert_eq!(encoded("b/a b/ü+%.csv"), "b/a%20b/%C3%BC%2B%25.csv");
    }
}
