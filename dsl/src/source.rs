use std::fmt;
use std::sync::LazyLock;

/// Which file of [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A range of bytes of a file: where a word of the model came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// A span in the words of people: path, lines and columns, which count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<'a> {
    /// The file's path.
    pub path: &'a str,
    /// The line of the first character.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// The line of the end.
    pub end_line: usize,
    /// The column after the last character.
    pub end_column: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path, self.line, self.column)
    }
}

/// The text of every file of a model, by path; `cli` reads them, everything later points back into them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<File>,
}

#[derive(Debug, Clone)]
struct File {
    path: String,
    text: String,
    /// The byte at which each line starts.
    lines: Vec<usize>,
}

impl Sources {
    /// No file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file; the path is what diagnostics call it, relative to the model's root with `/` between folders.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = u32::try_from(self.files.len()).expect("a model has fewer than 2^32 files");
        self.files.push(File::new(path, text.into()));
        FileId(id)
    }

    /// Every file, in the order of its path, so that no result depends on the order of reading.
    #[must_use]
    pub fn ids(&self) -> Vec<FileId> {
        let mut ids: Vec<FileId> = (0..).map(FileId).take(self.files.len()).collect();
        ids.sort_by_key(|&id| (self.path(id), id));
        ids
    }

    /// The file with the first path: where a finding about the whole model points. `.` if there is no file.
    pub(crate) fn first(&self) -> FileId {
        self.ids().first().copied().unwrap_or(FileId(0))
    }

    /// The path of a file.
    #[must_use]
    pub fn path(&self, id: FileId) -> &str {
        &self.file(id).path
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, id: FileId) -> &str {
        &self.file(id).text
    }

    /// Where a span stands, in lines and columns.
    #[must_use]
    pub fn place(&self, span: Span) -> Place<'_> {
        let file = self.file(span.file);
        let (line, column) = file.position(span.start);
        let (end_line, end_column) = file.position(span.end.max(span.start));
        Place {
            path: &file.path,
            line,
            column,
            end_line,
            end_column,
        }
    }

    fn file(&self, id: FileId) -> &File {
        static NO_FILE: LazyLock<File> = LazyLock::new(|| File::new(".", String::new()));
        self.files.get(id.0 as usize).unwrap_or(&NO_FILE)
    }
}

impl File {
    fn new(path: impl Into<String>, text: String) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        Self {
            path: path.into(),
            text,
            lines,
        }
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let line = self.lines.partition_point(|&start| start <= at) - 1;
        let before = &self.text.as_bytes()[self.lines[line]..at];
        // A character of UTF-8 has one byte that is no continuation byte.
        let column = before.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
        (line + 1, column + 1)
    }
}

impl<P: Into<String>, T: Into<String>> FromIterator<(P, T)> for Sources {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(files: I) -> Self {
        let mut sources = Self::new();
        for (path, text) in files {
            sources.add(path, text);
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let mut sources = Sources::new();
        let file = sources.add("a.yaml", "é: 1\r\nname: ü\n");
        let start = "é: 1\r\nname: ".len();
        let place = sources.place(Span {
            file,
            start,
            end: start + "ü".len(),
        });
        assert_eq!((place.line, place.column), (2, 7));
        assert_eq!((place.end_line, place.end_column), (2, 8));
        assert_eq!(place.to_string(), "a.yaml:2:7");
    }

    #[test]
    fn files_come_in_the_order_of_their_paths() {
        let sources: Sources = [("b.yaml", ""), ("a.yaml", "")].into_iter().collect();
        let paths: Vec<&str> = sources
            .ids()
            .into_iter()
            .map(|id| sources.path(id))
            .collect();
        assert_eq!(paths, ["a.yaml", "b.yaml"]);
    }
}
