//! `docs/known-failures.md` has a line for each failure, and every test that it names exists.

use crate::workspace;

const PAGE: &str = "docs/known-failures.md";
/// Failures are numbered from T01 to this.
const LAST: u32 = 64;
/// A line names so many tests at most.
const MOST: usize = 3;
/// The attribute that makes a function a test stands at most so many lines above it.
const ABOVE: usize = 8;

#[test]
fn every_known_failure_names_tests_that_exist() {
    let root = workspace();
    let page = std::fs::read_to_string(root.join(PAGE)).expect("the page stands there");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).ok();
    assert_eq!(complaints(&page, LAST, &read), Vec::<String>::new());
}

#[test]
fn whatever_is_wrong_with_the_list_is_found() {
    let page = "\
# A head

| number | what goes wrong | tests | note |
|---|---|---|---|
| T01 | it is tested | `a.rs::is_one`, `a.rs::is_another` | |
| T02 | nobody tests it | none | a test of it |
| T04 | its tests are none | `a.rs::helper`, `a.rs::gone`, `b.rs::is_one` | |
| T05 | it names nothing | | |
| T06 | it says nothing | none | |
| T07 | it names no function | `a.rs` | |
| T08 | it has three cells | none |
";
    let read = |file: &str| (file == "a.rs").then(|| SAMPLE.to_owned());
    assert_eq!(
        complaints(page, 9, &read),
        [
            "line 7: T04 stands where T03 belongs: give each number one line, in order",
            "line 7, T04: `a.rs` has no test `helper`: name one that it has, or write `none`",
            "line 7, T04: `a.rs` has no test `gone`: name one that it has, or write `none`",
            "line 7, T04: there is no file `b.rs`: write its path from the root",
            "line 8, T05: name one to 3 tests, each as `path/to/file.rs::function`, or write `none`",
            "line 9, T06: no test is named: say in the note what is missing",
            "line 10, T07: `a.rs` names no function: write `path/to/file.rs::function`",
            "line 11, T08: it has not four cells: number, what goes wrong, tests, note",
            "the list ends before T09: add its line",
        ]
    );
}

/// A file with two tests and a function that is none.
const SAMPLE: &str = "\
/// One case after the other.
#[test_case(1; \"one\")]
#[test_case(2; \"two\")]
#[expect(unused, reason = \"it is a sample\")]
fn is_one(number: u32) {
}
fn helper() {}

#[tokio::test]
async fn is_another() {}
";

/// What is wrong with the page, each with its line and its remedy.
fn complaints(page: &str, last: u32, read: &impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = 1;
    for (place, line) in page.lines().enumerate() {
        let Some(number) = number(line) else {
            continue;
        };
        let place = place + 1;
        if number != next {
            found.push(format!(
                "line {place}: T{number:02} stands where T{next:02} belongs: give each number one line, in order"
            ));
        }
        next = number.saturating_add(1);
        for wrong in wrong_with(line, read) {
            found.push(format!("line {place}, T{number:02}: {wrong}"));
        }
    }
    if next <= last {
        found.push(format!("the list ends before T{next:02}: add its line"));
    }
    if next > last.saturating_add(1) {
        found.push(format!("the list goes beyond T{last:02}: raise `LAST`"));
    }
    found
}

/// The number of a failure's line; any other line has none.
fn number(line: &str) -> Option<u32> {
    let (number, _) = line.strip_prefix("| T")?.split_once(' ')?;
    number.parse().ok()
}

/// What is wrong with the line of a failure.
fn wrong_with(line: &str, read: &impl Fn(&str) -> Option<String>) -> Vec<String> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    // Nothing stands before the first bar and behind the last.
    let ["", _, _, tests, note, ""] = cells.as_slice() else {
        return vec!["it has not four cells: number, what goes wrong, tests, note".to_owned()];
    };
    if *tests == "none" && note.is_empty() {
        return vec!["no test is named: say in the note what is missing".to_owned()];
    }
    if *tests == "none" {
        return Vec::new();
    }
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    if names.is_empty() || names.len() > MOST {
        return vec![format!(
            "name one to {MOST} tests, each as `path/to/file.rs::function`, or write `none`"
        )];
    }
    names
        .into_iter()
        .filter_map(|name| wrong_with_name(name, read))
        .collect()
}

/// Why no test is called so.
fn wrong_with_name(name: &str, read: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let Some((file, function)) = name.split_once("::") else {
        return Some(format!(
            "`{name}` names no function: write `path/to/file.rs::function`"
        ));
    };
    let Some(text) = read(file) else {
        return Some(format!(
            "there is no file `{file}`: write its path from the root"
        ));
    };
    let is_missing = !has_test(&text, function);
    is_missing.then(|| {
        format!("`{file}` has no test `{function}`: name one that it has, or write `none`")
    })
}

/// Has the file a function of this name, with the attribute of a test above it?
fn has_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(place, line)| {
        let above = lines[..place].iter().rev().take(ABOVE);
        // What stands above an empty line or the end of a block is another item's.
        let mut own = above.take_while(|line| !line.is_empty() && !line.starts_with('}'));
        declares(line, function) && own.any(|line| is_attribute_of_a_test(line))
    })
}

fn declares(line: &str, function: &str) -> bool {
    let Some((before, rest)) = line.split_once("fn ") else {
        return false;
    };
    let is_declaration = ["", "async ", "pub ", "pub(crate) "].contains(&before);
    let rest = rest.strip_prefix(function);
    is_declaration && rest.is_some_and(|rest| rest.starts_with(['(', '<']))
}

fn is_attribute_of_a_test(line: &str) -> bool {
    let attributes = ["#[test]", "#[test_case", "#[test_matrix", "#[tokio::test"];
    attributes
        .iter()
        .any(|attribute| line.starts_with(attribute))
}
