"""SQLMesh: an incremental model for live rows, one of slowly changing dimensions for history; see the projects in `sqlmesh`."""

import datetime
import os
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import peer

ARGUMENTS = peer.arguments("SQLMesh")
os.environ["SQLMESH__DISABLE_ANONYMIZED_ANALYTICS"] = "true"
# Neither the settings nor the number of the user.
os.environ["SQLMESH_HOME"] = ARGUMENTS.state

import psycopg2  # noqa: E402
from sqlmesh import Context  # noqa: E402
from sqlmesh.core.config import Config, GatewayConfig, ModelDefaultsConfig, PostgresConnectionConfig  # noqa: E402

URL = urlsplit(ARGUMENTS.url)
TABLE = f"{ARGUMENTS.schema}.{ARGUMENTS.mode}"
OPEN = "valid_to is null"
# What the model reads, and its columns beside those of the target.
SOURCES = {
    "live": ("public.stg", "seq bigint, op text"),
    "history": ("public.snapshot", "updated_at timestamptz"),
}
HOUR = datetime.timedelta(hours=1)


def context():
    connection = PostgresConnectionConfig(
        host=URL.hostname,
        port=URL.port,
        user=URL.username,
        password=URL.password or "unused",
        database=URL.path.removeprefix("/"),
    )
    config = Config(
        gateways={"bench": GatewayConfig(connection=connection, state_schema=f"{ARGUMENTS.schema}_state")},
        model_defaults=ModelDefaultsConfig(dialect="postgres", start=peer.BEFORE_BATCHES),
        variables={"schema": ARGUMENTS.schema},
        cache_dir=os.path.join(ARGUMENTS.state, "cache"),
        disable_anonymized_analytics=True,
    )
    return Context(paths=[Path(__file__).parent / "sqlmesh" / ARGUMENTS.mode], config=config)


def ask(statement):
    with closing(psycopg2.connect(ARGUMENTS.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def deploy():
    """Makes the model's table as if all its intervals were done so far: a first run would read a batch."""
    context().plan(
        "prod",
        auto_apply=True,
        no_prompts=True,
        empty_backfill=True,
        execution_time=datetime.datetime.fromisoformat(peer.BEFORE_BATCHES) + HOUR,
    )


def load():
    read, more = SOURCES[ARGUMENTS.mode]
    if ask(f"select to_regclass('{read}') is not null"):
        deploy()
    else:
        # The model's query is tried out, and there is no batch yet.
        columns = ", ".join(f"{name} {kind}" for name, kind in peer.COLUMNS.items())
        ask(f"create table {read} ({columns}, {more})")
        try:
            deploy()
        finally:
            ask(f"drop table {read}")
    columns = ", ".join(peer.COLUMNS)
    moment = f"timestamptz '{peer.BEFORE_BATCHES}'"
    if ARGUMENTS.mode == "live":
        ask(f"insert into {TABLE} ({columns}) select {columns} from public.initial")
    else:
        ask(
            f"insert into {TABLE} ({columns}, updated_at, valid_from)"
            f" select {columns}, {moment}, {moment} from public.initial"
        )


def merge():
    """Runs the model as a scheduler would after the hour of the batch."""
    now = ask("select max(event_ts) from public.stg") + HOUR
    # The end too, for else it is that of the clock, which the batch may be ahead of.
    status = context().run("prod", end=now, execution_time=now)
    if not status.is_success:
        sys.exit(f"SQLMesh ended with {status}")


if ARGUMENTS.action == "load":
    load()
else:
    merge()
if ARGUMENTS.mode == "live":
    peer.report("sqlmesh", "sqlmesh", peer.live(TABLE), None)
else:
    peer.report("sqlmesh", "sqlmesh", peer.live(TABLE, OPEN), f"select count(*) from {TABLE} where not ({OPEN})")
