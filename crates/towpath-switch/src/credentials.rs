//! Values that are a password, or user and password, and do not say of what.

use towpath_model::connection::Secret;

use crate::fields::{Fields, New};
use crate::left::Why;
use crate::mapping::Mapping;
use crate::split;

/// Whether a text is the source's own password, which is no word that could stand there by chance.
pub(crate) fn is_source_password(text: &str, mapping: &Mapping) -> bool {
    const SHORTEST: usize = 8;
    let password = mapping.source.password.as_ref();
    text.len() >= SHORTEST && password.is_some_and(|password| password.reveal() == text)
}

/// A value that is a password, or user and password, and does not say of what.
pub(crate) enum Credentials<'a> {
    Password(&'a str),
    Fields(Fields<'a>),
}

impl<'a> Credentials<'a> {
    /// Reads a value that is known not to be a connection.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        if let Some(fields) = Fields::read(text) {
            let texts = fields.texts();
            let has_password = texts
                .iter()
                .any(|(name, text)| split::is_password(name) && text.is_some());
            return has_password.then_some(Self::Fields(fields));
        }
        let is_word = !text.is_empty() && !text.contains(char::is_whitespace) && text.len() <= 256;
        (is_word && !text.contains("://")).then_some(Self::Password(text))
    }

    /// The password.
    pub(crate) fn password(&self) -> Option<Secret> {
        match self {
            Self::Password(text) => Some(Secret::new(*text)),
            Self::Fields(fields) => {
                let texts = fields.texts().into_iter();
                let mut found = texts.filter(|(name, _)| split::is_password(name));
                found.find_map(|(_, text)| text).map(Secret::new)
            }
        }
    }

    /// The same value for another login.
    pub(crate) fn rewritten(&self, user: Option<&str>, mapping: &Mapping) -> Result<Secret, Why> {
        let login = mapping.login(user)?;
        match self {
            Self::Password(_) => Ok(login.password()),
            Self::Fields(fields) => {
                let texts = fields.texts();
                let own = texts.iter().find(|(name, _)| split::is_user(name));
                let own = own.and_then(|(_, text)| text.as_deref());
                let login = mapping.login(own.or(user))?;
                let new = texts.iter().filter_map(|(name, _)| {
                    let value = match (split::is_password(name), split::is_user(name)) {
                        (true, _) => login.password(),
                        (false, true) => Secret::new(login.user),
                        (false, false) => return None,
                    };
                    Some((name.clone(), New::Text(value)))
                });
                Ok(fields.with(&new.collect::<Vec<_>>()))
            }
        }
    }
}
