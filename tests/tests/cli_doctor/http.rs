//! A server of HTTP that answers as a test wants, in seventy lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// The header of basic authentication, if there is one.
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status and JSON.
    Json(u16, Value),
    /// A status, a type of content and its text.
    Text(u16, &'static str, String),
    /// A redirection.
    Redirect(String),
    /// More is announced than comes.
    Truncated(String),
    /// The connection is held, and nothing comes.
    Silence,
}

/// Listens on 127.0.0.1 until the test process ends; returns the port.
pub(crate) fn serve(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it listens").port();
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            thread::spawn(move || answer(stream, &*handler));
        }
    });
    port
}

/// One request per connection. Who goes away meanwhile wants no answer.
fn answer(stream: TcpStream, handler: &dyn Fn(&Request) -> Answer) {
    let mut reader = BufReader::new(&stream);
    let Some(request) = read(&mut reader) else {
        return;
    };
    let head = |status: u16, kind: &str, length: usize| {
        format!(
            "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n"
        )
    };
    let text = match handler(&request) {
        Answer::Json(status, value) => {
            let body = value.to_string();
            format!("{}\r\n{body}", head(status, "application/json", body.len()))
        }
        Answer::Text(status, kind, body) => format!("{}\r\n{body}", head(status, kind, body.len())),
        Answer::Redirect(to) => format!("{}location: {to}\r\n\r\n", head(302, "text/html", 0)),
        Answer::Truncated(body) => {
            format!(
                "{}\r\n{body}",
                head(200, "application/json", body.len() + 100)
            )
        }
        Answer::Silence => {
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
    };
    let _ = (&stream).write_all(text.as_bytes());
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                authorization = Some(value.to_owned())
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        authorization,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
