//! What a server said, made fit to print: one line, without control characters, and without what may be secret.
//!
//! A message of Kafka Connect can hold what its config providers resolved; one of a database names the user; an address
//! can hold a password.

/// Longer messages are cut: they are for the terminal, and the whole of them stands in the server's log.
const LONGEST: usize = 240;

/// The first line of a message that is not empty.
pub(crate) fn line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = line.unwrap_or_default().chars().map(printable).collect();
    cut(without_users(&without_passwords(&without_value(&line))))
}

/// An error of a library with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    line(&crate::failure::chain(error).replace('\n', " "))
}

fn cut(text: String) -> String {
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// Kafka's `Invalid value <value> for configuration <name>: <why>` without the value.
fn without_value(text: &str) -> String {
    const BEFORE: &str = "Invalid value ";
    const BEHIND: &str = " for configuration ";
    match (text.find(BEFORE), text.rfind(BEHIND)) {
        (Some(start), Some(end)) if start + BEFORE.len() <= end => format!(
            "{}{}{}",
            &text[..start],
            "the value cannot be used",
            &text[end..]
        ),
        _ => text.to_owned(),
    }
}

/// `//user:password@host` and `password=…` without what is secret in them.
fn without_passwords(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(' ') {
        let mut word = word.to_owned();
        if let Some(start) = word.find("//") {
            let rest = &word[start + 2..];
            let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            // The last `@` that a password without its own escape could hold stands before the host.
            if let Some(at) = rest
                .rfind('@')
                .filter(|&at| at < authority || rest[at..].len() > 1)
            {
                word = format!("{}//…{}", &word[..start], &rest[at..]);
            }
        }
        words.push(without_parameter(&word));
    }
    words.join(" ")
}

/// A parameter whose name ends in `password` or `secret`, in a URL or a list of settings.
fn without_parameter(word: &str) -> String {
    let mut text = word.to_owned();
    for name in ["password=", "secret=", "passwd=", "pwd="] {
        let mut from = 0;
        while let Some(found) = text
            .get(from..)
            .and_then(|rest| rest.to_ascii_lowercase().find(name))
        {
            let start = from + found + name.len();
            let end = text[start..]
                .find(['&', ';', ',', '"', '\''])
                .map_or(text.len(), |end| start + end);
            text.replace_range(start..end, "…");
            from = start;
        }
    }
    text
}

/// `user "x"`, `user 'x'`, `role "x"` and `user: x` without the name, which is half of a credential.
fn without_users(text: &str) -> String {
    let mut text = text.to_owned();
    for (before, behind) in [
        ("user \"", Some('"')),
        ("user '", Some('\'')),
        ("role \"", Some('"')),
        ("user: ", None),
    ] {
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| rest.find(before)) {
            let start = from + found + before.len();
            let rest = &text[start..];
            let end = match behind {
                Some(quote) => rest.find(quote),
                None => rest.find([' ', ',', ';']),
            };
            let end = end.map_or(text.len(), |end| start + end);
            text.replace_range(start..end, "…");
            from = start;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("\n  first\tof \u{1b}[31mtwo\nsecond" => "first of  [31mtwo"; "one line without control characters")]
    #[test_case("Invalid value s3cr3t for configuration database.port: Not a number" => "the value cannot be used for configuration database.port: Not a number"; "a value of a setting")]
    #[test_case("no route to http://ann:s3cr3t@host:8083/x" => "no route to http://…@host:8083/x"; "an address")]
    #[test_case("jdbc:postgresql://ann:s3@cr3t@host/db failed" => "jdbc:postgresql://…@host/db failed"; "a password with an at")]
    #[test_case("postgres://ann:s3/cr3t@host/db failed" => "postgres://…@host/db failed"; "a password with a slash")]
    #[test_case("jdbc:x?user=a&password=s3cr3t&ssl=on" => "jdbc:x?user=a&password=…&ssl=on"; "a parameter")]
    #[test_case("sasl.PASSWORD=s3cr3t;" => "sasl.PASSWORD=…;"; "a setting")]
    #[test_case("FATAL: password authentication failed for user \"ann\"" => "FATAL: password authentication failed for user \"…\""; "a user")]
    #[test_case("roles are not assigned to user: ann" => "roles are not assigned to user: …"; "a user at the end")]
    fn what_a_server_said(text: &str) -> String {
        line(text)
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(line(&"é".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
