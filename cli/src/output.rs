//! Data to standard output, messages to standard error.

use std::io::{IsTerminal as _, Write as _};

/// Prints data. A reader that went away (`milepost lint | head`) wants no more of it, which is no failure.
pub(crate) fn data(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Prints a line for the person at the terminal.
pub(crate) fn message(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// May standard output be coloured? Only for a person who did not say no: <https://no-color.org>.
pub(crate) fn is_colourful() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !refused && !dumb && std::io::stdout().is_terminal()
}
