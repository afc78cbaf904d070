//! What the source's clients do: transactions over several tables, at once, on few keys.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postgres::{Client, NoTls};
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::gate::Gate;
use crate::model::{ACCOUNTS, DOCUMENTS, SEATS, STORES};

/// The pause of a client between two transactions, at most.
const PAUSE_MS: u64 = 80;
/// Rows of a big transaction.
pub(crate) const BIG: u32 = 4000;

/// Counts of what the clients did.
#[derive(Debug, Default)]
pub(crate) struct Workload {
    pub(crate) gate: Gate,
    pub(crate) committed: AtomicU64,
    pub(crate) rolled_back: AtomicU64,
    pub(crate) disconnected: AtomicU64,
}

impl Workload {
    /// A client, until the gate's work is over. It connects anew whenever the server is back.
    pub(crate) fn client(&self, url: &str, mut rng: StdRng) {
        let mut connection: Option<Client> = None;
        while let Some(turn) = self.gate.pass() {
            match &mut connection {
                Some(client) => {
                    if self.is_lost(client, &mut rng) {
                        connection = None;
                    }
                }
                None => {
                    connection = Client::connect(url, NoTls).ok();
                }
            }
            drop(turn);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..PAUSE_MS)));
        }
    }

    /// One transaction; is the connection lost?
    fn is_lost(&self, client: &mut Client, rng: &mut StdRng) -> bool {
        match client.batch_execute(&transaction(rng)) {
            Ok(()) => self.committed.fetch_add(1, Ordering::Relaxed),
            // A deadlock or a key that is taken.
            Err(_) if !client.is_closed() && client.batch_execute("rollback").is_ok() => {
                self.rolled_back.fetch_add(1, Ordering::Relaxed)
            }
            Err(_) => {
                self.disconnected.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        };
        false
    }
}

/// A transaction of one to eight changes, sometimes with a savepoint, sometimes undone.
fn transaction(rng: &mut StdRng) -> String {
    let store = STORES[rng.random_range(0..STORES.len())];
    let mut sql =
        "begin; set local deadlock_timeout = '20ms'; set local synchronous_commit = off;\n"
            .to_owned();
    for _ in 0..rng.random_range(1..=8) {
        if rng.random_bool(0.1) {
            let undone = change(rng, store);
            let _ = writeln!(sql, "savepoint here; {undone}; rollback to here;");
        }
        let change = change(rng, store);
        let _ = writeln!(sql, "{change};");
    }
    sql += if rng.random_bool(0.05) {
        "rollback"
    } else {
        "commit"
    };
    sql
}

/// One change, or a few that belong together.
fn change(rng: &mut StdRng, store: &str) -> String {
    let account = rng.random_range(1..=ACCOUNTS);
    let other = rng.random_range(1..=ACCOUNTS);
    let order = rng.random_range(1..=400);
    let document = rng.random_range(1..=DOCUMENTS);
    let amount = rng.random_range(1..=999);
    let (line, seat) = (rng.random_range(1..=SEATS / 10), rng.random_range(0..10));
    let (line_2, seat_2) = (rng.random_range(1..=SEATS / 10), rng.random_range(0..10));
    let text = rng.random::<u64>();
    match rng.random_range(0..18) {
        0 | 1 => format!(
            "update {store}.accounts set balance = balance - {amount} where id = {account};
             update {store}.accounts set balance = balance + {amount} where id = {other}"
        ),
        2 => format!("update {store}.accounts set owner = 'owner {text}' where id = {account}"),
        // An event that changes nothing.
        3 => format!("update {store}.accounts set owner = owner where id = {account}"),
        4 => format!("delete from {store}.accounts where id = {account}"),
        5 => format!(
            "insert into {store}.accounts values ({account}, 'again {text}', {amount}) on conflict (id) do update set balance = null"
        ),
        6 | 7 => format!(
            "insert into {store}.orders values ({order}, {account}, 'new', 'note {text}')
             on conflict (id) do update set status = 'changed', account = {account}"
        ),
        8 => format!("delete from {store}.orders where id = {order}"),
        9 => format!(
            "delete from {store}.orders where id = {order};
             insert into {store}.orders values ({order}, {other}, 'again', null)"
        ),
        10 => format!("update {store}.seats set guest = 'guest {text}' where line = {line} and seat = {seat}"),
        // A key change, with a large value that stays; often to a seat that is taken, which undoes all.
        11 => format!(
            "update {store}.seats set line = {line_2}, seat = {seat_2} where line = {line} and seat = {seat}
                and not exists (select from {store}.seats where line = {line_2} and seat = {seat_2})"
        ),
        // Two rows change places, by way of a third key.
        12 => format!(
            "update {store}.seats set line = -{line} where line = {line} and seat = {seat};
             update {store}.seats set line = {line}, seat = {seat} where line = {line_2} and seat = {seat_2};
             update {store}.seats set line = {line_2}, seat = {seat_2} where line = -{line} and seat = {seat}"
        ),
        13 => format!(
            "delete from {store}.seats where line = {line} and seat = {seat};
             insert into {store}.seats values ({line}, {seat}, 'new {text}', repeat(md5('{text}'), 90))"
        ),
        // The large values stay as they are.
        14 | 15 => format!("update {store}.documents set title = 'title {text}' where id = {document}"),
        16 => format!(
            "update {store}.documents set body = repeat(md5('{text}'), 100 + {account}), meta = nullif(meta, meta) where id = {document};
             update {store}.documents set meta = jsonb_build_object('m', repeat(md5('{text}'), 80)) where id = {document} + 1"
        ),
        _ => format!(
            "delete from {store}.documents where id = {document};
             insert into {store}.documents values ({document}, 'again', repeat(md5('{text}'), 150), null);
             update {store}.documents set title = 'once more' where id = {document}"
        ),
    }
}

/// A transaction over all tables with several times the rows of a batch. `from` is above every key that clients use.
pub(crate) fn big_transaction(store: &str, from: u32) -> String {
    format!(
        "begin;
         update {store}.accounts set balance = balance + 1;
         insert into {store}.orders select n, n % {ACCOUNTS}, 'big', 'note ' || n from generate_series({from}, {from} + {BIG} / 2 - 1) n;
         update {store}.documents set title = 'big {from}';
         update {store}.orders set status = 'bigger' where id >= {from} and id < {from} + {BIG} / 4;
         update {store}.accounts set balance = balance - 1;
         delete from {store}.orders where id >= {from} and id < {from} + {BIG} / 4;
         update {store}.seats set guest = 'big {from}';
         insert into {store}.accounts select n, 'big', 0 from generate_series({from}, {from} + 200) n;
         delete from {store}.accounts where id >= {from};
         commit"
    )
}
