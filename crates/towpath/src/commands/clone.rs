//! `towpath clone`: an environment of a run's rows, built aside and swapped in.

use serde_json::json;
use towpath_model::name::readable;
use towpath_model::{Exit, Result};

use crate::arguments::CloneArguments;
use crate::commands::{next, verify};
use crate::context::Context;
use crate::pipeline::clone::{self, Cloned, Order};
use crate::{report, table};

/// Makes a clone, or goes on with one.
pub async fn clone(context: &Context, arguments: &CloneArguments) -> Result<Exit> {
    context.store_location()?;
    let order = Order::read(context, arguments)?;
    let order = order.with_key(context).await?;
    let name = order.destination.name.clone();
    let Some(begun) = Box::pin(clone::begin(context, order)).await? else {
        return Ok(Exit::Done);
    };
    let store = begun.store.clone();
    let command = format!("clone {}", store.run());
    let made = Box::pin(context.with_lease(&store, &command, async |journal| {
        Box::pin(clone::make(context, begun, &journal)).await
    }))
    .await;
    // The report tells of a clone that failed as well as of one that did not.
    let paths = report::write(context, &store, None).await;
    let cloned = made?;
    // Whatever becomes of the report, somebody has to hear what serves.
    let exit = tell(context, &name, store.run().as_str(), &cloned);
    let paths = paths?;
    eprintln!("report: {}", paths.html.display());
    match cloned.after {
        None => Ok(exit),
        Some(failure) => Err(failure),
    }
}

fn tell(context: &Context, name: &str, run: &str, cloned: &Cloned) -> Exit {
    let exit = verify::tell(context, &cloned.evidence, &cloned.verification);
    let Some(swapped) = &cloned.swapped else {
        return exit;
    };
    if context.json {
        println!(
            "{}",
            json!({
                "v": 1, "type": "clone", "name": name, "run": run,
                "kept": swapped.kept, "dropped": swapped.dropped, "ended": swapped.ended,
                "left": swapped.left,
            })
        );
    } else {
        println!("clone {} serves run {run}", readable(name));
        if swapped.ended > 0 {
            let sessions = table::counted(swapped.ended as u64, "session");
            eprintln!("{sessions} of the clone before did not end and had to be ended");
        }
        if let Some(kept) = &swapped.kept {
            eprintln!("the clone before is kept as {kept}");
        }
        for dropped in &swapped.dropped {
            eprintln!("dropped {dropped}: one more than are kept");
        }
    }
    for left in &swapped.left {
        eprintln!("{left}");
    }
    next("`towpath clones` lists the clones on this server");
    exit
}
