//! Names as connectors' lists want them: regular expressions of Java, with commas between them.

/// A regular expression of Java that matches the text and nothing else.
///
/// The connector splits its lists at commas that have no backslash before them and trims the parts, so commas get one and white
/// space is written by its number.
pub(in crate::kubernetes_postgres) fn regex_of(text: &str) -> String {
    let mut regex = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            regex.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
        } else {
            if !c.is_alphanumeric() && c != '_' {
                regex.push('\\');
            }
            regex.push(c);
        }
    }
    regex
}

/// Debezium compares the entries of its lists of tables and columns without regard to case, and a source may have `orders` and
/// `"Orders"`. This asks for it.
const BY_CASE: &str = "(?-i)";

/// An entry of Debezium's lists that names a table and no other.
pub(super) fn table_entry(table: &str) -> String {
    format!("{BY_CASE}{}", regex_of(table))
}

/// An entry of Debezium's lists that names these columns of a table and no others.
pub(super) fn columns_entry<'a>(table: &str, columns: impl Iterator<Item = &'a str>) -> String {
    let columns: Vec<String> = columns.map(regex_of).collect();
    format!("{}\\.({})", table_entry(table), columns.join("|"))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("public.orders", r"public\.orders"; "a dot")]
    #[test_case("a,b", r"a\,b"; "a comma does not part the list")]
    #[test_case(" a b\n", r"\x{20}a\x{20}b\x{a}"; "white space is not trimmed")]
    #[test_case("${env:HOME}", r"\$\{env\:HOME\}"; "no config provider is asked")]
    #[test_case("\"quoted\"\\", r#"\"quoted\"\\"#; "quotes and backslashes")]
    #[test_case("Größe_漢1", "Größe_漢1"; "letters of every script")]
    fn a_name_becomes_an_expression_for_itself(name: &str, regex: &str) {
        assert_eq!(regex_of(name), regex);
    }

    #[test]
    fn columns_are_alternatives_behind_their_table() {
        let entry = columns_entry("public.orders", ["id", "a|b"].into_iter());
        assert_eq!(entry, r"(?-i)public\.orders\.(id|a\|b)");
    }
}
