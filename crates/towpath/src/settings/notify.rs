//! Hooks and notifications.

use super::spec::{SettingSpec, secret, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "hooks.before_fence",
        "TOWPATH_HOOK_BEFORE_FENCE",
        "",
        "command run when the gates are open and nothing is fenced: a program and its arguments, as a list; a failure stops the cutover",
    ),
    setting(
        "hooks.before_switch",
        "TOWPATH_HOOK_BEFORE_SWITCH",
        "",
        "command run when the source is fenced and the target proven equal; a failure lifts the fence",
    ),
    setting(
        "hooks.after_switch",
        "TOWPATH_HOOK_AFTER_SWITCH",
        "",
        "command run when every consumer is switched and probed; a failure puts everything back",
    ),
    setting(
        "hooks.after_watch",
        "TOWPATH_HOOK_AFTER_WATCH",
        "",
        "command run when the watch has ended well",
    ),
    setting(
        "hooks.undone",
        "TOWPATH_HOOK_UNDONE",
        "",
        "command run when a cutover has failed and was undone",
    ),
    setting(
        "hooks.undo_incomplete",
        "TOWPATH_HOOK_UNDO_INCOMPLETE",
        "",
        "command run when a person is needed",
    ),
    setting(
        "hooks.before_rollback",
        "TOWPATH_HOOK_BEFORE_ROLLBACK",
        "",
        "command run before consumers are put back; a failure stops the rollback",
    ),
    setting(
        "hooks.after_rollback",
        "TOWPATH_HOOK_AFTER_ROLLBACK",
        "",
        "command run when consumers are put back and the fence is lifted",
    ),
    setting(
        "hooks.after_clone",
        "TOWPATH_HOOK_AFTER_CLONE",
        "",
        "command run when a clone serves: seed users, feature flags; a failure leaves the clone serving",
    ),
    setting(
        "hooks.timeout_s",
        "TOWPATH_HOOK_TIMEOUT_S",
        "300",
        "seconds that one hook may take before it is ended and counts as failed",
    ),
    secret(
        "notify.webhook_url",
        "TOWPATH_NOTIFY_WEBHOOK_URL",
        "URL that gets each notice as JSON",
    ),
    setting(
        "notify.webhook_url_file",
        "TOWPATH_NOTIFY_WEBHOOK_URL_FILE",
        "",
        "file that holds that URL and nothing else",
    ),
    secret(
        "notify.webhook_secret",
        "TOWPATH_NOTIFY_WEBHOOK_SECRET",
        "key that signs what the webhook gets, by HMAC-SHA256",
    ),
    setting(
        "notify.webhook_secret_file",
        "TOWPATH_NOTIFY_WEBHOOK_SECRET_FILE",
        "",
        "file that holds that key and nothing else",
    ),
    secret(
        "notify.slack_url",
        "TOWPATH_NOTIFY_SLACK_URL",
        "URL of a Slack incoming webhook",
    ),
    setting(
        "notify.slack_url_file",
        "TOWPATH_NOTIFY_SLACK_URL_FILE",
        "",
        "file that holds that URL and nothing else",
    ),
    secret(
        "notify.pagerduty_key",
        "TOWPATH_NOTIFY_PAGERDUTY_KEY",
        "integration key of a PagerDuty service, Events API v2",
    ),
    setting(
        "notify.pagerduty_key_file",
        "TOWPATH_NOTIFY_PAGERDUTY_KEY_FILE",
        "",
        "file that holds that key and nothing else",
    ),
    setting(
        "notify.pagerduty_url",
        "TOWPATH_NOTIFY_PAGERDUTY_URL",
        "https://events.pagerduty.com/v2/enqueue",
        "where PagerDuty takes events; that of its EU region is https://events.eu.pagerduty.com/v2/enqueue",
    ),
    setting(
        "notify.sns_topic",
        "TOWPATH_NOTIFY_SNS_TOPIC",
        "",
        "ARN of an SNS topic that gets each notice",
    ),
    setting(
        "notify.attempts",
        "TOWPATH_NOTIFY_ATTEMPTS",
        "6",
        "how often a notice is sent before it counts as undelivered",
    ),
    setting(
        "notify.timeout_s",
        "TOWPATH_NOTIFY_TIMEOUT_S",
        "10",
        "seconds that one attempt may take, and that the end of the command waits for notices under way",
    ),
];
