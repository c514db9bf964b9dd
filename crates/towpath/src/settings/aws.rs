//! How AWS is reached; how progress is shown.

use super::spec::{SettingSpec, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "aws.profile",
        "TOWPATH_AWS_PROFILE",
        "",
        "AWS profile; the default chain otherwise",
    ),
    setting(
        "aws.region",
        "TOWPATH_AWS_REGION",
        "",
        "AWS region; the default chain otherwise",
    ),
    setting(
        "aws.endpoint_url",
        "TOWPATH_AWS_ENDPOINT_URL",
        "",
        "AWS endpoint; the default chain otherwise",
    ),
    setting(
        "aws.timeout_s",
        "TOWPATH_AWS_TIMEOUT_S",
        "30",
        "seconds an AWS service may take to answer a call of the switch before the call is sent again",
    ),
    setting(
        "aws.sse_kms_key_id",
        "TOWPATH_SSE_KMS_KEY_ID",
        "",
        "KMS key that encrypts stored objects; the bucket's default otherwise",
    ),
    setting(
        "progress",
        "TOWPATH_PROGRESS",
        "auto",
        "auto, plain, json or none",
    ),
];
