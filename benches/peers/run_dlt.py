"""dlt: reads the batch through the client, stages it with COPY, and merges it in the server."""

import os
from urllib.parse import urlsplit

import peer

ARGUMENTS = peer.arguments("dlt")
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
# Neither the user's settings nor those of the directory it is called from.
os.environ["DLT_DATA_DIR"] = os.environ["DLT_PROJECT_DIR"] = ARGUMENTS.state

import dlt  # noqa: E402
import pyarrow.compute as pc  # noqa: E402
from dlt.sources.helpers.transform import add_row_hash_to_table  # noqa: E402
from dlt.sources.sql_database import sql_table  # noqa: E402

TABLE = "customers"
OPEN = "_dlt_valid_to is null"


def source(table, columns):
    rows = sql_table(
        credentials=ARGUMENTS.url.replace("postgresql:", "postgresql+psycopg2:", 1),
        schema="public",
        table=table,
        included_columns=columns,
        reflection_level="full_with_precision",
        # Of dlt's readers for Arrow the one that needs less memory.
        backend="connectorx",
        backend_kwargs={"conn": ARGUMENTS.url, "return_type": "arrow_stream"},
        chunk_size=100_000,
    )
    rows.apply_hints(table_name=TABLE)
    return rows


def whole():
    """What the target holds first."""
    rows = source("initial", list(peer.COLUMNS))
    rows.apply_hints(write_disposition="replace", primary_key="id")
    return rows


def only_deletes(table):
    """To dlt, a row is deleted whose `hard_delete` column is not null, where that column is no boolean."""
    marks = pc.if_else(pc.equal(table["op"], "d"), table["op"], None)
    return table.set_column(table.schema.get_field_index("op"), "op", marks)


def changes():
    """The last event of a key counts, and a delete removes its row."""
    rows = source("stg", [*peer.COLUMNS, "seq", "op"])
    rows.add_map(only_deletes)
    rows.apply_hints(
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        primary_key="id",
        columns={"seq": {"dedup_sort": "desc"}, "op": {"hard_delete": True}},
    )
    return rows


def state(table):
    """A version ends when its row has another hash, or is not there any more."""
    rows = source(table, list(peer.COLUMNS))
    rows.add_map(add_row_hash_to_table("row_hash"))
    rows.apply_hints(
        write_disposition={"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_hash"},
    )
    return rows


def resource():
    loads = ARGUMENTS.action == "load"
    if ARGUMENTS.mode == "history":
        return state("initial" if loads else "snapshot")
    return whole() if loads else changes()


def target():
    url = urlsplit(ARGUMENTS.url)
    # dlt wants a password, also where the server asks for none.
    password = url.password or "unused"
    named = url._replace(netloc=f"{url.username}:{password}@{url.hostname}:{url.port}")
    return dlt.destinations.postgres(credentials=named.geturl())


pipeline = dlt.pipeline(
    pipeline_name=ARGUMENTS.schema,
    pipelines_dir=ARGUMENTS.state,
    destination=target(),
    dataset_name=ARGUMENTS.schema,
)
print(pipeline.run(resource(), loader_file_format="csv"))
table = f"{ARGUMENTS.schema}.{TABLE}"
if ARGUMENTS.mode == "live":
    peer.report("dlt", "dlt", peer.live(table), None)
else:
    peer.report("dlt", "dlt", peer.live(table, OPEN), f"select count(*) from {table} where not ({OPEN})")
