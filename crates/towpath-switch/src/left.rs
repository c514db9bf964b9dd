//! What is left alone, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something that has to do with the source is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// One of Supabase's HTTP APIs; RDS has nothing to answer there.
    DependsOnSupabase,
    /// Points at the source, but user or password are kept elsewhere.
    Incomplete,
    /// Points at the source's server, but at another database on it.
    OtherDatabase,
    /// Names the source in a way this towpath cannot rewrite.
    UnknownShape,
    /// Shares user, password or database with a connection to another server.
    SharedParts,
    /// Its user becomes one whose password nobody gave.
    NoPassword,
    /// Holds a password itself, where the password is to be found by reference.
    NoPlaceForReference,
    /// Looks like a ciphertext that only the function's own code can read.
    Encrypted,
    /// Encoded in a way that cannot be made again exactly.
    Encoded,
    /// Holds the source's password, and nothing near it says where that is used.
    LonePassword,
    /// Asks for one version of a parameter, and so goes on to get that one.
    PinnedVersion,
    /// Prisma's service connects to the database, from a configuration of its own.
    BehindPrisma,
    /// Verifies the server by a root certificate that may be the source's.
    RootCertificate,
    /// Would have more bytes of variables than Lambda takes.
    TooLarge,
    /// Names a secret that does not exist.
    NoSuchSecret,
    /// Names a secret whose value is not text.
    BinarySecret,
    /// Names a parameter that does not exist.
    NoSuchParameter,
    /// An alias leads to a published version, whose configuration cannot be changed.
    PublishedVersion,
    /// An alias leads to a published version, and a new one would release what nobody has released.
    UnreleasedChanges,
    /// A secret or a parameter that cannot be given another value now.
    CannotBeWritten,
    /// The variables cannot be read.
    Unreadable,
    /// Names a secret or a parameter that towpath may not read.
    NotAllowed,
    /// Holds no connection in its variables, so its code must.
    NoCarrier,
    /// A replica of Lambda@Edge, which has no variables.
    EdgeReplica,
    /// Deployed by a template that would put the old value back.
    OwnedByTemplate,
}

impl Why {
    /// Whether the consumer will go on using the source's database when this is left alone. Most
    /// callers want to stop at these and let a person decide.
    pub const fn leaves_database_behind(self) -> bool {
        matches!(
            self,
            Why::Incomplete
                | Why::UnknownShape
                | Why::SharedParts
                | Why::NoPassword
                | Why::NoPlaceForReference
                | Why::Encoded
                | Why::PinnedVersion
                | Why::TooLarge
                | Why::BinarySecret
                | Why::PublishedVersion
                | Why::UnreleasedChanges
                | Why::CannotBeWritten
                | Why::Unreadable
        )
    }

    /// What a person can do about it; empty where nothing needs doing.
    pub const fn remedy(self) -> &'static str {
        match self {
            Why::DependsOnSupabase => {
                "keep that project's API running, or replace its use in the code"
            }
            Why::Incomplete => {
                "put user and password beside it, or let a variable name the secret or parameter that holds them"
            }
            Why::OtherDatabase => "not moved by this run; point it elsewhere by hand",
            Why::UnknownShape | Why::Encoded => "change it by hand, in a shape towpath reads",
            Why::SharedParts => "give each connection its own variables",
            Why::NoPassword => {
                "add the user to switch.passfile, or map it to another with switch.users"
            }
            Why::NoPlaceForReference => {
                "change the code to fetch the password, or set switch.password = value"
            }
            Why::Encrypted => {
                "look into the code that decrypts it; encrypt the new value with the same key"
            }
            Why::LonePassword => {
                "look for the host in the code; put host, user and password beside each other"
            }
            Why::PinnedVersion => "name the parameter without a version or a label",
            Why::BehindPrisma => "change the database URL in Prisma's console",
            Why::RootCertificate => {
                "set switch.sslrootcert to where the consumer finds the bundle of RDS"
            }
            Why::TooLarge => {
                "remove variables that are not needed, or move the connection into a secret"
            }
            Why::NoSuchSecret => "correct the variable, or leave it if nothing reads it",
            Why::BinarySecret => "store the connection as text",
            Why::NoSuchParameter => "correct the variable, or leave it if nothing reads it",
            Why::PublishedVersion => "publish a version after the switch and move the alias",
            Why::UnreleasedChanges => {
                "release what is in $LATEST first (publish a version and lead the alias there), or bring $LATEST back to what the alias leads to"
            }
            Why::CannotBeWritten => "remove what stands in the way, then run the command again",
            Why::Unreadable => {
                "allow kms:Decrypt on the function's key to the identity towpath runs under"
            }
            Why::NotAllowed => {
                "allow reading it if a connection may be in it, or name its variable in switch.secret_variables"
            }
            Why::NoCarrier => {
                "look into its code, its layers or its image, or leave it out of the selection"
            }
            Why::EdgeReplica => {
                "look into the code of its main function; replicas follow that one's deployment"
            }
            Why::OwnedByTemplate => {
                "change the template too before its next deployment, which would point it back at the source"
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::DependsOnSupabase => "still depends on Supabase",
            Why::Incomplete => "points at the source, but user or password are kept elsewhere",
            Why::OtherDatabase => "points at another database of the source's server",
            Why::UnknownShape => "names the source in a shape that cannot be rewritten",
            Why::SharedParts => {
                "points at the source, and shares user or password with a connection elsewhere"
            }
            Why::NoPassword => "would get a user whose password is not known",
            Why::NoPlaceForReference => {
                "holds a password, and the new one is to be had by reference"
            }
            Why::Encrypted => "looks encrypted for the function's own code",
            Why::Encoded => {
                "points at the source, in an encoding that cannot be made again exactly"
            }
            Why::LonePassword => {
                "holds the source's password, and no variable says where it is used"
            }
            Why::PinnedVersion => "names one version of a parameter that points at the source",
            Why::BehindPrisma => "reaches its database through Prisma's service",
            Why::RootCertificate => {
                "verifies the server by a root certificate that may be the source's"
            }
            Why::TooLarge => "would have more variables than the 4096 bytes that Lambda allows",
            Why::NoSuchSecret => "names a secret that does not exist",
            Why::BinarySecret => "names a secret that is not text",
            Why::NoSuchParameter => "names a parameter that does not exist",
            Why::PublishedVersion => "leads to a published version, which keeps its configuration",
            Why::UnreleasedChanges => {
                "leads to a published version, and a new one would release what nobody has released"
            }
            Why::CannotBeWritten => "points at the source, and cannot be given another value now",
            Why::Unreadable => "its variables cannot be read",
            Why::NotAllowed => "names what towpath may not read, so where it leads is not known",
            Why::NoCarrier => "holds no connection: if it has one, it is in its code",
            Why::EdgeReplica => "is a replica of Lambda@Edge, which has no variables",
            Why::OwnedByTemplate => "is deployed by a template that holds the old value",
        })
    }
}

/// Something that is left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Untouched {
    /// Whose it is, such as `lambda orders-api`.
    pub consumer: String,
    /// Name of the variable, field or alias.
    pub variable: String,
    /// Why.
    pub why: Why,
    /// Who answers for it, where somebody is known to: a stack, a tool that deploys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}
