//! The report as one page of HTML that needs nothing else: no network, no script.
//!
//! Written by hand and not by a template engine: there is one page, its parts are those of
//! [`super::page`], and what has to be right about it is [`escaped`], through which every text goes.

use towpath_model::report::Report;

use super::content;
use super::page::{Block, Chart, Line, Page, Section, Span, Table, Tone, visible};
use crate::table;

const STYLE: &str = include_str!("html/style.css");

/// Nothing may be loaded, and nothing run, whatever slips through: the page says so to the browser.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Measures of the chart, in its own units.
const LABELS: u64 = 250;
const AXIS: u64 = 560;
const VALUES: u64 = 110;
const ROW: u64 = 26;

/// Code of so many characters stays on one line.
const SHORT: usize = 20;

/// The report of a run.
pub fn render(report: &Report) -> String {
    page(&content::page(report))
}

fn page(page: &Page) -> String {
    let verdict = &page.verdict;
    let tone = class(verdict.tone);
    let title = escaped(&page.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<p class=\"subtitle\">{}</p>\n</header>\n<main>\n\
         <section class=\"verdict {tone}\" aria-label=\"Verdict\">\n<h2>{} {}</h2>\n<ul>\n",
        escaped(&verdict.headline),
        escaped(&page.subtitle),
        sign(verdict.tone),
        escaped(&verdict.headline),
    );
    for line in &verdict.lines {
        html.push_str(&format!("<li>{}</li>\n", escaped(line)));
    }
    html.push_str("</ul>\n</section>\n<nav aria-label=\"Sections\">\n<ul>\n");
    for section in &page.sections {
        html.push_str(&format!(
            "<li><a href=\"#{}\">{}</a></li>\n",
            section.id, section.title
        ));
    }
    html.push_str("</ul>\n</nav>\n");
    for section in &page.sections {
        one_section(&mut html, section);
    }
    html.push_str(&format!(
        "</main>\n<footer>{}</footer>\n</body>\n</html>\n",
        escaped(&page.footer)
    ));
    html
}

fn one_section(html: &mut String, section: &Section) {
    let Section { id, title, blocks } = section;
    html.push_str(&format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n"
    ));
    blocks.iter().for_each(|block| one(html, block));
    html.push_str("</section>\n");
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
        Tone::Plain => "plain",
    }
}

/// Said by the words beside it as well, so nothing for who has the page read out.
fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "<span aria-hidden=\"true\">✔</span>",
        Tone::Warn => "<span aria-hidden=\"true\">▲</span>",
        Tone::Bad => "<span aria-hidden=\"true\">✘</span>",
        Tone::Plain => "",
    }
}

fn one(html: &mut String, block: &Block) {
    match block {
        Block::Paragraph(words) => html.push_str(&format!("<p>{}</p>\n", line(words))),
        Block::Heading(title) => html.push_str(&format!("<h3>{}</h3>\n", escaped(title))),
        Block::Facts(facts) => {
            html.push_str("<dl>\n");
            for (name, value) in facts {
                html.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", line(value)));
            }
            html.push_str("</dl>\n");
        }
        Block::Table(whole) => rows(html, whole),
        Block::List(lines) => {
            html.push_str("<ul>\n");
            for (first, more) in lines {
                html.push_str(&format!("<li>{}", line(first)));
                if !more.is_empty() {
                    let more: Vec<String> = more
                        .iter()
                        .map(|under| format!("<li>{}</li>", line(under)))
                        .collect();
                    html.push_str(&format!("<ul>{}</ul>", more.join("")));
                }
                html.push_str("</li>\n");
            }
            html.push_str("</ul>\n");
        }
        Block::Fold { summary, blocks } => {
            html.push_str(&format!(
                "<details>\n<summary>{}</summary>\n",
                escaped(summary)
            ));
            blocks.iter().for_each(|block| one(html, block));
            html.push_str("</details>\n");
        }
        Block::Sql(sql) => html.push_str(&format!("<pre><code>{}</code></pre>\n", escaped(sql))),
        Block::Chart(whole) => chart(html, whole),
    }
}

fn rows(html: &mut String, whole: &Table) {
    let number = |at: usize| match whole.columns.get(at) {
        Some(column) if column.is_number => " class=\"number\"",
        _ => "",
    };
    html.push_str(&format!(
        "<div class=\"wide\"><table>\n<caption>{}</caption>\n<thead><tr>",
        escaped(&whole.caption)
    ));
    for (at, column) in whole.columns.iter().enumerate() {
        let class = number(at);
        html.push_str(&format!("<th scope=\"col\"{class}>{}</th>", column.title));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &whole.rows {
        html.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let cell = line(cell);
            html.push_str(&match at {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                at => format!("<td{}>{cell}</td>", number(at)),
            });
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n");
}

/// Bars with their times as text: who does not see the bars has a table of the same numbers below.
fn chart(html: &mut String, whole: &Chart) {
    let height = ROW * whole.bars.len() as u64;
    let width = LABELS + AXIS + VALUES;
    html.push_str(&format!(
        "<figure>\n<svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Phases of the run by begin and duration\">\n"
    ));
    let part =
        |millis: u64| u128::from(millis) * u128::from(AXIS) / u128::from(whole.millis.max(1));
    for (at, bar) in whole.bars.iter().enumerate() {
        let top = ROW * at as u64;
        let x = u128::from(LABELS) + part(bar.from).min(u128::from(AXIS - 2));
        let long = part(bar.millis).clamp(2, u128::from(LABELS + AXIS) - x);
        html.push_str(&format!(
            "<text x=\"0\" y=\"{}\">{}</text>\
             <rect class=\"track\" x=\"{LABELS}\" y=\"{}\" width=\"{AXIS}\" height=\"16\" rx=\"2\"/>\
             <rect class=\"bar\" x=\"{x}\" y=\"{}\" width=\"{long}\" height=\"16\" rx=\"2\"/>\
             <text x=\"{width}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
            top + 17,
            escaped(&bar.what),
            top + 5,
            top + 5,
            top + 17,
            table::duration(bar.millis)
        ));
    }
    html.push_str(&format!(
        "</svg>\n<figcaption>{}</figcaption>\n</figure>\n",
        escaped(&whole.note)
    ));
}

fn line(line: &Line) -> String {
    let spans = line.iter().map(|span| match span {
        Span::Text(words) => escaped(words),
        Span::Code(words) if words.is_empty() => String::new(),
        Span::Code(words) if words.chars().count() <= SHORT => {
            format!("<code class=\"short\">{}</code>", escaped(words))
        }
        Span::Code(words) => format!("<code>{}</code>", escaped(words)),
        Span::Mark(tone, words) => {
            format!(
                "<span class=\"mark {}\">{}</span>",
                class(*tone),
                escaped(words)
            )
        }
    });
    spans.collect()
}

/// Text as HTML, in elements and in quoted attributes alike: the five characters that mean something
/// there, and what a reader could not see or would be misled by.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
