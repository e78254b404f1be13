"""Raw files: found in the market's folder or the mirror, or downloaded once, checked by SHA-256, loaded as text."""

import csv
import io
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from closedloop.errors import DefinitionError, SourceError, allowed
from closedloop.market.definition import Definition, Source
from closedloop.market.files import mirror, sha256_of

if TYPE_CHECKING:  # a fingerprint of files needs no database
    import duckdb

    from closedloop.market.staging.checks import Actions

_LARGEST = 4 * 1024**3
_LARGEST_RATIO = 200
SHOWN = 500  # characters of what was set aside


def cache_folder(market: str) -> Path:
    """Where downloaded raw files are kept: CLOSEDLOOP_CACHE, or the user's cache folder."""
    import pooch

    return Path(os.environ.get("CLOSEDLOOP_CACHE") or pooch.os_cache("closedloop")) / market


def _help(definition: Definition, source: Source) -> str:
    place = cache_folder(definition.name) / source.file
    origin = source.url or source.page or "the market's owner"
    person = f"a person gets it from {source.page}; " if source.page and not source.url else ""
    return (
        f"{definition.name}: the file {source.file!r} comes from {origin} (expected SHA-256 {source.sha256}); "
        f"{person}offline, put it at {place}, "
        f"or set CLOSEDLOOP_MIRROR to a folder that holds {definition.name}/{source.file}"
    )


def _checked(path: Path, definition: Definition, source: Source) -> Path:
    if source.sha256 and (found := sha256_of(path)) != source.sha256:
        raise SourceError(f"{path} is not the expected file: its SHA-256 is {found}. {_help(definition, source)}")
    return path


def _download(url: str, definition: Definition, source: Source) -> Path:
    import pooch

    folder = cache_folder(definition.name)
    try:
        return Path(pooch.retrieve(url, f"sha256:{source.sha256}", fname=source.file, path=folder))
    except Exception as error:  # pooch passes on whatever the protocol's library raises
        reason = "its SHA-256 is another" if isinstance(error, ValueError) else type(error).__name__
        raise SourceError(f"{url} cannot be fetched ({reason}). {_help(definition, source)}") from error


def fetch(definition: Definition, name: str) -> Path:
    """The local path of a source's file: bundled, else mirror, else cache, else downloaded."""
    source = definition.sources[name]
    if not (source.url or source.page):
        path = definition.folder / source.file
        if not path.resolve().is_relative_to(definition.folder.resolve()) or not path.is_file():
            raise SourceError(f"{path} does not exist; sources.{name}.file in {definition.folder / 'market.toml'}")
        return _checked(path, definition, source)
    place = mirror()
    if place and "://" not in place and (Path(place) / definition.name / source.file).exists():
        return _checked(Path(place) / definition.name / source.file, definition, source)
    cached = cache_folder(definition.name) / source.file
    if cached.exists():
        return _checked(cached, definition, source)
    if place and "://" in place:
        return _download(f"{place}/{definition.name}/{source.file}", definition, source)
    if source.url is None:
        raise SourceError(_help(definition, source))
    return _download(source.url, definition, source)


