//! Values within JSON. What is not replaced stays byte for byte as it was, so that a `jsonb` still
//! looks as PostgreSQL prints it.

use towpath_model::masking::{JsonRest, JsonRule, PlannedMask, Transformer, Uniqueness};
use towpath_model::{ErrorKind, Failure, Result};

use super::simple::Redact;
use super::{Action, RowText, fit};
use crate::codec::Type;
use crate::key::MaskKey;

mod path;
mod walk;

pub(super) use path::check_path;
use path::{Step, read_path};
use walk::{Walk, write_string};

/// Masks of values within JSON.
pub(super) struct JsonMask {
    rules: Vec<Rule>,
    rest: Option<Action>,
    /// Takes the place of a text that is no JSON.
    redact: Redact,
    is_json: bool,
}

struct Rule {
    path: Vec<Step>,
    strings: Action,
    numbers: Action,
}

impl JsonMask {
    pub(super) fn new(
        key: &MaskKey,
        mask: &PlannedMask,
        rules: &[JsonRule],
        rest: JsonRest,
        columns: &[String],
        is_json: bool,
    ) -> Result<Self> {
        let action = |transformer: &Transformer, column_type: Type| {
            let own = PlannedMask {
                transformer: transformer.clone(),
                locale: mask.locale,
                // As a column of its own would have it, so that both meet.
                domain: fit::default_domain(transformer),
                condition: None,
                base_type: String::new(),
                reads: Default::default(),
                max_chars: None,
                uniqueness: Uniqueness::Lossy,
                origin: String::new(),
            };
            Action::new(key, &own, column_type, columns)
        };
        let mut ready = Vec::new();
        for rule in rules {
            let path = read_path(&rule.path)
                .map_err(|sentence| Failure::new(ErrorKind::Config, sentence))?;
            ready.push(Rule {
                path,
                strings: action(&rule.transformer, Type::Text)?,
                numbers: action(&for_numbers(&rule.transformer), Type::Numeric(None))?,
            });
        }
        let rest = match rest {
            JsonRest::Keep => None,
            JsonRest::Redact => Some(Transformer::Redact {
                character: None,
                keep_first: 0,
                keep_last: 0,
            }),
            JsonRest::Scrub => Some(Transformer::Scrub {
                columns: Vec::new(),
            }),
        };
        Ok(Self {
            rules: ready,
            rest: match rest {
                Some(transformer) => Some(action(&transformer, Type::Text)?),
                None => None,
            },
            redact: Redact::new(None, 0, 0),
            is_json,
        })
    }

    /// A text that is no JSON is redacted as a whole: a stop in the middle of the night would help
    /// nobody, and it may hold anything.
    pub(super) fn apply(
        &self,
        value: &str,
        row: &dyn RowText,
        max_chars: Option<usize>,
        out: &mut String,
    ) -> Result<bool> {
        let mut walk = Walk::new(self, value, row, out);
        if let Some(is_changed) = walk.run()? {
            let chars = || out.chars().count();
            if !max_chars.is_some_and(|most| out.len() > most && chars() > most) {
                return Ok(is_changed);
            }
        }
        out.clear();
        let mut redacted = String::new();
        let is_changed = self.redact.apply(value, &mut redacted);
        match self.is_json {
            true => write_string(&redacted, out),
            false => out.push_str(&redacted),
        }
        Ok(is_changed)
    }
}

/// What becomes of a number where a transformer of texts is asked for: it stays a number of as many
/// digits.
fn for_numbers(transformer: &Transformer) -> Transformer {
    match transformer {
        Transformer::Null
        | Transformer::Constant { .. }
        | Transformer::Noise { .. }
        | Transformer::Coordinates { .. } => transformer.clone(),
        _ => Transformer::FormatPreserving {
            keep_first: 0,
            keep_last: 0,
        },
    }
}
