"""What the programs of the peers share: how they are called, and what they say at the end."""

import argparse
import atexit
import json
import os
import tempfile
from importlib import metadata

COLUMNS = {
    "id": "bigint",
    "t1": "text",
    "t2": "text",
    "t3": "text",
    "t4": "text",
    "n1": "numeric(12,2)",
    "n2": "numeric(12,2)",
    "ts": "timestamptz",
    "b": "boolean",
    "j": "jsonb",
}
# The real stdout.
OUT = os.dup(1)
# The rows of `public.initial` count as of then: after what the snapshot says of rows that no batch changed, before all batches.
BEFORE_BATCHES = "2026-05-31 00:00:00+00:00"


def live(table, where="true"):
    """The statement that selects the live rows of the target, in the types of the source."""
    columns = ", ".join(f"{name}::{kind}" for name, kind in COLUMNS.items())
    return f"select {columns} from {table} where {where}"


def peak_kib():
    """The most memory that this process had; that of getrusage would begin with the peak of its parent."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def arguments(peer):
    """The arguments of this run. Called before a peer is imported: it sets what the whole process shall find."""
    parser = argparse.ArgumentParser(description=f"Loads the target of {peer}, or merges a batch into it.")
    parser.add_argument("action", choices=["load", "merge"])
    parser.add_argument("--url", required=True, help="postgresql://user@host:port/database")
    parser.add_argument("--mode", required=True, choices=["live", "history"])
    parser.add_argument("--schema", required=True, help="where the target is; of this peer and mode alone")
    parser.add_argument("--state", help="a directory that a run leaves to the next one; without it, only the database lasts")
    parsed = parser.parse_args()
    # SQLAlchemy does not know the short form.
    parsed.url = parsed.url.replace("postgres:", "postgresql:", 1)
    # For every connection of libpq in this process: what Milepost's session has.
    os.environ["PGOPTIONS"] = "-c work_mem=256MB -c jit=off"
    # Libraries print where they like: stdout is for the one line at the end.
    os.dup2(2, 1)
    if parsed.state is None:
        directory = tempfile.TemporaryDirectory()
        atexit.register(directory.cleanup)
        parsed.state = directory.name
    parsed.state = os.path.abspath(parsed.state)
    os.makedirs(parsed.state, exist_ok=True)
    return parsed


def report(peer, package, live, closed):
    """Prints what the run leaves: statements for the live rows and for the number of closed versions."""
    line = {
        "peer": peer,
        "version": metadata.version(package),
        "live": live,
        "closed": closed,
        "client_peak_kib": peak_kib(),
    }
    os.write(OUT, (json.dumps(line) + "\n").encode())
