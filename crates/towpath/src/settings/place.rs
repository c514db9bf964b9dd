//! Where: the run store, the source, the target.

use super::spec::{SettingSpec, secret, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "store",
        "TOWPATH_STORE",
        "",
        "run store: file:///directory or s3://bucket/prefix; default: .towpath beside the configuration file",
    ),
    secret(
        "source.url",
        "TOWPATH_SOURCE_URL",
        "URL of the source; only from the environment",
    ),
    setting(
        "source.url_file",
        "TOWPATH_SOURCE_URL_FILE",
        "",
        "file that holds the URL of the source and nothing else",
    ),
    setting(
        "source.root_cert",
        "TOWPATH_SOURCE_ROOT_CERT",
        "",
        "root certificates of the source, PEM",
    ),
    setting(
        "source.max_load",
        "TOWPATH_MAX_SOURCE_LOAD",
        "",
        "pause reading while the source is above: sessions=40 active, lag=512MiB of WAL, lag=30s, query=10; several with commas",
    ),
    setting(
        "source.load_query",
        "TOWPATH_SOURCE_LOAD_QUERY",
        "",
        "query for the source's load: a number, limited by query= in source.max_load, or a boolean that is true while it is too much",
    ),
    setting(
        "source.max_pause_s",
        "TOWPATH_MAX_PAUSE_S",
        "3600",
        "seconds that one pause for the source's load may last before the export ends; the same command resumes",
    ),
    secret(
        "target.url",
        "TOWPATH_TARGET_URL",
        "URL of the target; only from the environment",
    ),
    setting(
        "target.url_file",
        "TOWPATH_TARGET_URL_FILE",
        "",
        "file that holds the URL of the target and nothing else",
    ),
    setting(
        "target.root_cert",
        "TOWPATH_TARGET_ROOT_CERT",
        "",
        "root certificates of the target, PEM",
    ),
    setting(
        "target.rds_instance",
        "TOWPATH_TARGET_RDS_INSTANCE",
        "",
        "identifier of the target's RDS instance; found by its endpoint when the host is one of RDS",
    ),
    setting(
        "target.rds_snapshot",
        "TOWPATH_TARGET_RDS_SNAPSHOT",
        "auto",
        "auto: take an RDS snapshot before the load when the target is an RDS instance; never: do not",
    ),
];
