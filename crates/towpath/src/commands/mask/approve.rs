//! `towpath mask approve`: writes down which columns there are.

use serde_json::json;
use towpath_model::{ErrorKind, Exit, Failure, Result};

use super::{Key, look};
use crate::arguments::MaskRulesArguments;
use crate::commands::next;
use crate::context::Context;
use crate::pipeline::clone::coverage::{self, Approved, Columns};
use crate::pipeline::clone::order::rules_file;
use crate::table;

pub(super) async fn approve(context: &Context, arguments: &MaskRulesArguments) -> Result<Exit> {
    let Some(rules) = rules_file(&context.settings, arguments.rules.as_deref()) else {
        return Err(Failure::new(
            ErrorKind::Usage,
            "there is no rules file that columns could be approved beside",
        )
        .hint("name it with --rules, or in clone.rules"));
    };
    let mut looked = look(context, Some(&rules), Key::Any).await?;
    let columns = Columns::of(&looked.order, &looked.facts, &looked.plan);
    let session = looked.holder.session();
    let coverage =
        coverage::of_source(context, &looked.order, &looked.facts, &looked.plan, session).await?;
    looked.holder.release().await?;
    let approved = Approved::of(columns.all());
    let path = approved.write(&rules)?;
    if context.json {
        let looks_personal = coverage.uncovered.len();
        println!(
            "{}",
            json!({
                "v": 1, "type": "mask-approved", "file": path, "columns": approved.len(),
                "looks_personal": looks_personal,
            })
        );
    } else {
        println!(
            "{} approved in {}",
            table::counted(approved.len() as u64, "column"),
            path.display()
        );
    }
    if coverage.uncovered.is_empty() {
        next("commit it; `towpath mask check --strict` holds the source against it");
    } else {
        // Approving is not allowing: what looks personal still needs a word of its own.
        eprintln!(
            "{} of them look personal and are neither masked nor allowed; clones stop at them",
            coverage.uncovered.len()
        );
        next("`towpath mask check` names them and prints rules for them");
    }
    Ok(Exit::Done)
}
