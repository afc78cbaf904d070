//! The bank: the tables of pgbench and its transaction, with fewer accounts.

use std::path::Path;
use std::time::{Duration, Instant};

use acceptance::Database;
use acceptance::stack::{Pipeline, Process, Stack};
use anyhow::{Result, ensure};

/// A first snapshot of these takes seconds; pgbench makes 100,000.
const ACCOUNTS: u32 = 20_000;
/// As many clients as pgbench has.
const CLIENTS: &str = "3";
/// Transactions a second, so that a small machine keeps up.
const RATE: &str = "60";

/// The transaction of pgbench.
const TRANSACTION: &str = "\
\\set aid random(1, :accounts)
\\set tid random(1, 10)
\\set delta random(-5000, 5000)
begin;
update pgbench_accounts set abalance = abalance + :delta where aid = :aid;
select abalance from pgbench_accounts where aid = :aid;
update pgbench_tellers set tbalance = tbalance + :delta where tid = :tid;
update pgbench_branches set bbalance = bbalance + :delta where bid = 1;
insert into pgbench_history (tid, bid, aid, delta, mtime) values (:tid, 1, :aid, :delta, current_timestamp);
end;
";

/// Makes the tables of pgbench.
pub(crate) fn create(stack: &Stack, source: &mut Database) -> Result<()> {
    let mut pgbench = stack.source.program("pgbench");
    let made = pgbench
        .args(["--initialize", "--quiet", source.url()])
        .output()?;
    let told = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "pgbench: {told}");
    source.run(&format!(
        "delete from pgbench_accounts where aid > {ACCOUNTS}"
    ));
    Ok(())
}

/// Starts transactions for so long; the script is left in a folder.
pub(crate) fn load(
    stack: &Stack,
    source: &Database,
    time: Duration,
    folder: &Path,
) -> Result<Process> {
    let script = folder.join("transaction.pgbench");
    std::fs::write(&script, TRANSACTION)?;
    let seconds = time.as_secs().max(1).to_string();
    let accounts = format!("accounts={ACCOUNTS}");
    let mut pgbench = stack.source.program("pgbench");
    pgbench
        .args(["--no-vacuum", "--client", CLIENTS, "--rate", RATE])
        .args(["--define", &accounts, "--time", &seconds])
        .arg("--file")
        .arg(script)
        .arg(source.url());
    stack.run_beside("pgbench", &pgbench)
}

/// Waits until the source has noticed that pgbench is gone: what it was told to commit it may still commit.
pub(crate) fn ended(source: &mut Database) -> Result<()> {
    let begin = Instant::now();
    let sessions = "select count(*) from pg_stat_activity where application_name = 'pgbench'";
    while source.value(sessions) != "0" {
        ensure!(
            begin.elapsed() < Duration::from_secs(10),
            "sessions of pgbench are left at the source"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Demands that no merge has taken a part of a transaction.
pub(crate) fn check(pipeline: &mut Pipeline<'_>) -> Result<()> {
    let sums = pipeline.platform.rows(
        "select (select coalesce(sum(abalance), 0) from main.bank__accounts where dp_out is null),
                (select coalesce(sum(tbalance), 0) from main.bank__tellers where dp_out is null),
                (select coalesce(sum(bbalance), 0) from main.bank__branches where dp_out is null)",
    );
    let sums: Vec<&str> = sums
        .iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .collect();
    ensure!(
        sums.windows(2).all(|pair| pair[0] == pair[1]),
        "a merge took a part of a transaction: sums of accounts, tellers and branches are {sums:?}"
    );
    Ok(())
}
