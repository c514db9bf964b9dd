//! What the level `access` needs to know.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use towpath_model::access::WriteAttempts;

/// Somebody that the operator names: a role and the claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessClaims {
    /// How it is called in what is shown; the claims themselves never are.
    pub name: String,
    /// Role to take on.
    pub role: String,
    /// Claims, as the token has them.
    #[serde(default)]
    pub claims: Map<String, Value>,
}

/// Settings of the level `access`.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// Who is taken on besides those that are found.
    pub claims: Vec<AccessClaims>,
    /// Users of `auth.users` that are taken on.
    pub users: usize,
    /// Rows up to which a relation is read whole for everybody.
    pub rows: u64,
    /// How long one statement may take.
    pub timeout: Duration,
    /// How far attempts to write go.
    pub writes: WriteAttempts,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            claims: Vec::new(),
            users: 5,
            rows: 1_000_000,
            timeout: Duration::from_secs(60),
            writes: WriteAttempts::default(),
        }
    }
}
