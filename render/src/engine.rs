//! Templates become text: strict, and escaped by the ending of the file that they make.
//!
//! A string leaf of the context is turned into a literal of the target language, quotes included, before the template sees
//! it, so a template cannot forget to escape. Arrays and maps may be walked, never printed; booleans and nulls are there for
//! `if`, and an undefined name is an error. What a language wants without quotes goes through the filter `identifier`,
//! which refuses everything else.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value as Json;
use tera::{Context, Kwargs, State, Tera, TeraResult, Value};
use thiserror::Error;

/// A template of `templates/`, embedded in the binary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    /// Its path below `templates/`; the ending before `.tera` says how strings are written.
    pub(crate) path: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
}

/// Why a template cannot be rendered: always a defect of ours, never the user's input.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The context does not become a value.
    #[error("the context of template `{template}` cannot be serialized")]
    Context {
        /// The template's path.
        template: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The template does not parse, or asks for what the context does not hold.
    #[error("template `{template}` cannot be rendered")]
    Render {
        /// The template's path.
        template: &'static str,
        /// Why.
        source: Box<tera::Error>,
    },
    /// No language is known for the ending.
    #[error(
        "template `{template}` ends in none of `.py.tera`, `.yaml.tera`, `.tf.tera`, `.psql.tera` and `.mysql.tera`"
    )]
    Ending {
        /// The template's path.
        template: &'static str,
    },
}

/// A leaf of a context that SQL writes as the name of a table or schema, not as a string.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Name<'a> {
    #[serde(rename = "$name")]
    pub(crate) name: &'a str,
}

/// How a language writes strings and names.
#[derive(Clone, Copy)]
struct Language {
    literal: fn(&str) -> String,
    name: fn(&str) -> String,
}

impl Language {
    /// The language of a template; an unknown ending is a defect of ours.
    fn of(template: &str) -> Option<Self> {
        let same = |literal| Self {
            literal,
            name: literal,
        };
        let ending = template.strip_suffix(".tera")?.rsplit_once('.')?.1;
        match ending {
            "py" | "yaml" => Some(same(python_literal)),
            "tf" => Some(same(hcl_literal)),
            "psql" => Some(Self {
                literal: postgres_literal,
                name: |name| format!("\"{}\"", name.replace('"', "\"\"")),
            }),
            "mysql" => Some(Self {
                literal: mysql_literal,
                name: |name| format!("`{}`", name.replace('`', "``")),
            }),
            _ => None,
        }
    }
}

impl Template {
    /// The text that the template makes of the context.
    pub(crate) fn render(self, context: &impl Serialize) -> Result<String, TemplateError> {
        let template = self.path;
        let language = Language::of(template).ok_or(TemplateError::Ending { template })?;
        let context = serde_json::to_value(context)
            .map_err(|source| TemplateError::Context { template, source })?;
        let mut values = Context::new();
        if let Json::Object(fields) = context {
            for (name, field) in fields {
                values.insert_value(name, with_literals(field, language));
            }
        }
        let rendered = || -> TeraResult<String> {
            let mut tera = Tera::new();
            tera.autoescape_on([".tera"]);
            tera.set_escape_fn(refuse);
            tera.register_filter("identifier", identifier);
            tera.register_filter("pad", pad);
            tera.add_raw_template(template, self.text)?;
            tera.render(template, &values)
        };
        rendered().map_err(|source| TemplateError::Render {
            template,
            source: Box::new(source),
        })
    }
}

/// The context as the template sees it: strings as literals, everything else as it is.
fn with_literals(value: Json, language: Language) -> Value {
    match value {
        Json::String(text) => Value::safe_string(&(language.literal)(&text)),
        Json::Array(items) => items
            .into_iter()
            .map(|item| with_literals(item, language))
            .collect::<Vec<_>>()
            .into(),
        Json::Object(fields) => match fields.get("$name") {
            Some(Json::String(name)) => Value::safe_string(&(language.name)(name)),
            _ => Value::from_serializable(
                &fields
                    .into_iter()
                    .map(|(name, field)| (name, with_literals(field, language)))
                    .collect::<std::collections::BTreeMap<_, _>>(),
            ),
        },
        scalar @ (Json::Null | Json::Bool(_) | Json::Number(_)) => {
            Value::from_serializable(&scalar)
        }
    }
}

/// Every string of the context is a literal already, so what asks to be escaped is an array, a map or a word of the template.
fn refuse(text: &str, _: &mut dyn Write) -> io::Result<()> {
    Err(io::Error::other(format!(
        "only scalars of the context can be printed, this is {text}"
    )))
}

/// The literal without its quotes, for a place where the language wants a bare word.
fn identifier(literal: &str, _: Kwargs, _: &State) -> TeraResult<Value> {
    let word = literal.trim_matches('"');
    let legal = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if legal {
        Ok(Value::safe_string(word))
    } else {
        Err(tera::Error::message(format!("{literal} is no identifier")))
    }
}

