"""dbt: an incremental model for live rows, a snapshot for history; see the project in `dbt`."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import peer

ARGUMENTS = peer.arguments("dbt")
URL = urlsplit(ARGUMENTS.url)
os.environ.update(
    PEER_HOST=URL.hostname,
    PEER_PORT=str(URL.port),
    PEER_USER=URL.username,
    PEER_PASSWORD=URL.password or "unused",
    PEER_DATABASE=URL.path.removeprefix("/"),
    PEER_SCHEMA=ARGUMENTS.schema,
    PEER_ACTION=ARGUMENTS.action,
    PEER_BEFORE_BATCHES=peer.BEFORE_BATCHES,
    DBT_SEND_ANONYMOUS_USAGE_STATS="false",
)

from dbt.cli.main import dbtRunner  # noqa: E402

PROJECT = str(Path(__file__).parent / "dbt")
COMMAND = ["run", "--select", "live"] if ARGUMENTS.mode == "live" else ["snapshot"]
result = dbtRunner().invoke(
    [
        *COMMAND,
        *["--project-dir", PROJECT, "--profiles-dir", PROJECT],
        *["--target-path", ARGUMENTS.state, "--log-path", ARGUMENTS.state, "--log-level-file", "none"],
    ]
)
if not result.success:
    sys.exit(f"dbt failed: {result.exception or 'see above'}")
if ARGUMENTS.mode == "live":
    peer.report("dbt", "dbt-core", peer.live(f"{ARGUMENTS.schema}.live"), None)
else:
    table = f"{ARGUMENTS.schema}.history"
    peer.report(
        "dbt",
        "dbt-core",
        peer.live(table, "dbt_valid_to is null and not is_deleted"),
        f"select count(*) from {table} where dbt_valid_to is not null and not is_deleted",
    )
