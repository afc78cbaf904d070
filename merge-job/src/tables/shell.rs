//! Names in commands that a person copies into a shell.

/// A name as one word of a POSIX shell: as it is where nothing in it means anything to a shell, else in quotes.
pub(crate) fn word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !name.is_empty() && name.chars().all(is_plain) && !name.starts_with('-') {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_name_is_one_word_whatever_is_in_it() {
        assert_eq!(word("customers"), "customers");
        assert_eq!(word("it's; rm"), r"'it'\''s; rm'");
        assert_eq!(word("-x"), "'-x'");
        assert_eq!(word(""), "''");
    }
}
