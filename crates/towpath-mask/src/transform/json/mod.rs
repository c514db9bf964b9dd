//! Values within JSON. What is not replaced stays byte for byte as it was, so that a `jsonb` still
//! looks as PostgreSQL prints it.

use serde_json::Value;
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
use walk::{Walk, is_number, write_string};

/// Masks of values within JSON.
pub(super) struct JsonMask {
    rules: Vec<Rule>,
    /// What becomes of strings that no rule names, and of numbers.
    rest: Option<Action>,
    rest_of_numbers: Option<Action>,
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
                reads: mask.reads.clone(),
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
        let (rest, rest_of_numbers) = match rest {
            JsonRest::Keep => (None, None),
            JsonRest::Redact => {
                let redact = Transformer::Redact {
                    character: None,
                    keep_first: 0,
                    keep_last: 0,
                };
                let strings = action(&redact, Type::Text)?;
                let numbers = action(&for_numbers(&redact), Type::Numeric(None))?;
                (Some(strings), Some(numbers))
            }
            JsonRest::Scrub => {
                let columns = Vec::new();
                (
                    Some(action(&Transformer::Scrub { columns }, Type::Text)?),
                    None,
                )
            }
        };
        Ok(Self {
            rules: ready,
            rest,
            rest_of_numbers,
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

/// A document as `jsonb` prints it (src/backend/utils/adt/jsonb.c): shorter keys first, equally long
/// ones by their bytes. Nothing for what is no document, and where a number has digits or an exponent
/// that cannot be told here.
pub(super) fn as_jsonb_prints(text: &str) -> Option<String> {
    let document: Value = serde_json::from_str(text).ok()?;
    let mut out = String::new();
    print(&document, &mut out)?;
    Some(out)
}

fn print(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => {
            let number = number.to_string();
            // `numeric` has neither an exponent nor a negative zero.
            let is_plain = !number.contains(['e', 'E']) && !is_negative_zero(&number);
            out.push_str(is_plain.then_some(&number)?);
        }
        Value::String(text) => write_string(Some(text).filter(|text| !text.contains('\0'))?, out),
        Value::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                print(element, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| (name.len(), name.as_bytes()));
            out.push('{');
            for (at, (name, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_string(Some(name).filter(|name| !name.contains('\0'))?, out);
                out.push_str(": ");
                print(value, out)?;
            }
            out.push('}');
        }
    }
    Some(())
}

/// Whether a text would be a number of another form in a `jsonb`.
pub(super) fn is_number_of_another_form(text: &str) -> bool {
    is_number(text) && (text.contains(['e', 'E']) || is_negative_zero(text))
}

fn is_negative_zero(number: &str) -> bool {
    let zero = number.strip_prefix('-');
    zero.is_some_and(|zero| zero.bytes().all(|byte| matches!(byte, b'0' | b'.')))
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
