//! Clones: where, how masked, what stays.

use super::spec::{SettingSpec, secret, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    secret(
        "clone.url",
        "TOWPATH_CLONE_URL",
        "URL of a database on the server that clones are made on; the target's unless told; only from the environment",
    ),
    setting(
        "clone.url_file",
        "TOWPATH_CLONE_URL_FILE",
        "",
        "file that holds the URL of a database on the server that clones are made on; the target's unless told",
    ),
    secret(
        "clone.password",
        "TOWPATH_CLONE_PASSWORD",
        "password for a URL in `clone --to`; only from the environment",
    ),
    setting(
        "clone.rules",
        "TOWPATH_CLONE_RULES",
        "",
        "rules file: masks, allowed columns, references and subset of clones",
    ),
    secret(
        "clone.key",
        "TOWPATH_MASK_KEY",
        "key of masks, of at least 16 characters; only from the environment",
    ),
    setting(
        "clone.key_file",
        "TOWPATH_MASK_KEY_FILE",
        "",
        "file that holds the key of masks",
    ),
    setting(
        "clone.key_secret_id",
        "TOWPATH_MASK_KEY_SECRET_ID",
        "",
        "name or ARN of the secret in Secrets Manager whose text is the key of masks",
    ),
    setting(
        "clone.key_parameter_name",
        "TOWPATH_MASK_KEY_PARAMETER_NAME",
        "",
        "name or ARN of the parameter in Parameter Store whose text is the key of masks",
    ),
    setting(
        "clone.keep",
        "TOWPATH_CLONE_KEEP",
        "1",
        "clones before the serving one that are kept: a number, 0 for none",
    ),
    setting(
        "clone.drain_s",
        "TOWPATH_CLONE_DRAIN_S",
        "10",
        "seconds that sessions of the clone before have to end by themselves before they are ended",
    ),
    setting(
        "clone.after_sql",
        "TOWPATH_CLONE_AFTER_SQL",
        "",
        "file of SQL that is run on a clone once it serves, in one transaction: seed users, feature flags",
    ),
    setting(
        "clone.auth",
        "TOWPATH_CLONE_AUTH",
        "ids",
        "rows of schema auth: ids (users with nothing but id, role and state of the account), masked (by the rules alone) or none",
    ),
    setting(
        "clone.sequences",
        "TOWPATH_CLONE_SEQUENCES",
        "carry",
        "carry: sequences stand where the source has them; fit: behind the greatest value of their column",
    ),
    setting(
        "clone.reuse",
        "TOWPATH_CLONE_REUSE",
        "yes",
        "yes: stored chunks of the clone before are used again where a table is proven unchanged; no: every table is read",
    ),
    setting(
        "clone.residual",
        "TOWPATH_CLONE_RESIDUAL",
        "check",
        "check: look through the finished clone for values of the source's; off: do not",
    ),
    setting(
        "clean.retain_days",
        "TOWPATH_CLEAN_RETAIN_DAYS",
        "30",
        "days that staged rows are kept before `clean --expired` deletes them; 0 for none",
    ),
];
