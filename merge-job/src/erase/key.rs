//! Which keys are erased: values as a person gives them, by the names of the model's columns. Messages name columns and
//! lines, never values.

use std::fmt;

use milepost_job_spec::{ColumnSpec, DatasetSpec};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::error::Error;

/// The most keys of one command: they are sent in one statement, and erased in one transaction.
pub const MAX_KEYS: usize = 10_000;

/// The keys as they were given.
pub enum Given {
    /// One key, as `COLUMN=VALUE` for each of its columns.
    Arguments(Vec<String>),
    /// Keys as JSON objects, one on each line.
    Lines(String),
}

/// Keys of a dataset: for each of its key's columns, in key order, the values of all keys as text.
pub(crate) struct Keys(Vec<Vec<String>>);

impl Keys {
    /// Reads what was given as keys of a dataset.
    ///
    /// # Errors
    /// [`Error::Usage`] where a column is missing, unknown or given twice, a line is no JSON object, or there are too many.
    pub(crate) fn parse(dataset: &DatasetSpec, given: &Given) -> Result<Self, Error> {
        let keys = match given {
            Given::Arguments(pairs) => vec![from_pairs(dataset, pairs)?],
            Given::Lines(text) => {
                let lines = text.lines().zip(1..);
                let lines = lines.filter(|(line, _)| !line.trim().is_empty());
                lines
                    .map(|(line, number)| from_line(dataset, line, number))
                    .take(MAX_KEYS + 1)
                    .collect::<Result<Vec<_>, _>>()?
            }
        };
        if keys.is_empty() {
            return Err(Error::Usage("no keys were given".to_owned()));
        }
        if keys.len() > MAX_KEYS {
            return Err(Error::Usage(format!(
                "more than {MAX_KEYS} keys: they are erased in one transaction, so give them in several files"
            )));
        }
        let columns = dataset.key.len();
        let mut by_column = vec![Vec::with_capacity(keys.len()); columns];
        for key in keys {
            for (column, value) in by_column.iter_mut().zip(key) {
                column.push(value);
            }
        }
        Ok(Self(by_column))
    }

    /// The values of each column.
    pub(crate) fn columns(&self) -> &[Vec<String>] {
        &self.0
    }
}

/// The model calls a column as the source does, which is its name in staging; the name in the merge table is taken too.
fn place(dataset: &DatasetSpec, name: &str) -> Option<usize> {
    let by =
        |of: fn(&ColumnSpec) -> &str| dataset.key_columns().position(|column| of(column) == name);
    by(|column| column.staged_as.as_str()).or_else(|| by(|column| column.name.as_str()))
}

fn from_pairs(dataset: &DatasetSpec, pairs: &[String]) -> Result<Vec<String>, Error> {
    let mut key = Key::of(dataset);
    for pair in pairs {
        // A name may have an equals sign in it, so the longest column that fits is meant.
        let split = |(at, _)| Some((place(dataset, &pair[..at])?, &pair[at + 1..]));
        let Some((place, value)) = pair.rmatch_indices('=').find_map(split) else {
            return Err(Error::Usage(format!(
                "--key takes COLUMN=VALUE, and the key of dataset `{}` is {}",
                dataset.name,
                columns(dataset)
            )));
        };
        key.set(place, value.to_owned(), "the key")?;
    }
    key.finish("the key")
}

fn from_line(dataset: &DatasetSpec, line: &str, number: usize) -> Result<Vec<String>, Error> {
    let what = format!("line {number} of the keys");
    // What the parser says quotes values.
    let Ok(Pairs(pairs)) = serde_json::from_str(line) else {
        return Err(Error::Usage(format!("{what} is no JSON object")));
    };
    let mut key = Key::of(dataset);
    for (name, value) in pairs {
        let Some(place) = place(dataset, &name) else {
            return Err(Error::Usage(format!(
                "{what} has a column that the key of dataset `{}` has not: it is {}",
                dataset.name,
                columns(dataset)
            )));
        };
        let text = match value {
            Value::String(text) => Some(text),
            Value::Bool(value) => Some(value.to_string()),
            // Other numbers were rounded when they were read.
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let text = text.ok_or_else(|| {
            Error::Usage(format!(
                "{what}: column `{}` takes a text, a whole number, true or false; write any other value as a text",
                dataset.key[place]
            ))
        })?;
        key.set(place, text, &what)?;
    }
    key.finish(&what)
}

/// A JSON object with all its members, also those that have one name: none of them is silently the one that counts.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A key of which some columns are known.
struct Key<'a> {
    dataset: &'a DatasetSpec,
    values: Vec<Option<String>>,
}

impl<'a> Key<'a> {
    fn of(dataset: &'a DatasetSpec) -> Self {
        Self {
            dataset,
            values: vec![None; dataset.key.len()],
        }
    }

    fn set(&mut self, place: usize, value: String, what: &str) -> Result<(), Error> {
        // The server's text type has no such character.
        if value.contains('\0') {
            return Err(Error::Usage(format!(
                "{what}: the value of column `{}` has a character that no text can have",
                self.dataset.key[place]
            )));
        }
        match self.values[place].replace(value) {
            None => Ok(()),
            Some(_) => Err(Error::Usage(format!(
                "{what} has column `{}` twice",
                self.dataset.key[place]
            ))),
        }
    }

