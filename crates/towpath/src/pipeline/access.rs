//! Settings of the level `access`.

use std::path::Path;
use std::time::Duration;

use towpath_model::access::WriteAttempts;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_verify::{AccessClaims, AccessOptions};

use crate::context::Context;

/// Reads them, and the file of claims where there is one.
pub fn options(context: &Context) -> Result<AccessOptions> {
    let settings = &context.settings;
    let claims = match settings.path("verify.access_claims") {
        Some(path) => claims(&path)?,
        None => Vec::new(),
    };
    let users = settings.number("verify.access_users")?;
    let writes = match settings.word("verify.access_writes", &["explain", "attempt"])? {
        "attempt" => WriteAttempts::RollBack,
        _ => WriteAttempts::Explain,
    };
    Ok(AccessOptions {
        claims,
        users: usize::try_from(users).unwrap_or(usize::MAX),
        rows: settings.number("verify.access_rows")?,
        timeout: Duration::from_secs(settings.number("verify.access_timeout_s")?),
        writes,
    })
}

/// Claims may hold what nobody should see, so nothing of the file is quoted.
pub fn claims(path: &Path) -> Result<Vec<AccessClaims>> {
    let refuse = |what: &str| {
        Failure::new(
            ErrorKind::Config,
            format!("could not {what} the file of claims {}", path.display()),
        )
        .hint(r#"it is a list: [{"name": "an auditor", "role": "authenticated", "claims": {"sub": "…"}}]"#)
    };
    let text = std::fs::read(path).map_err(|cause| refuse("read").because(cause))?;
    serde_json::from_slice(&text).map_err(|cause| {
        let place = format!("line {}, column {}", cause.line(), cause.column());
        refuse("understand").at(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_that_cannot_be_read_are_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("claims.json");
        std::fs::write(
            &path,
            r#"[{"name": "x", "role": "anon", "claims": "hunter2"}]"#,
        )
        .unwrap();
        let refused = claims(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config);
        assert!(!format!("{refused:?}").contains("hunter2"));
        let good = r#"[{"name": "x", "role": "anon"}, {"name": "y", "role": "z", "claims": {"sub": "1"}}]"#;
        std::fs::write(&path, good).unwrap();
        assert_eq!(claims(&path).unwrap().len(), 2);
    }
}
