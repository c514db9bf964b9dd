//! `towpath config show`: the effective settings and where each comes from.

use serde_json::json;
use towpath_model::{Exit, Result};

use crate::context::Context;
use crate::table;

/// Prints the settings, secrets masked.
pub fn show(context: &Context) -> Result<Exit> {
    let shown = context.settings.shown();
    if context.json {
        let settings: Vec<_> = shown
            .iter()
            .map(|(key, value, origin)| {
                json!({"key": key, "value": value, "origin": origin.to_string()})
            })
            .collect();
        println!(
            "{}",
            json!({"v": 1, "type": "settings", "settings": settings})
        );
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = shown
        .into_iter()
        .map(|(key, value, origin)| vec![key.to_owned(), origin.to_string(), value])
        .collect();
    print!("{}", table::aligned(&rows));
    Ok(Exit::Done)
}