    fn finish(self, what: &str) -> Result<Vec<String>, Error> {
        let missing = self.values.iter().position(Option::is_none);
        if let Some(place) = missing {
            return Err(Error::Usage(format!(
                "{what} lacks column `{}`: a row is erased by its whole key, {}",
                self.dataset.key[place],
                columns(self.dataset)
            )));
        }
        Ok(self.values.into_iter().flatten().collect())
    }
}

/// The key's columns as the model calls them.
fn columns(dataset: &DatasetSpec) -> String {
    let names = dataset
        .key_columns()
        .map(|column| format!("`{}`", column.staged_as));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use milepost_job_spec::StreamSpec;

    use super::*;

    fn dataset() -> DatasetSpec {
        let text = r#"{
            "version": 2, "stream": {"platform": "main", "store": "shop", "dataset": "lines"}, "source": "postgres",
            "datasets": [{
                "name": "lines", "source_name": "public.lines", "naming": 1,
                "staging": {"schema": "main_staging", "name": "shop__lines"}, "merge": {"schema": "main", "name": "shop__lines"},
                "strategy": "live-only", "key": ["order_id", "a=b"],
                "columns": [
                    {"name": "order_id", "staged_as": "Order Id", "merge_type": "bigint", "staging_type": "bigint", "nullable": false},
                    {"name": "a=b", "staged_as": "a=b", "merge_type": "text", "staging_type": "text", "nullable": false},
                    {"name": "note", "staged_as": "note", "merge_type": "text", "staging_type": "text", "nullable": true}
                ]
            }],
            "limits": {"max_rows": 1000, "max_quarantined": 10, "incomplete_transaction_seconds": 900, "staged_seconds": 900}
        }"#;
        StreamSpec::from_json(text)
            .expect("the spec is well formed")
            .datasets
            .remove(0)
    }

    fn arguments(pairs: &[&str]) -> Result<Vec<Vec<String>>, String> {
        let pairs = pairs.iter().map(|&pair| pair.to_owned()).collect();
        parsed(&Given::Arguments(pairs))
    }

    fn lines(text: &str) -> Result<Vec<Vec<String>>, String> {
        parsed(&Given::Lines(text.to_owned()))
    }

    fn parsed(given: &Given) -> Result<Vec<Vec<String>>, String> {
        match Keys::parse(&dataset(), given) {
            Ok(keys) => Ok(keys.0),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn columns_are_those_of_the_model_or_of_the_merge_table() {
        let expected = vec![vec!["1".to_owned()], vec!["x=y".to_owned()]];
        assert_eq!(arguments(&["Order Id=1", "a=b=x=y"]), Ok(expected.clone()));
        assert_eq!(arguments(&["a=b=x=y", "order_id=1"]), Ok(expected));
    }

    #[test]
    fn an_empty_value_is_a_value_and_spaces_belong_to_it() {
        let expected = vec![vec![" 1".to_owned()], vec![String::new()]];
        assert_eq!(arguments(&["order_id= 1", "a=b="]), Ok(expected));
    }

    #[test]
    fn lines_are_keys() {
        let text = "{\"order_id\": 1, \"a=b\": \"x\"}\r\n\n{\"a=b\": true, \"Order Id\": \"18446744073709551616\"}\n";
        let expected = vec![
            vec!["1".to_owned(), "18446744073709551616".to_owned()],
            vec!["x".to_owned(), "true".to_owned()],
        ];
        assert_eq!(lines(text), Ok(expected));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_quoted() {
        let cases = [
            (arguments(&["order_id=7777"]), "lacks column `a=b`"),
            (arguments(&["7777"]), "--key takes COLUMN=VALUE"),
            (
                arguments(&["note=7777", "order_id=1"]),
                "--key takes COLUMN=VALUE",
            ),
            (
                arguments(&["order_id=7777", "Order Id=7777"]),
                "has column `order_id` twice",
            ),
            (lines(""), "no keys were given"),
            (
                lines("{\"order_id\": 7777"),
                "line 1 of the keys is no JSON object",
            ),
            (lines("\n[7777]"), "line 2 of the keys is no JSON object"),
            (
                lines("{\"order_id\": 7777.5, \"a=b\": \"\"}"),
                "column `order_id` takes a text, a whole number",
            ),
            (
                lines("{\"order_id\": 7777, \"order_id\": 1}"),
                "line 1 of the keys has column `order_id` twice",
            ),
            (
                lines("{\"order_id\": null}"),
                "column `order_id` takes a text, a whole number",
            ),
            (
                lines("{\"order_id\": 7777, \"7777\": 1}"),
                "has a column that the key of dataset `lines` has not",
            ),
            (
                lines("{\"order_id\": \"7777\\u0000\"}"),
                "has a character that no text can have",
            ),
        ];
        for (parsed, words) in cases {
            let error = parsed.expect_err(words);
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("7777"), "{error}");
        }
    }

    #[test]
    fn a_command_takes_a_bounded_number_of_keys() {
        let line = "{\"order_id\": 1, \"a=b\": \"x\"}\n";
        assert!(lines(&line.repeat(MAX_KEYS)).is_ok());
        let error = lines(&line.repeat(MAX_KEYS + 1)).expect_err("too many");
        assert!(error.contains("in several files"), "{error}");
    }
}
