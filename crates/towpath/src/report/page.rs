//! A report as blocks: what it says and in which order, told once for every form it is written in.

/// How something is to be taken. Always told by a word as well: colour alone tells nothing to who
/// cannot see it, and to a printer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Neither.
    Plain,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Words, names of objects among them.
    Text(String),
    /// Hashes, keys, statements.
    Code(String),
    /// A word that says how something is to be taken.
    Mark(Tone, String),
}

/// A line of text.
pub type Line = Vec<Span>;

/// A line of words.
pub fn text(words: impl Into<String>) -> Line {
    vec![Span::Text(words.into())]
}

/// A line of code.
pub fn code(words: impl Into<String>) -> Line {
    vec![Span::Code(words.into())]
}

/// A line of one marked word.
pub fn mark(tone: Tone, word: impl Into<String>) -> Line {
    vec![Span::Mark(tone, word.into())]
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Holds numbers, aligned at their ends.
    pub is_number: bool,
}

/// Columns, those whose titles begin with `#` being of numbers.
pub fn columns(titles: &[&'static str]) -> Vec<Column> {
    titles
        .iter()
        .map(|title| Column {
            title: title.trim_start_matches('#'),
            is_number: title.starts_with('#'),
        })
        .collect()
}

/// A table. The first cell of a row names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it shows, for who does not see it.
    pub caption: String,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Vec<Line>>,
}

/// A phase of the run on the chart, in milliseconds from the chart's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What.
    pub what: String,
    /// Where it begins.
    pub from: u64,
    /// How long it took.
    pub millis: u64,
}

/// Phases on a common axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Phases by their beginning.
    pub bars: Vec<Bar>,
    /// Length of the axis.
    pub millis: u64,
    /// What to know when reading it.
    pub note: String,
}

/// A part of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Paragraph(Line),
    /// Names with their values.
    Facts(Vec<(&'static str, Line)>),
    /// A table.
    Table(Table),
    /// A list, each line with what belongs to it.
    List(Vec<(Line, Vec<Line>)>),
    /// What is looked at when it is wanted.
    Fold {
        /// What it holds.
        summary: String,
        /// What it shows.
        blocks: Vec<Block>,
    },
    /// A statement.
    Sql(String),
    /// A heading within a section.
    Heading(String),
    /// Phases of the run.
    Chart(Chart),
}

/// A list of plain lines.
pub fn list(lines: impl IntoIterator<Item = Line>) -> Block {
    Block::List(lines.into_iter().map(|line| (line, Vec::new())).collect())
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What links lead to.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Parts.
    pub blocks: Vec<Block>,
}

/// What a person reads first, and perhaps only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it is to be taken.
    pub tone: Tone,
    /// In a few words.
    pub headline: String,
    /// In sentences.
    pub lines: Vec<String>,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Title.
    pub title: String,
    /// From where to where.
    pub subtitle: String,
    /// Verdict.
    pub verdict: Verdict,
    /// Sections.
    pub sections: Vec<Section>,
    /// When and by what it was written.
    pub footer: String,
}

/// Characters that show nothing, or move what stands beside them, made visible: names come from
/// databases, and a name must not be able to look like another one or reorder the line that it is in.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters, marks that direct or join text, and what has no shape. Line breaks are the
/// renderer's to treat.
fn is_deceptive(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_or_reorders_is_shown() {
        assert_eq!(visible("a\u{202e}b\u{0}c\td"), "a\\u{202e}b\\u{0}c\\u{9}d");
        assert_eq!(visible("zażółć עברית 表 \n"), "zażółć עברית 表 \n");
    }
}
