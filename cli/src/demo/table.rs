use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::database::Rows;

/// Longer values are cut: the tables are to be looked at, not read whole.
const WIDEST: usize = 24;

/// Rows as an aligned table; the columns named here hold numbers.
pub(super) fn draw(rows: &Rows, numbers: &[&str]) -> String {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(&rows.columns);
    for row in &rows.rows {
        let cells = row.iter().zip(&rows.columns).map(|(value, column)| {
            let cell = Cell::new(visible(value.as_deref()));
            match numbers.contains(&column.as_str()) {
                true => cell.set_alignment(CellAlignment::Right),
                false => cell,
            }
        });
        table.add_row(cells);
    }
    format!("{table}\n")
}

/// A value on one line: whatever moves the cursor or has no width is escaped.
fn visible(value: Option<&str>) -> String {
    let Some(value) = value else {
        return "∅".to_owned();
    };
    let is_plain =
        |c: char| c.is_ascii_graphic() || c == ' ' || (c.is_alphanumeric() && c != '\u{3164}');
    let escape = |c: char| match is_plain(c) {
        true => c.to_string(),
        false => c.escape_default().to_string(),
    };
    let mut text = String::new();
    for (place, part) in value.chars().map(escape).enumerate() {
        if place >= WIDEST || text.chars().count() + part.chars().count() > WIDEST {
            text.push('…');
            break;
        }
        text.push_str(&part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line_and_in_its_width() {
        assert_eq!(visible(None), "∅");
        assert_eq!(visible(Some("Åsa Öberg")), "Åsa Öberg");
        assert_eq!(visible(Some("a\n\u{1b}[2J")), "a\\n\\u{1b}[2J");
        assert_eq!(visible(Some(&"x".repeat(100))).chars().count(), WIDEST + 1);
    }
}
