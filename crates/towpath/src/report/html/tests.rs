use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::report::{markdown, sample};

fn orders(no: usize) -> String {
    ["orders", "customers", "events"]
        .get(no)
        .map_or_else(|| format!("table_{no}"), ToString::to_string)
}

/// Compares with a file of this folder, or writes it anew when `UPDATE_GOLDEN` is set.
fn assert_golden(file: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/report/golden")
        .join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = wanted.lines().zip(found.lines()).position(|(a, b)| a != b);
    assert!(
        wanted == found,
        "{file} differs from line {:?} on; look at what is written, then UPDATE_GOLDEN=1 writes it anew:\n{found}",
        differs.map(|at| at + 1)
    );
}

/// The page without its style sheet, which people look at in a browser.
fn unstyled(html: &str) -> String {
    html.replace(STYLE, "")
}

#[test]
fn a_report_reads_as_it_should() {
    let report = sample::report(3, orders);
    assert_golden("run.md", &markdown::render(&report));
    assert_golden("run.html", &unstyled(&render(&report)));
    let rehearsal = sample::rehearsal(sample::report(2, orders));
    assert_golden("rehearsal.md", &markdown::render(&rehearsal));
    let clone = markdown::render(&sample::clone(sample::report(2, orders)));
    assert!(!clone.contains("a value of a rule"), "{clone}");
    assert_golden("clone.md", &clone);
}

#[test]
fn a_clone_is_said_to_serve_no_further_than_its_run_knows() {
    let mut report = sample::clone(sample::report(1, orders));
    // With `--keep 0` there was one before, and it is gone.
    report.swapped.as_mut().unwrap().kept = None;
    let told = markdown::render(&report);
    assert!(told.contains("none that served before is kept"), "{told}");
    // The answer to the swap may have been lost.
    report.swapped = None;
    let told = markdown::render(&report);
    assert!(told.contains("as far as this run knows"), "{told}");
    assert!(!told.contains("still does"), "{told}");
}

#[test]
fn a_clone_without_masks_says_whether_that_was_somebodys_word() {
    let mut report = sample::clone(sample::report(1, orders));
    let clone = report.plan.clone.as_mut().unwrap();
    clone.masks = None;
    assert!(markdown::render(&report).contains("| masks | none |"));
    let clone = report.plan.clone.as_mut().unwrap();
    clone.coverage.as_mut().unwrap().as_they_are = 1;
    let told = markdown::render(&report);
    assert!(
        told.contains("| masks | none: personal data went as it is |"),
        "{told}"
    );
    assert!(
        told.contains("besides 1 column of personal looks"),
        "{told}"
    );
}

#[test]
fn a_report_of_nothing_but_a_plan_can_be_read() {
    let mut report = sample::report(1, orders);
    (report.manifest, report.verification) = (None, None);
    report.timings.clear();
    let html = render(&report);
    assert!(
        html.contains("Not verified") && html.contains("Nothing yet."),
        "{html}"
    );
    assert!(markdown::render(&report).contains("Not verified"));
}

/// What a page must not do is told by what a browser would see: its elements.
fn elements(html: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in html.split('<').skip(1) {
        let name = part.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '!');
        found.push(&name[..end.unwrap_or(name.len())]);
    }
    found
}

#[test]
fn the_page_needs_nothing_else() {
    let html = render(&sample::report(3, orders));
    for word in [
        "<script", "<link", "<img", "<iframe", "src=", "url(", "@import", "http://", "https://",
    ] {
        assert!(!html.contains(word), "{word} is in the page");
    }
    // Every element that is opened and has to be closed is.
    for name in [
        "section", "table", "thead", "tbody", "tr", "td", "th", "ul", "li", "dl", "dt", "dd",
        "details", "summary", "svg", "text", "figure", "span", "div", "code", "h2", "h3", "p",
        "nav",
    ] {
        let opened =
            html.matches(&format!("<{name}>")).count() + html.matches(&format!("<{name} ")).count();
        assert_eq!(
            opened,
            html.matches(&format!("</{name}>")).count(),
            "{name}"
        );
    }
    // Nothing is told by colour alone: every mark has a word.
    assert!(!html.contains("\"></span>"));
    let ids: Vec<&str> = html
        .split(" id=\"")
        .skip(1)
        .filter_map(|it| it.split('"').next())
        .collect();
    for target in html
        .split("href=\"#")
        .skip(1)
        .filter_map(|it| it.split('"').next())
    {
        assert_eq!(
            ids.iter().filter(|id| **id == target).count(),
            1,
            "{target}"
        );
    }
}

