//! What the caller decides: how to reach AWS, which consumers, from where to where.

use std::time::Duration;

use towpath_model::stop::Stop;

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
    /// How long a service may take to answer one attempt of a call; 30 seconds unless set.
    pub timeout: Option<Duration>,
    /// Regions that are searched; only [`AwsOptions::region`] when there are none.
    pub regions: Vec<String>,
    /// Roles that are assumed, one for each account; `self` is the identity towpath runs under.
    pub roles: Vec<String>,
    /// External id that the roles ask for.
    pub role_external_id: Option<String>,
    /// How long Lambda may take to take an update of a function into use, and how long provisioned
    /// concurrency is waited for.
    pub update_wait: Option<std::time::Duration>,
}

/// What is looked at: functions that are named, whose name begins with a prefix, that carry every
/// tag given, that belong to a stack, or all; the secrets and parameters they name; and secrets and
/// parameters for themselves.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Names or ARNs.
    pub names: Vec<String>,
    /// Beginnings of names.
    pub prefixes: Vec<String>,
    /// Tags, as key and value.
    pub tags: Vec<(String, String)>,
    /// Names of CloudFormation stacks.
    pub stacks: Vec<String>,
    /// Every function there is.
    pub all: bool,
    /// Names of variables that hold the ARN or the name of a secret.
    pub variables: Vec<String>,
    /// Names of variables that hold the name, the ARN or the path of parameters.
    pub parameter_variables: Vec<String>,
    /// Names or ARNs of secrets that nobody has to name.
    pub secrets: Vec<String>,
    /// Names or ARNs of parameters that nobody has to name; what ends in `/` is a path.
    pub parameters: Vec<String>,
}

impl Default for Selection {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            names: Vec::new(),
            prefixes: Vec::new(),
            tags: Vec::new(),
            stacks: Vec::new(),
            all: false,
            variables: owned(&[
                "DB_SECRET_ARN",
                "DATABASE_SECRET_ARN",
                "SECRET_ARN",
                "DB_SECRET_ID",
                "SECRET_ID",
                "SECRET_NAME",
            ]),
            parameter_variables: owned(&[
                "DB_PARAM",
                "DB_PARAMETER",
                "DATABASE_PARAM",
                "DATABASE_URL_PARAM",
                "SSM_PARAM",
                "SSM_PARAMETER",
                "SSM_PATH",
            ]),
            secrets: Vec::new(),
            parameters: Vec::new(),
        }
    }
}

impl Selection {
    /// Whether functions have to be listed to know which are meant.
    pub(crate) fn needs_list(&self) -> bool {
        self.all
            || [&self.prefixes, &self.stacks]
                .iter()
                .any(|names| !names.is_empty())
            || !self.tags.is_empty()
    }

    /// Whether nothing is selected at all.
    pub fn is_empty(&self) -> bool {
        let names = [&self.names, &self.secrets, &self.parameters];
        !self.needs_list() && names.iter().all(|names| names.is_empty())
    }
}

/// How a switch goes about it.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// Functions of the first group, by name; without any there is one group.
    pub canary: Vec<String>,
    /// How many bindings are worked on at once; 0 means one after another.
    pub jobs: usize,
    /// Shares of the traffic, in percent, that aliases are given before they are given all of it.
    /// The gate is asked after each.
    pub alias_steps: Vec<u8>,
    /// How long functions may go on to use a secret or a parameter as they read it before, where
    /// that is waited for before the gate is asked.
    pub cache_wait: Duration,
    /// Raised when somebody asks to stop. What was switched is put back then.
    pub stop: Stop,
    /// Whether no earlier process brought this switch to its end. What such a process left behind
    /// may be put back without asking; a finished switch may not.
    pub is_unfinished: bool,
}

/// What rollback does about a binding that somebody changed since the switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Drifted {
    /// Writes nothing at all, and tells what differs.
    #[default]
    Stop,
    /// Puts the connection back and keeps what others changed.
    Keep,
    /// Puts everything back as it was before the switch.
    Overwrite,
}

/// How the way back goes about it.
#[derive(Debug, Clone, Default)]
pub struct RollbackOptions {
    /// What to do about drift.
    pub drift: Drifted,
    /// How many bindings are worked on at once; 0 means one after another.
    pub jobs: usize,
    /// Raised when somebody asks to stop. A way back that has begun is gone to its end all the
    /// same: it takes seconds, and there is no better place to stop.
    pub stop: Stop,
}