/// The literal, filled up with spaces to a width, for a language whose formatter aligns.
fn pad(literal: &str, arguments: Kwargs, _: &State) -> TeraResult<Value> {
    let width = arguments.must_get::<usize>("width")?;
    Ok(Value::safe_string(&format!("{literal:width$}")))
}

/// A string of Python in double quotes; YAML has the same escapes.
fn python_literal(text: &str) -> String {
    quoted(text, |c, out| match c {
        '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        _ => push_readable(c, out),
    })
}

/// A quoted template of HCL in which nothing is a template: `${` and `%{` are doubled.
fn hcl_literal(text: &str) -> String {
    let mut rest = text.chars().peekable();
    let mut doubled = String::with_capacity(text.len());
    while let Some(c) = rest.next() {
        doubled.push(c);
        if matches!(c, '$' | '%') && rest.peek() == Some(&'{') {
            doubled.push(c);
        }
    }
    quoted(&doubled, |c, out| match c {
        '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        _ => push_readable(c, out),
    })
}

/// A string of Postgres, with escapes only where it needs them: `E'…'` means the same under every setting of the session.
fn postgres_literal(text: &str) -> String {
    if !text.contains(|c: char| c == '\\' || !is_readable(c)) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("E'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            c if is_readable(c) => out.push(c),
            c if u32::from(c) <= 0xFFFF => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('\'');
    out
}

/// A string of MySQL and MariaDB while `NO_BACKSLASH_ESCAPES` is off. There are no escapes for characters.
fn mysql_literal(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "''");
    let text = text.replace('\n', "\\n").replace('\r', "\\r");
    format!("'{}'", text.replace('\0', "\\0"))
}

/// May a reviewer see the character as it is?
fn is_readable(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || c.is_ascii_graphic()
}

fn quoted(text: &str, other: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => other(c, &mut out),
        }
    }
    out.push('"');
    out
}

/// Letters and digits of every script as they are; invisible and direction-changing characters as escapes, so that a
/// reviewer sees what the machine sees.
fn push_readable(c: char, out: &mut String) {
    if is_readable(c) {
        out.push(c);
    } else if u32::from(c) <= 0xFFFF {
        out.push_str(&format!("\\u{:04x}", u32::from(c)));
    } else {
        out.push_str(&format!("\\U{:08x}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn python(text: &'static str, context: &Json) -> Result<String, TemplateError> {
        Template {
            path: "test.py.tera",
            text,
        }
        .render(context)
    }

    #[test]
    fn a_string_is_a_literal_of_the_language() {
        let context = json!({"x": "a\"b\\c\n${d} %{e} $${f} é\u{202e}😀"});
        assert_eq!(
            python("{{ x }}", &context).unwrap(),
            r#""a\"b\\c\n${d} %{e} $${f} é\u202e\U0001f600""#
        );
        let terraform = Template {
            path: "test.tf.tera",
            text: "{{ x }}",
        };
        assert_eq!(
            terraform.render(&context).unwrap(),
            r#""a\"b\\c\n$${d} %%{e} $$${f} é\u202e\U0001f600""#
        );
    }

    #[test]
    fn sql_has_strings_and_names() {
        let name = "q\"u`o";
        let context = json!({"plain": "it's", "x": "a'b\\c\nd\u{202e}é", "name": Name { name }});
        let text = "{{ plain }} {{ x }} {{ name }}";
        let postgres = Template {
            path: "test.psql.tera",
            text,
        };
        assert_eq!(
            postgres.render(&context).unwrap(),
            r#"'it''s' E'a''b\\c\u000ad\u202eé' "q""u`o""#
        );
        let mysql = Template {
            path: "test.mysql.tera",
            text,
        };
        assert_eq!(
            mysql.render(&context).unwrap(),
            "'it''s' 'a''b\\\\c\\nd\u{202e}é' `q\"u``o`"
        );
    }

    #[test]
    fn loops_and_ifs_see_the_values() {
        let context = json!({"rows": [{"k": "a", "on": true}, {"k": "b", "on": false}], "n": 3, "none": null});
        let text = "{% for row in rows %}{{ row.k }}{% if row.on %}!{% endif %} {% endfor %}{{ n }}{% if none %}?{% endif %}";
        assert_eq!(python(text, &context).unwrap(), "\"a\"! \"b\" 3");
    }

    #[test]
    fn undefined_names_and_composites_are_errors() {
        let context = json!({"list": ["a"], "map": {"a": 1}});
        for text in [
            "{{ missing }}",
            "{{ map.b }}",
            "{{ list }}",
            "{{ map }}",
            "{{ \"word\" }}",
        ] {
            assert!(python(text, &context).is_err(), "{text}");
        }
    }

    #[test]
    fn an_identifier_is_checked() {
        let context = json!({"good": "shop_source", "bad": "a b", "worse": "a\"]"});
        assert_eq!(
            python("{{ good | identifier }}", &context).unwrap(),
            "shop_source"
        );
        assert!(python("{{ bad | identifier }}", &context).is_err());
        assert!(python("{{ worse | identifier }}", &context).is_err());
    }
}