#[test]
fn ten_thousand_tables_are_summed_up() {
    let report = sample::report(10_000, |no| format!("table_{no:05}"));
    let html = render(&report);
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(html.contains("9800 more, in report.json"));
    // The second in size differs, and so does not hide among the rest; nor would the last.
    assert!(html.contains("DIFFERS"));
    assert!(markdown::render(&report).len() < 400_000);
}

/// Names that have broken pages: tags, attributes, comments, entities, directions.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "</td>",
        "</title>",
        "</style>",
        "<!--",
        "-->",
        "]]>",
        "&lt;",
        "&#x27;",
        "\" onload=\"x",
        "' onclick='x",
        "javascript:",
        "\u{202e}",
        "\u{2066}",
        "\u{0}",
        "\u{7f}",
        "\u{feff}",
        "\r\n",
        "|",
        "`",
        "```",
        "[x](y)",
        "**",
        "<img src=x>",
        "\u{5d0}\u{5d1}",
        "\u{e0001}",
        "$",
        "{{x}}",
    ]);
    prop::collection::vec(
        prop_oneof![pieces.prop_map(str::to_owned), any::<String>()],
        1..5,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(32)
    })]

    /// Whatever tables, objects, hosts and reasons are called, the page has the elements that it has
    /// with plain names, no control or directing character, and shows the names.
    #[test]
    fn no_name_breaks_out(name in hostile()) {
        let plain = sample::report(2, |no| format!("t{no}"));
        let named = |plain: &Report| {
            let mut report = plain.clone();
            let mut fields = serde_json::to_value(&report).unwrap();
            rename(&mut fields, &name);
            report = serde_json::from_value(fields).unwrap();
            report
        };
        let report = named(&plain);
        let (html, without) = (render(&report), render(&plain));
        prop_assert!(elements(&html) == elements(&without), "{}", html);
        prop_assert!(!html.chars().any(|c| c.is_control() && c != '\n'));
        let deceptive = html.contains(['\u{202e}', '\u{2066}', '\u{feff}', '\u{e0001}']);
        prop_assert!(!deceptive);
        // In Markdown no line is added, no cell, and no tag is opened.
        let (found, wanted) = (markdown::render(&report), markdown::render(&plain));
        prop_assert_eq!(found.lines().count(), wanted.lines().count());
        let cells = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        for (found, wanted) in found.lines().zip(wanted.lines()) {
            prop_assert_eq!(cells(found), cells(wanted), "{}", found);
        }
        prop_assert!(!found.replace("\\\\", "").replace("\\<", "").contains('<'));
    }
}

/// Puts the name wherever a name or a text of somebody else's is, but where a document refers to
/// another place in it.
fn rename(value: &mut serde_json::Value, name: &str) {
    const TEXTS: [&str; 15] = [
        "name",
        "schema",
        "on",
        "reason",
        "finding",
        "remedy",
        "consequence",
        "needs",
        "binding",
        "before",
        "after",
        "endpoint",
        "store",
        "target_snapshot",
        "made_by",
    ];
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let is_text = TEXTS.contains(&key.as_str()) && value.is_string();
                match is_text {
                    true => *value = format!("{name}{}", value.as_str().unwrap()).into(),
                    false => rename(value, name),
                }
            }
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(|it| rename(it, name)),
        _ => {}
    }
}
