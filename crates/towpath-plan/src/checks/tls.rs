//! Rows cross networks: encrypted, to a server that proved who it is.

use towpath_model::connection::Side;
use towpath_model::plan::CheckResult;

use super::{Facts, pass, warn};

pub(super) fn check(facts: &Facts<'_>, side: Side) -> CheckResult {
    let check = format!("{side}-tls");
    let (url, server) = match side {
        Side::Source => (facts.source_url, facts.source),
        Side::Target => (facts.target_url, facts.target),
    };
    let mode = url.parameter("sslmode").unwrap_or("verify-full");
    if url.is_loopback() {
        return pass(&check, "on this machine");
    }
    if mode == "verify-full" && server.uses_tls {
        return pass(&check, "encrypted, certificate verified");
    }
    warn(
        &check,
        format!("sslmode={mode} does not prove who the {side} is"),
        format!(
            "remove sslmode from the {side} URL and pass the root certificates with --{side}-root-cert"
        ),
    )
}
