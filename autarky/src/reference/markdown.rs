//! A page of Markdown, piece by piece.

/// A page under way.
pub(super) struct Markdown(String);

impl Markdown {
    /// A page with a title, what it is about, and the word that it is generated.
    pub(super) fn new(title: &str, about: &str) -> Self {
        Self(format!("<!-- written by `make reference`; do not edit -->\n\n# {title}\n\n{about}\n"))
    }

    /// A heading below the title; `level` 2 or more.
    pub(super) fn heading(&mut self, level: usize, text: &str) {
        self.0.push_str(&format!("\n{} {text}\n", "#".repeat(level)));
    }

    /// A paragraph; empty: none.
    pub(super) fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push_str(&format!("\n{text}\n"));
        }
    }

    /// Code that is not run.
    pub(super) fn code(&mut self, language: &str, text: &str) {
        self.0.push_str(&format!("\n```{language}\n{}\n```\n", text.trim_end()));
    }

    /// A table; without rows: none. Columns in which nothing stands are left out.
    pub(super) fn table<const N: usize>(&mut self, head: [&str; N], rows: &[[String; N]]) {
        self.rows(&head, rows);
    }

    /// A table whose columns are counted when it is written; every row is as long as the head.
    pub(super) fn rows<R: AsRef<[String]>>(&mut self, head: &[&str], rows: &[R]) {
        if rows.is_empty() {
            return;
        }
        let rows: Vec<&[String]> = rows.iter().map(AsRef::as_ref).collect();
        let used: Vec<usize> = (0..head.len()).filter(|&at| rows.iter().any(|row| !row[at].is_empty())).collect();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        self.0.push('\n');
        self.0.push_str(&line(used.iter().map(|&at| head[at].to_owned()).collect()));
        self.0.push_str(&format!("|{}\n", "---|".repeat(used.len())));
        for row in rows {
            self.0.push_str(&line(used.iter().map(|&at| cell(&row[at])).collect()));
        }
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// `text` as code.
pub(super) fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Several as code.
pub(super) fn codes<'a>(list: impl IntoIterator<Item = &'a str>) -> String {
    list.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

/// A comment's text in one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` as a sentence of its own.
pub(super) fn sentence(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() || text.ends_with(['.', ':', '?', '!']) { text } else { format!("{text}.") }
}

fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}
