//! The gates of a cutover.

use super::spec::{SettingSpec, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "cutover.checks",
        "TOWPATH_CUTOVER_CHECKS",
        "fail",
        "checks of `towpath check` that close the gate: fail: those that fail; warn: those that warn, too; none: they are not gone through",
    ),
    setting(
        "cutover.snapshot",
        "TOWPATH_CUTOVER_SNAPSHOT",
        "auto",
        "RDS snapshot of the target: auto: the one from before the load must be there, unless target.rds_snapshot is never; required: it must be there in any case; take: another one is taken of the loaded target, and waited for; never: nobody asks",
    ),
    setting(
        "cutover.max_verification_age",
        "TOWPATH_CUTOVER_MAX_VERIFICATION_AGE",
        "24h",
        "how old the verification may be that the cutover rests on, such as 90m, 24h or 7d",
    ),
    setting(
        "cutover.approval",
        "TOWPATH_CUTOVER_APPROVAL",
        "none",
        "who must approve what is switched: none: nobody; digest: somebody else, named by --approver, who gave --approve the digest; file: a file of somebody else's, in the run store or at cutover.approval_file",
    ),
    setting(
        "cutover.approvers",
        "TOWPATH_CUTOVER_APPROVERS",
        "",
        "names of those who may approve, separated by commas; anybody else when this is empty",
    ),
    setting(
        "cutover.approval_file",
        "TOWPATH_CUTOVER_APPROVAL_FILE",
        "",
        "file of the approval; approvals/DIGEST.json in the run's folder when this is empty",
    ),
    setting(
        "cutover.approver_key",
        "TOWPATH_CUTOVER_APPROVER_KEY",
        "",
        "ed25519 public key that must have signed the file of the approval: 64 hex digits or a PEM file; the signature is beside it, with .sig in place of .json",
    ),
    setting(
        "cutover.rehearsal",
        "TOWPATH_CUTOVER_REHEARSAL",
        "wanted",
        "required: a rehearsal of the same schema must have gone well; wanted: it is told whether one has; none: nobody asks",
    ),
    setting(
        "cutover.rehearsal_run",
        "TOWPATH_CUTOVER_REHEARSAL_RUN",
        "",
        "run id of that rehearsal, in the same run store; the last one made from this directory when this is empty",
    ),
    setting(
        "cutover.window",
        "TOWPATH_CUTOVER_WINDOW",
        "",
        "when a cutover may be made, such as Sat 22:00-02:00 UTC, daily 01:00-03:00 +02:00 or 2026-12-05 22:00-02:00 UTC; several are separated by commas; at any time when this is empty",
    ),
];
