"""A source in a real PostgreSQL: read once, read-only, in one snapshot; the tables are those of the file."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from closedloop.errors import ParameterError, SourceError
from closedloop.market.definition import Definition, read_definition
from closedloop.market.kept import fingerprint
from closedloop.market.reading.database import Snapshots, table_names, table_rows
from closedloop.market.staging.checks import told
from closedloop.market.staging.ladder import Ladder
from closedloop.onboarding.asking import asking
from closedloop.onboarding.onboard import onboard
from rich.console import Console

from .conftest import TinyMarket, project_at

pytestmark = pytest.mark.system("postgresql")


@pytest.fixture(scope="module")
def server(postgresql: Path) -> Iterator[str]:
    """The address of a server of this module's own, on loopback; it ends with the module."""
    folder = Path(tempfile.mkdtemp(prefix="closedloop-postgresql-"))
    as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # the server refuses to run as root
    if as_owner:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program, data = postgresql, folder / "data"
    run = [*as_owner, program / "initdb", "-D", data, "-A", "trust", "-U", "crm", "--no-sync"]
    subprocess.run(run, check=True, capture_output=True, cwd="/")
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-k", folder, "-c", "fsync=off"]
    process = subprocess.Popen([*as_owner, program / "postgres", "-D", data, *settings], cwd="/",
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    address = f"postgresql://crm@127.0.0.1:{port}/postgres"
    for _ in range(100):
        try:
            psycopg.connect(address).close()
            break
        except psycopg.OperationalError:
            time.sleep(0.1)
    yield address
    subprocess.run(
        [*as_owner, program / "pg_ctl", "-D", data, "-m", "fast", "stop"], check=True, capture_output=True, cwd="/"
    )
    process.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


def put(address: str, table: str, frame: pd.DataFrame) -> None:
    """Write a frame of texts into a table, in its order."""
    columns = ", ".join('"' + str(name).replace('"', '""') + '" text' for name in frame)
    with psycopg.connect(address) as connection:
        connection.execute(f'drop table if exists "{table}"')  # type: ignore[arg-type]
        connection.execute(f'create table "{table}" ({columns})')  # type: ignore[arg-type]
        with connection.cursor().copy(f'copy "{table}" from stdin') as copy:  # type: ignore[arg-type]
            for row in frame.itertuples(index=False):
                copy.write_row([None if pd.isna(cell) else cell for cell in row])


def climbed(definition: Definition) -> Ladder:
    ladder = Ladder(definition)
    ladder.climb()
    return ladder


@pytest.mark.parametrize("market", ["harbor", pytest.param("maven", marks=pytest.mark.real)])
def test_the_tables_are_those_of_the_files(server: str, market: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM", server)
    definition = read_definition(market)
    by_file = climbed(definition)
    for name in definition.sources:
        listed = [column for column in by_file.raw.columns[name] if column not in ("row_no", "line")]
        quoted = ", ".join('"' + column.replace('"', '""') + '"' for column in listed)
        put(
            server,
            f"{market}_{name}",
            by_file.connection.execute(f'select {quoted} from raw."{name}" order by row_no').df(),
        )
    sources = {
        name: source.model_copy(
            update={"file": "", "member": (), "sha256": None, "database": "$CRM", "table": f"{market}_{name}"}
        )
        for name, source in definition.sources.items()
    }
    by_table = climbed(definition.model_copy(update={"sources": sources}))
    for table, columns in by_file.columns.items():
        query = f"select {', '.join(columns)} from {table} order by all"
        found = by_table.connection.execute(query).df()
        pd.testing.assert_frame_equal(found, by_file.connection.execute(query).df())
    assert {key: action["n"] for key, action in enumerate(by_table.actions)} == {
        key: action["n"] for key, action in enumerate(by_file.actions)
    }


COLUMNS = (
    "id text primary key, stage_name text, created_date timestamp, close_date date, amount numeric, lead_source text"
)


def test_a_database_is_onboarded_like_a_folder_of_files(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_USER", "crm")
    monkeypatch.chdir(tmp_path)
    stages = ("Closed Won", "Closed Lost", "Proposal")
    days = [f"2024-0{1 + i // 3 % 9}-05" for i in range(120)]
    rows = [f"('O{i}', '{stages[i % 3]}', '{days[i]} 23:30', '{days[i]}', {1000 + i}.5, 'Web')" for i in range(120)]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create database crm")
    server = server.replace("/postgres", "/crm")
    with psycopg.connect(server) as connection:
        for schema, own in (("archive", rows[:60]), ("sales", rows)):  # two tables of one name
            connection.execute(f"create schema {schema}")  # type: ignore[arg-type]
            connection.execute(f"create table {schema}.opportunities ({COLUMNS})")  # type: ignore[arg-type]
            connection.execute(f"insert into {schema}.opportunities values {', '.join(own)}")  # type: ignore[arg-type]
    notes: list[str] = []
    settings: Any = {"currency": "EUR", "timezone": "UTC", "note": notes.append}
    told = {("deals", "timezone"): "UTC", ("market", "year_starts"): 1}
    answers = [{"source": source, "setting": setting, "value": value} for (source, setting), value in told.items()]
    quiet = asking(Console(quiet=True), {"dates": answers}, is_silent=True)
    with project_at(tmp_path):
        (tmp_path / "data").mkdir()
        onboard("ours", server.replace("crm@", "$CRM_USER@"), ask=quiet, **settings)
        assert notes == ["looking at archive.opportunities", "looking at sales.opportunities"]
        text = (tmp_path / "data/ours/market.toml").read_text()
        assert "$CRM_USER" in text and 'table = "sales.opportunities"' in text
        ladder = climbed(read_definition("ours"))
        query = "select outcome, count(*), sum(won_amount)::varchar, min(created_on)::varchar from deals group by 1"
        won = f"{sum(1000 + i + 0.5 for i in range(0, 120, 3)):.2f}"
        assert ladder.connection.execute(f"{query} order by 1").fetchall() == [
            ("lost", 40, None, "2024-01-05"), ("open", 40, None, "2024-01-05"), ("won", 40, won, "2024-01-05"),
        ]  # fmt: skip
        with pytest.raises(ParameterError, match="holds a password, which would be written down"):
            onboard("theirs", server.replace("crm@", "crm:secret@"), ask=quiet, **settings)


def of_database(tiny_market: TinyMarket, **source: Any) -> Definition:
    definition = tiny_market(
        {"deals": b"id\nD1\n"},
        {"deals": "select id as deal_id, day as created_on, paid as won_amount, 'won' as outcome from raw.deals"},
    )
    kinds = {"day": "date", "paid": "amount"}
    own = definition.sources["deals"].model_copy(update={"file": "", "table": "deals", "columns": kinds} | source)
    return definition.model_copy(update={"sources": {"deals": own}})


def test_types_of_the_database_are_kept(server: str, tiny_market: TinyMarket) -> None:
    with psycopg.connect(server) as connection:
        connection.execute("drop table if exists deals")
        connection.execute("create table deals (id text primary key, day timestamp, paid numeric)")
        rows = "('D2', '2024-03-04 15:00', 1.234), ('D1', '2024-01-02', 1234.5), ('D3', null, null)"
        connection.execute(f"insert into deals values {rows}")  # type: ignore[arg-type]
    definition = of_database(tiny_market, database=server)
    query = "select deal_id, created_on::varchar, won_amount::varchar from deals"
    assert climbed(definition).connection.execute(query).fetchall() == [
        ("D1", "2024-01-02", "1234.50"), ("D2", "2024-03-04", "1.23"), ("D3", None, None),
    ]  # fmt: skip
    before = fingerprint(definition)
    assert fingerprint(definition) == before
    with psycopg.connect(server) as connection:
        connection.execute("update deals set paid = 2 where id = 'D3'")
    assert fingerprint(definition) != before


def test_one_snapshot_reads_only(server: str) -> None:
    snapshots = Snapshots()
    connection = snapshots.to(server)
    before = connection.execute("select count(*) from pg_tables").fetchone()
    with psycopg.connect(server) as other:
        other.execute("create table later (x text)")
    assert connection.execute("select count(*) from pg_tables").fetchone() == before
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("create table ours (x text)")
    snapshots.close()


def test_what_cannot_be_reached_is_named_without_the_password(
    server: str, tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "secret")
    with pytest.raises(SourceError, match=r"\$PASSWORD@127\.0\.0\.1:9/x cannot be reached") as caught:
        climbed(of_database(tiny_market, database="postgresql://crm:$PASSWORD@127.0.0.1:9/x"))
    assert "secret" not in str(caught.value)
    with psycopg.connect(server) as connection:
        connection.execute("create table if not exists deals (id text)")
    for table in ("missing", "nowhere.deals"):
        with pytest.raises(SourceError, match=rf"table {table}: .* does not exist(.|\n)*; it has deals"):
            climbed(of_database(tiny_market, database=server, table=table))


def test_tables_of_several_schemas_are_told_apart(server: str, tiny_market: TinyMarket) -> None:
    """The user's own schema is called like the user, and looked into before the public one."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create database branches")
    server = server.replace("/postgres", "/branches")
    schemas = ("crm", "public", "north", '"South"')
    with psycopg.connect(server) as connection:
        for number, schema in enumerate(schemas):
            connection.execute(f"create schema if not exists {schema}")  # type: ignore[arg-type]
            connection.execute(f"create table {schema}.deals (id text, day date, paid numeric)")  # type: ignore[arg-type]
            connection.execute(f"insert into {schema}.deals values ('D{number}', '2024-01-02', 5)")  # type: ignore[arg-type]
        connection.execute('create table public."deals.kept" (id text)')
    snapshots = Snapshots()
    assert table_names(snapshots, server) == [
        "South.deals", "deals", "north.deals", "public.deals", "public.deals.kept",
    ]  # fmt: skip
    assert table_rows(snapshots, server, "public.deals.kept", ".")[0].header == ["id"]
    snapshots.close()
    for table, number in (("deals", 0), ("public.deals", 1), ("north.deals", 2)):
        ladder = climbed(of_database(tiny_market, database=server, table=table))
        assert ladder.connection.execute("select deal_id from deals").fetchall() == [(f"D{number}",)]
    with pytest.raises(SourceError, match=r"table south\.deals: .*(.|\n)*it has South\.deals, deals, north\.deals"):
        fingerprint(of_database(tiny_market, database=server, table="south.deals"))


def test_a_finding_names_the_rows_key(server: str, tiny_market: TinyMarket) -> None:
    with psycopg.connect(server) as connection:
        connection.execute("drop table if exists deals")
        connection.execute("create table deals (id text primary key, day text, paid text)")
        rows = "('D2', 'soon', '1.50'), ('D1', '2024-01-02', 'much'), ('D3', '2024-01-02', 'more')"
        connection.execute(f"insert into deals values {rows}")  # type: ignore[arg-type]
    ladder = climbed(of_database(tiny_market, database=server))
    said = [told(action).partition("; then ")[0] for action in ladder.actions if action["table"] == "raw.deals"]
    assert said == [
        "empty the cell, 1 time: raw.deals.day unreadable as a date; found 'soon'; allowed: 2024-03-31, 31 Mar 2024; "
        "deals, id = D2",
        "empty the cell, 2 times: raw.deals.paid unreadable as an amount; found 'much', 'more'; "
        "allowed: 12, 1,234.50, EUR 12; deals, id = D1, id = D3",
    ]
