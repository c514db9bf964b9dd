//! What the caller decides: how to reach AWS, which consumers, from where to where.

use towpath_model::connection::ConnectionUrl;

/// How to reach AWS. What is not set comes from the default chain (`AWS_PROFILE`, `AWS_REGION`,
/// `AWS_ENDPOINT_URL` and the rest).
#[derive(Debug, Clone, Default)]
pub struct AwsOptions {
    /// Profile.
    pub profile: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Endpoint, for VPC endpoints and emulators.
    pub endpoint_url: Option<String>,
}

/// Which Lambda functions are looked at: those named, those whose name begins with a prefix, and
/// those that carry every tag given.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Names or ARNs.
    pub names: Vec<String>,
    /// Beginnings of names.
    pub prefixes: Vec<String>,
    /// Tags, as key and value.
    pub tags: Vec<(String, String)>,
    /// Names of variables that hold the ARN or the name of a secret.
    pub variables: Vec<String>,
}

impl Default for Selection {
    fn default() -> Self {
        let variables = [
            "DB_SECRET_ARN",
            "DATABASE_SECRET_ARN",
            "SECRET_ARN",
            "DB_SECRET_ID",
            "SECRET_ID",
            "SECRET_NAME",
        ];
        Self {
            names: Vec::new(),
            prefixes: Vec::new(),
            tags: Vec::new(),
            variables: variables.map(str::to_owned).to_vec(),
        }
    }
}

/// From which server to which.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The server that consumers leave.
    pub source: ConnectionUrl,
    /// The server they come to, with the user and the password that they will use.
    pub target: ConnectionUrl,
    /// Further names of the source, as `host` or `host:port`. Supabase's own names need not be
    /// listed: the direct host and every pooler of the same project are known to be one server.
    pub source_hosts: Vec<String>,
    /// The sslmode consumers get; their own is kept when this is not set.
    pub sslmode: Option<String>,
}
