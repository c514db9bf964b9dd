//! The report as Markdown.

use towpath_model::report::Report;
use towpath_model::schema::SchemaReport;

use super::content;
use super::page::{Block, Chart, Line, Page, Span, Table, Tone, visible};
use crate::table;

/// Width of the longest bar of a chart, in characters.
const BAR: u64 = 40;

/// The report of a run.
pub fn render(report: &Report) -> String {
    page(&content::page(report))
}

/// The decisions of a clean schema that belongs to no run.
pub fn schema_only(report: &SchemaReport, about: &[String]) -> String {
    let mut text = "# A clean schema\n\n".to_owned();
    for line in about {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str("\n## Schema\n");
    blocks(&mut text, &content::schema_blocks(report));
    text
}

fn page(page: &Page) -> String {
    let verdict = &page.verdict;
    let mut text = format!(
        "# {}\n\n{}\n\n**{} {}**\n\n",
        escaped(&page.title),
        escaped(&page.subtitle),
        sign(verdict.tone),
        escaped(&verdict.headline)
    );
    for line in &verdict.lines {
        text.push_str(&format!("- {}\n", escaped(line)));
    }
    for section in &page.sections {
        text.push_str(&format!("\n## {}\n", section.title));
        blocks(&mut text, &section.blocks);
    }
    text.push_str(&format!("\n{}\n", escaped(&page.footer)));
    text
}

/// A sign beside the words, for who leafs through many.
fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✔",
        Tone::Warn => "▲",
        Tone::Bad => "✘",
        Tone::Plain => "·",
    }
}

fn blocks(text: &mut String, blocks: &[Block]) {
    for block in blocks {
        text.push('\n');
        one(text, block);
    }
}

fn one(text: &mut String, block: &Block) {
    match block {
        Block::Paragraph(words) => text.push_str(&format!("{}\n", line(words))),
        Block::Heading(title) => text.push_str(&format!("### {}\n", escaped(title))),
        Block::Facts(facts) => {
            text.push_str("| | |\n|---|---|\n");
            for (name, value) in facts {
                text.push_str(&format!("| {name} | {} |\n", line(value)));
            }
        }
        Block::Table(whole) => rows(text, whole),
        Block::List(lines) => {
            for (first, more) in lines {
                text.push_str(&format!("- {}\n", line(first)));
                for under in more {
                    text.push_str(&format!("  - {}\n", line(under)));
                }
            }
        }
        Block::Fold {
            summary,
            blocks: inner,
        } => {
            text.push_str(&format!("### {}\n", escaped(summary)));
            blocks(text, inner);
        }
        Block::Sql(sql) => {
            let fence = fence(sql);
            text.push_str(&format!("{fence}sql\n{}\n{fence}\n", visible(sql)));
        }
        Block::Chart(whole) => chart(text, whole),
    }
}

fn rows(text: &mut String, whole: &Table) {
    let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let titles = whole.columns.iter().map(|column| column.title.to_owned());
    text.push_str(&cells(titles.collect()));
    let rulers = whole.columns.iter().map(|column| match column.is_number {
        true => "---:".to_owned(),
        false => "---".to_owned(),
    });
    let rulers: Vec<String> = rulers.collect();
    text.push_str(&format!("|{}|\n", rulers.join("|")));
    for row in &whole.rows {
        text.push_str(&cells(row.iter().map(line).collect()));
    }
}

fn chart(text: &mut String, whole: &Chart) {
    let width = whole.bars.iter().map(|bar| bar.what.chars().count()).max();
    let width = width.unwrap_or(0);
    let part = |millis: u64| u128::from(millis) * u128::from(BAR) / u128::from(whole.millis.max(1));
    text.push_str("```text\n");
    for bar in &whole.bars {
        let before = usize::try_from(part(bar.from)).unwrap_or(0);
        let long = usize::try_from(part(bar.millis)).unwrap_or(0).max(1);
        let rest = (usize::try_from(BAR).unwrap_or(0) + 1).saturating_sub(before + long);
        text.push_str(&format!(
            "{:<width$}  {}{}{}  {}\n",
            visible(&bar.what).replace(['\n', '`'], " "),
            " ".repeat(before),
            "█".repeat(long),
            " ".repeat(rest),
            table::duration(bar.millis)
        ));
    }
    text.push_str("```\n");
    text.push_str(&format!("\n{}\n", escaped(&whole.note)));
}

fn line(line: &Line) -> String {
    let spans = line.iter().map(|span| match span {
        Span::Text(words) => escaped(words),
        Span::Code(words) if words.is_empty() => String::new(),
        Span::Code(words) => quoted(words),
        Span::Mark(Tone::Bad, words) => format!("**{}**", escaped(words)),
        Span::Mark(_, words) => escaped(words),
    });
    spans.collect()
}

/// Text that cannot open a tag, a link, a cell or emphasis. An underscore within a word is none to
/// Markdown, and names are full of them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '\n' => escaped.push(' '),
            '\\' | '`' | '*' | '<' | '[' | ']' | '|' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Code in a cell. What the delimiters cannot hold is written as text.
fn quoted(text: &str) -> String {
    let shown = visible(text).replace('\n', " ");
    match shown.contains(['`', '|', '\\', '<']) {
        true => escaped(&shown),
        false => format!("`{shown}`"),
    }
}

/// A fence longer than any in the text.
fn fence(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(|run| run.chars().count())
        .max()
        .unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_opens_anything() {
        assert_eq!(
            escaped("<b>|[x](http://y)|\n`a` *b* c_d & é"),
            "\\<b>\\|\\[x\\](http://y)\\| \\`a\\` \\*b\\* c_d &amp; é"
        );
        assert_eq!(quoted("ab`c"), "ab\\`c");
        assert_eq!(fence("select '````'"), "`````");
    }
}
