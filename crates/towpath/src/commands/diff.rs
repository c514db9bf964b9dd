//! `towpath diff`: the whole structural difference of two sides, changing nothing.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use towpath_model::connection::Side;
use towpath_model::expectation::Expectation;
use towpath_model::readable::{self, Sides};
use towpath_model::schema::SchemaReport;
use towpath_model::structure::{Allowance, ObjectKind, Structure, StructureDifference, compare};
use towpath_model::{ErrorKind, Exit, Failure, Result};
use towpath_postgres::{Session, structure};

use crate::arguments::DiffArguments;
use crate::commands::next;
use crate::context::Context;
use crate::pipeline::survey;
use crate::{clock, run_files, table};

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiffSide {
    /// The source: its clean schema, or its catalog as it is.
    Source,
    /// The target's catalog.
    Target,
    /// What the target must have by a run that was planned.
    Run(Option<String>),
}

impl FromStr for DiffSide {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            Some(("run", id)) if !id.is_empty() => Ok(Self::Run(Some(id.to_owned()))),
            None if text == "source" => Ok(Self::Source),
            None if text == "target" => Ok(Self::Target),
            None if text == "run" => Ok(Self::Run(None)),
            _ => Err("it is source, target, run or run:ID".to_owned()),
        }
    }
}

impl fmt::Display for DiffSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Target => f.write_str("target"),
            Self::Run(None) => f.write_str("run"),
            Self::Run(Some(id)) => write!(f, "run:{id}"),
        }
    }
}

/// A structure, and the report that explains it where it is one that a target must have.
struct Shape {
    structure: Structure,
    report: Option<SchemaReport>,
}

/// Compares two sides.
pub async fn diff(context: &Context, arguments: &DiffArguments) -> Result<Exit> {
    let (left, right) = (&arguments.left, &arguments.right);
    let left_shape = shape(context, left, arguments.raw).await?;
    let right_shape = if left == right {
        None
    } else {
        Some(shape(context, right, arguments.raw).await?)
    };
    let right_shape = right_shape.as_ref().unwrap_or(&left_shape);
    let differences = differences(&left_shape, right_shape);
    tell(context, arguments, &differences);
    if differences.is_empty() {
        return Ok(Exit::Done);
    }
    Ok(Exit::Differences)
}

async fn shape(context: &Context, side: &DiffSide, raw: bool) -> Result<Shape> {
    match side {
        DiffSide::Source if raw => catalog(context, Side::Source).await,
        DiffSide::Target => catalog(context, Side::Target).await,
        DiffSide::Source => {
            let run = clock::new_run_id()?;
            let (found, holder) = Box::pin(survey::survey(context, &run)).await?;
            holder.release().await?;
            Ok(Shape {
                structure: found.schema.expected,
                report: Some(found.schema.report),
            })
        }
        DiffSide::Run(_) if raw => Err(Failure::new(
            ErrorKind::Usage,
            "--raw compares catalogs, and a run stores none",
        )
        .hint("leave out --raw, or compare source and target")),
        DiffSide::Run(id) => {
            let run = context.run(id.as_deref())?;
            let store = context.open_store(&run).await?;
            run_files::require_plan(&store).await?;
            Ok(Shape {
                structure: run_files::expected(&store).await?,
                report: Some(run_files::schema_report(&store).await?),
            })
        }
    }
}

async fn catalog(context: &Context, side: Side) -> Result<Shape> {
    let url = context.url(side)?;
    let options = context.session_options(side, "towpath/diff");
    let mut session = Session::connect(&url, side, &options).await?;
    session.begin_reading().await?;
    let structure = structure::read(&mut session).await?;
    session.rollback().await?;
    session.close().await;
    Ok(Shape {
        structure,
        report: None,
    })
}

/// Differences with the left side as the expected one.
fn differences(left: &Shape, right: &Shape) -> Vec<StructureDifference> {
    let mut differences = match (&left.report, &right.report) {
        (Some(report), None) => Expectation::new(&left.structure, report).compare(&right.structure),
        (None, Some(report)) => Expectation::new(&right.structure, report)
            .compare(&left.structure)
            .into_iter()
            .map(turned)
            .collect(),
        _ => compare(
            &left.structure,
            &right.structure,
            |_| Allowance::default(),
            |_| false,
        ),
    };
    let is_said_by_its_body = |difference: &StructureDifference| {
        is_change_of(difference, "definition")
            && difference.object().kind == ObjectKind::Function
            && differences
                .iter()
                .any(|other| other.object() == difference.object() && is_change_of(other, "body"))
    };
    let said: Vec<bool> = differences.iter().map(is_said_by_its_body).collect();
    let mut said = said.into_iter();
    differences.retain(|_| !said.next().unwrap_or(false));
    // By object, whatever was found first; the aspects of one object keep their order.
    differences.sort_by(|a, b| a.object().cmp(b.object()));
    differences
}

fn is_change_of(difference: &StructureDifference, wanted: &str) -> bool {
    matches!(difference, StructureDifference::Changed { aspect, .. } if aspect == wanted)
}

fn turned(difference: StructureDifference) -> StructureDifference {
    match difference {
        StructureDifference::Missing { object } => StructureDifference::Extra { object },
        StructureDifference::Extra { object } => StructureDifference::Missing { object },
        StructureDifference::Changed {
            object,
            aspect,
            expected,
            found,
        } => StructureDifference::Changed {
            object,
            aspect,
            expected: found,
            found: expected,
        },
    }
}

fn tell(context: &Context, arguments: &DiffArguments, differences: &[StructureDifference]) {
    let (left, right) = (arguments.left.to_string(), arguments.right.to_string());
    if context.json {
        let list: Vec<Value> = differences.iter().map(as_json).collect();
        println!(
            "{}",
            json!({
                "v": 1, "type": "diff", "left": left, "right": right, "raw": arguments.raw,
                "differences": list,
            })
        );
        return;
    }
    let sides = Sides {
        expected: &left,
        found: &right,
    };
    for difference in differences {
        for line in readable::lines(difference, sides) {
            println!("{line}");
        }
    }
    match differences.len() {
        0 => println!("{left} and {right}: no difference"),
        count => {
            println!(
                "{left} and {right}: {}",
                table::counted(count as u64, "difference")
            );
            let is_of_target = left == "target" || right == "target";
            // Catalogs as they are always differ: the platform is on one side only.
            if is_of_target && !arguments.raw {
                next(
                    "change or drop what differs on the target, or load into another database; an empty target is filled by `towpath run`",
                );
            }
        }
    }
}

fn as_json(difference: &StructureDifference) -> Value {
    let object = difference.object();
    let mut line = json!({"object": object, "name": object.to_string()});
    match difference {
        StructureDifference::Missing { .. } => line["difference"] = json!("only-left"),
        StructureDifference::Extra { .. } => line["difference"] = json!("only-right"),
        StructureDifference::Changed {
            aspect,
            expected,
            found,
            ..
        } => {
            line["difference"] = json!("changed");
            line["aspect"] = json!(aspect);
            line["left"] = readable::without_secrets(expected);
            line["right"] = readable::without_secrets(found);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_read_as_they_are_written() {
        for text in ["source", "target", "run", "run:20260101-120000-ab12"] {
            assert_eq!(text.parse::<DiffSide>().unwrap().to_string(), text);
        }
        for text in ["", "runs", "run:", "source:x", "Target"] {
            assert!(text.parse::<DiffSide>().is_err(), "{text}");
        }
    }
}