def _member(content: bytes, name: str, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if name not in archive.namelist():
                raise SourceError(f"{path} holds no {name!r}; it holds {allowed(archive.namelist())}")
            info = archive.getinfo(name)
            if info.file_size > _LARGEST or info.file_size > _LARGEST_RATIO * max(info.compress_size, 1024):
                raise SourceError(f"{path}: {name!r} would unpack to {info.file_size:,} bytes; that is refused")
            return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{path}: {name!r} cannot be unpacked ({error})") from error


def raw_bytes(definition: Definition, name: str) -> bytes:
    """The bytes of a source's text file, unpacked through its ``member`` path."""
    path, source = fetch(definition, name), definition.sources[name]
    if path.stat().st_size > _LARGEST:
        raise SourceError(f"{path} has {path.stat().st_size:,} bytes; allowed: {_LARGEST:,}")
    content = path.read_bytes()
    for member in source.member:
        content = _member(content, member, path)
    return content


def raw_text(definition: Definition, name: str) -> tuple[str, int]:
    """A source's text with ``\\n`` as line break, and how many characters were not decoded (replaced) or NUL."""
    source = definition.sources[name]
    text = raw_bytes(definition, name).decode(source.encoding, errors="replace").removeprefix("\ufeff")
    spoiled = text.count("\ufffd") + text.count("\0")
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n"), spoiled


def quoted(name: str) -> str:
    """An SQL identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def file_of(source: Source) -> str:
    """The file that holds the text, as a person finds it."""
    return source.member[-1] if source.member else source.file


class RawFiles:
    """Loads sources into ``raw.<source>`` (``row_no`` from 1 on, then text) and ``lines.<source>`` (row_no, line).

    ``columns`` names those of each table; ``rejected`` holds the lines that do not fit the header.
    """

    def __init__(self, definition: Definition, connection: "duckdb.DuckDBPyConnection", actions: "Actions") -> None:
        self.columns: dict[str, list[str]] = {}
        self.rejected: dict[str, pd.DataFrame] = {}
        self._definition, self._connection, self._actions = definition, connection, actions
        for schema in ("raw", "lines"):
            connection.execute(f"create schema {schema}")

    def load(self, name: str) -> None:
        """Load one source; what does not fit its header is set aside."""
        source = self._definition.sources[name]
        text, spoiled = raw_text(self._definition, name)
        columns = self._header(name, source, text)
        self._read(name, source, text, columns)
        self.columns[name] = ["row_no", *columns]
        self._number_lines(name, source, text, len(columns))
        if spoiled:
            lines = [number for number, line in enumerate(text.split("\n"), 1) if "\ufffd" in line]
            reason = "characters that the declared encoding does not hold"
            self._actions.note(f"raw.{name}", "flag", reason, lines=lines, file=file_of(source), n=spoiled)

    def _header(self, name: str, source: Source, text: str) -> list[str]:
        if not text.partition("\n")[0].strip():
            place = self._definition.folder / "market.toml"
            raise DefinitionError(f"{place}: sources.{name}: {source.file} is empty; its first line must be the header")
        header = pd.read_csv(io.StringIO(text), sep=source.delimiter, quotechar=source.quote, nrows=0)
        return [str(column) for column in header.columns]

    def _read(self, name: str, source: Source, text: str, columns: list[str]) -> None:
        import duckdb

        dialect = f"delim = {_text(source.delimiter)}, quote = {_text(source.quote)}, escape = {_text(source.quote)}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "source.csv"
            path.write_text(text, "utf-8", newline="")
            query = (
                f"create table raw.{quoted(name)} as select row_number() over () as row_no, * from read_csv("
                f"$path, header = true, auto_detect = false, all_varchar = true, columns = $columns, "
                f"store_rejects = true, {dialect})"
            )
            try:
                self._connection.execute(query, {"path": str(path), "columns": dict.fromkeys(columns, "VARCHAR")})
            except duckdb.Error as error:
                raise SourceError(f"{source.file} (sources.{name}) cannot be read as lines: {error}") from error

    def _number_lines(self, name: str, source: Source, text: str, n_columns: int) -> None:
        """Note the lines that were set aside, and number those of the records that are left."""
        rejected = self._connection.execute(
            "select distinct on (line) line, lower(error_type::varchar) as reason, csv_line[:$n] as content"
            " from reject_errors order by line",
            {"n": SHOWN},
        ).df()
        self._connection.execute("delete from reject_errors")
        starts = _record_lines(text, source)
        lost = set(rejected["line"])  # the database numbers records, not lines
        read = [
            line
            for number, (line, is_blank) in enumerate(starts, 1)
            if number > 1 and number not in lost and not (is_blank and n_columns > 1)
        ]
        row = self._connection.execute(f"select count(*) from raw.{quoted(name)}").fetchone()
        if row and row[0] != len(read):  # the two readers disagree about some quote: nearly right is better than none
            read = list(range(2, row[0] + 2))
        query = f"create table lines.{quoted(name)} as select unnest(range(1, $n)) as row_no, unnest($lines) as line"
        self._connection.execute(query, {"n": len(read) + 1, "lines": read})
        if len(rejected):
            lines = [starts[number - 1][0] if number <= len(starts) else number for number in rejected["line"]]
            self.rejected[f"raw.{name}"] = rejected.assign(line=lines)
            reason = "line that does not fit the header"
            self._actions.note(f"raw.{name}", "set aside", reason, lines=lines, file=file_of(source))


def _record_lines(text: str, source: Source) -> list[tuple[int, bool]]:
    """The line on which each record begins, as an editor shows it, and whether it is blank; the header is the first.

    A record spans lines where a quoted field holds a line break.
    """
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text), delimiter=source.delimiter, quotechar=source.quote)
    lines, line = [], 1
    for fields in reader:
        lines.append((line, not fields))
        line = reader.line_num + 1
    return lines
