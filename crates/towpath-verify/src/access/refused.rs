//! What a server refuses: an outcome that is compared, not an error of towpath's.

use std::error::Error;

use towpath_model::access::AccessOutcome;
use towpath_model::{Failure, Result};
use towpath_postgres::ServerError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// SQLSTATE.
    pub(crate) code: String,
}

/// What came of asking: an answer, or a refusal.
pub(crate) type Answer<T> = Result<T, Refused>;

impl Refused {
    /// Whether it says something about the moment and nothing about rights: a time limit, a lock,
    /// a conflict with another session, a server short of something, or a publication that wants an
    /// identity of rows that it does not have.
    pub(crate) fn is_of_the_moment(&self) -> bool {
        let codes = ["57014", "55P03", "40001", "40P01", "55000", "25006"];
        codes.contains(&self.code.as_str()) || self.code.starts_with("53")
    }

    /// Why nothing was learnt, in words.
    pub(crate) fn reason(&self) -> String {
        match self.code.as_str() {
            "57014" => "it took longer than `verify.access_timeout_s`".to_owned(),
            "25006" => "it calls a function that writes".to_owned(),
            code => format!("the server refused for the moment (SQLSTATE {code})"),
        }
    }

    pub(crate) fn outcome(&self) -> AccessOutcome {
        AccessOutcome::Refused {
            code: self.code.clone(),
        }
    }
}

/// Takes a refusal of the server for an answer; a connection that broke stays a failure.
pub(crate) fn refused<T>(failure: Failure) -> Result<Answer<T>> {
    match code_of(&failure) {
        Some(code) if !ends_the_session(code) => Ok(Err(Refused {
            code: code.to_owned(),
        })),
        _ => Err(failure),
    }
}

fn code_of(failure: &Failure) -> Option<&str> {
    let mut cause: Option<&(dyn Error + 'static)> = failure.source();
    while let Some(error) = cause {
        if let Some(server) = error.downcast_ref::<ServerError>() {
            return Some(&server.code);
        }
        cause = error.source();
    }
    None
}

fn ends_the_session(code: &str) -> bool {
    code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "25P02" | "25P03")
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::ErrorKind;

    fn of_server(code: &str) -> Failure {
        let server = ServerError {
            code: code.to_owned(),
            message: String::new(),
            hint: None,
            constraint: None,
        };
        Failure::new(ErrorKind::Target, "could not read").because(server)
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_broken_connection_is_not() {
        let wrapped = of_server("42501").while_doing("could not look");
        let answer = refused::<()>(wrapped).unwrap();
        assert_eq!(answer.unwrap_err().code, "42501");
        assert!(refused::<()>(of_server("57P01")).is_err());
        assert!(refused::<()>(Failure::new(ErrorKind::Connect, "gone")).is_err());
    }

    #[test]
    fn what_passes_says_nothing_about_rights() {
        let is_of_the_moment = |code: &str| {
            Refused {
                code: code.to_owned(),
            }
            .is_of_the_moment()
        };
        assert!(is_of_the_moment("57014") && is_of_the_moment("53300"));
        assert!(!is_of_the_moment("42501") && !is_of_the_moment("42P17"));
    }
}
