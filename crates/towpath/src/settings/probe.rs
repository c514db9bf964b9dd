//! What shows that consumers reach the target.

use super::spec::{SettingSpec, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "probe.invoke",
        "TOWPATH_PROBE_INVOKE",
        "",
        "functions invoked once they are switched, as FUNCTION[:QUALIFIER][=FILE]; FILE holds what they are called with, {} otherwise; * for every switched function",
    ),
    setting(
        "probe.expect",
        "TOWPATH_PROBE_EXPECT",
        "",
        "what the answer of an invoked function must match: lines of FUNCTION and a regular expression, * for every function",
    ),
    setting(
        "probe.sql",
        "TOWPATH_PROBE_SQL",
        "auto",
        "auto: log in at the target with what consumers get and read the tables that row-level security could empty; off: do not, where this machine cannot reach what consumers reach",
    ),
    setting(
        "probe.tables",
        "TOWPATH_PROBE_TABLES",
        "",
        "tables that consumers must not find empty, as SCHEMA.TABLE, or SCHEMA.TABLE@NAME for somebody of verify.access_claims",
    ),
    setting(
        "probe.http",
        "TOWPATH_PROBE_HTTP",
        "",
        "URLs that must answer to GET, separated by commas",
    ),
    setting(
        "probe.http_status",
        "TOWPATH_PROBE_HTTP_STATUS",
        "200-299",
        "statuses that are an answer, such as 200-299,401; a redirect is not followed",
    ),
    setting(
        "probe.alarms",
        "TOWPATH_PROBE_ALARMS",
        "",
        "names or ARNs of CloudWatch alarms that must not be in ALARM",
    ),
    setting(
        "probe.alarms_without_data",
        "TOWPATH_PROBE_ALARMS_WITHOUT_DATA",
        "pass",
        "pass: an alarm without enough data is no alarm; fail: it is one",
    ),
    setting(
        "probe.source_sessions",
        "TOWPATH_PROBE_SOURCE_SESSIONS",
        "report",
        "report: tell who is still connected to the source after the switch; fail: nobody but the platform's own roles may connect anew; off: do not look",
    ),
    setting(
        "probe.timeout_s",
        "TOWPATH_PROBE_TIMEOUT_S",
        "30",
        "seconds that one attempt at a probe may take",
    ),
    setting(
        "probe.attempts",
        "TOWPATH_PROBE_ATTEMPTS",
        "3",
        "attempts at a probe before it has failed",
    ),
    setting(
        "probe.interval_s",
        "TOWPATH_PROBE_INTERVAL_S",
        "15",
        "seconds between two rounds of the watch",
    ),
];
