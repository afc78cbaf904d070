//! A wire between the job and its server that breaks at a chosen moment.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::Database;

/// What happens to a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the server gets the statement.
    LostStatement,
    /// The server does what it is told, and the connection breaks before it has said so.
    LostAnswer,
    /// The server refuses the statement.
    Refused,
    /// Neither side hears anything any more, and neither is told.
    Silence,
}

/// Which round trip has the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// This one, counted from 1 over all connections.
    RoundTrip(u32),
    /// The first that is this text alone, as `commit`, without bound values.
    Statement(String),
    /// The first that begins with this text, without bound values.
    Beginning(String),
}

/// A wire to a server of Postgres.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    state: Arc<State>,
}

/// What the connections of a wire share.
#[derive(Debug)]
struct State {
    count: AtomicU32,
    fault: Option<(Fault, At)>,
    /// The fault is over: it comes once.
    is_over: AtomicBool,
    clients: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// A wire to the server of a database.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn to(database: &Database) -> Self {
        Self::of(database, None)
    }

    /// The same with a fault.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn with(database: &Database, fault: Fault, at: At) -> Self {
        Self::of(database, Some((fault, at)))
    }

    fn of(database: &Database, fault: Option<(Fault, At)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let server = database.port();
        let state = Arc::new(State {
            count: AtomicU32::new(0),
            fault,
            is_over: AtomicBool::new(false),
            clients: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    return;
                };
                if let Ok(client) = client.try_clone() {
                    shared.clients().push(client);
                }
                let state = Arc::clone(&shared);
                // An end of either side ends both: the client hears of a lost server as it would without us.
                thread::spawn(move || {
                    let link = Link {
                        client,
                        server,
                        state,
                        deaf: Arc::default(),
                    };
                    let _ = link.carry();
                    link.cut();
                });
            }
        });
        Self { port, state }
    }

    /// The URL of the database behind the wire.
    #[must_use]
    pub fn url(&self, database: &Database) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{}",
            self.port,
            database.name()
        )
    }

    /// How many round trips there were.
    #[must_use]
    pub fn round_trips(&self) -> u32 {
        self.state.count.load(Ordering::Relaxed)
    }

    /// Breaks the connections that there are: the clients hear nothing any more, and the server does not know.
    pub fn cut(&self) {
        for client in self.state.clients().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn clients(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of a round trip whose last message this is, if it has one. Counts it.
    fn fault(&self, message: &[u8]) -> Option<Fault> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let (fault, at) = self.fault.as_ref()?;
        let is_it = match at {
            At::RoundTrip(at) => count == *at,
            At::Statement(statement) => {
                let text = message.get(5..message.len() - 1);
                message[0] == b'Q' && text == Some(statement.as_bytes())
            }
            At::Beginning(statement) => {
                let text = message.get(5..).unwrap_or_default();
                message[0] == b'Q' && text.starts_with(statement.as_bytes())
            }
        };
        (is_it && !self.is_over.swap(true, Ordering::Relaxed)).then_some(*fault)
    }
}

/// One connection.
struct Link {
    client: TcpStream,
    server: TcpStream,
    state: Arc<State>,
    /// The client hears nothing of the server any more.
    deaf: Arc<AtomicBool>,
}

/// The code in the place of a protocol version: the client asks for TLS.
const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
/// A statement that every server refuses.
const REFUSED: &[u8] = b"select milepost_refused\0";

impl Link {
    /// Carries what the client says to the server, message by message, until one of them ends.
    fn carry(&self) -> io::Result<()> {
        let (mut client, mut server) = (&self.client, &self.server);
        // The first messages have no type.
        loop {
            let message = untyped(&mut client)?;
            server.write_all(&message)?;
            if message.get(4..8) != Some(&SSL_REQUEST) {
                break;
            }
            let mut answer = [0];
            server.read_exact(&mut answer)?;
            client.write_all(&answer)?;
        }
        let answers = Answers {
            client: self.client.try_clone()?,
            server: self.server.try_clone()?,
            deaf: Arc::clone(&self.deaf),
        };
        thread::spawn(move || {
            let _ = answers.carry();
            answers.cut();
        });
        let mut pending: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut kind = [0];
            client.read_exact(&mut kind)?;
            let mut message = kind.to_vec();
            message.extend(untyped(&mut client)?);
            pending.push(message);
            // A round trip ends with Query or Sync; what is copied flows at once.
            if matches!(kind[0], b'P' | b'B' | b'D' | b'E' | b'C') {
                continue;
            }
            if matches!(kind[0], b'Q' | b'S') {
                match self.state.fault(pending.last().map_or(&[], Vec::as_slice)) {
                    None => {}
                    Some(Fault::LostStatement) => return Ok(()),
                    Some(Fault::LostAnswer) => self.deaf.store(true, Ordering::Relaxed),
                    Some(Fault::Refused) => pending.iter_mut().for_each(refuse),
                    Some(Fault::Silence) => {
                        self.deaf.store(true, Ordering::Relaxed);
                        return drain(client);
                    }
                }
            }
            server.write_all(&pending.concat())?;
            pending.clear();
        }
    }

    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// The other direction of a connection.
struct Answers {
    client: TcpStream,
    server: TcpStream,
    deaf: Arc<AtomicBool>,
}

impl Answers {
    fn carry(&self) -> io::Result<()> {
        let (mut client, mut server) = (&self.client, &self.server);
        loop {
            let mut kind = [0];
            server.read_exact(&mut kind)?;
            let rest = untyped(&mut server)?;
            if self.deaf.load(Ordering::Relaxed) {
                // The server has done it.
                if kind[0] == b'Z' {
                    return Ok(());
                }
            } else {
                client.write_all(&kind)?;
                client.write_all(&rest)?;
            }
        }
    }

    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// A message behind its type: its length, which counts itself, and so many bytes.
fn untyped(stream: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let rest = u32::from_be_bytes(length).saturating_sub(4);
    let mut message = length.to_vec();
    message.resize(4 + usize::try_from(rest).map_err(io::Error::other)?, 0);
    stream.read_exact(&mut message[4..])?;
    Ok(message)
}

/// Makes a message say what no server does: Query has a statement, Parse a name and a statement, both with what follows.
fn refuse(message: &mut Vec<u8>) {
    let body = &message[5..];
    let end = |bytes: &[u8]| bytes.iter().position(|byte| *byte == 0).map(|at| at + 1);
    let refused = match message[0] {
        b'Q' => REFUSED.to_vec(),
        b'P' => {
            let name = end(body).unwrap_or(body.len());
            let statement = end(&body[name..]).unwrap_or(body.len() - name);
            [&body[..name], REFUSED, &body[name + statement..]].concat()
        }
        _ => return,
    };
    let length = u32::try_from(refused.len() + 4).unwrap_or(u32::MAX);
    *message = [&message[..1], &length.to_be_bytes(), &refused].concat();
}

/// Reads until the other side gives up.
fn drain(mut stream: &TcpStream) -> io::Result<()> {
    let mut sink = [0; 4096];
    while stream.read(&mut sink)? > 0 {}
    Ok(())
}
