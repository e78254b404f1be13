"""Raw files: found in the market's folder or the mirror, or downloaded once, checked by SHA-256."""

import os
from pathlib import Path

from closedloop.errors import SourceError
from closedloop.market.definition import Definition, Source
from closedloop.market.files import mirror, sha256_of
from closedloop.market.reading.containers import content_of, member, unpacked
from closedloop.market.reading.database import table_digest
from closedloop.market.reading.parts import in_order


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


def _anywhere(definition: Definition, name: str) -> list[Path]:
    """The files that ``path`` names, the newest last."""
    written = Path(definition.sources[name].path).expanduser()
    place = written if written.is_absolute() else definition.folder / written
    found = [place] if place.is_file() else [path for path in place.parent.glob(place.name) if path.is_file()]
    if not found:
        raise SourceError(f"{place} does not exist; sources.{name}.path in {definition.folder / 'market.toml'}")
    return [place.parent / file for file in in_order([path.name for path in found])[0]]


def order_is_open(definition: Definition, name: str) -> bool:
    """Can the days in the names of a source's files be read in two ways, so that it is open which is the newest?"""
    return in_order([path.name for path in _anywhere(definition, name)])[1]


def files_of(definition: Definition, name: str) -> list[Path]:
    """The local files of a source: one, or all that its pattern names."""
    source = definition.sources[name]
    return _anywhere(definition, name) if source.files == "all" else [fetch(definition, name)]


def fetch(definition: Definition, name: str) -> Path:
    """The local path of a source's file: anywhere, or bundled, else mirror, else cache, else downloaded."""
    source = definition.sources[name]
    if source.path:
        return _checked(_anywhere(definition, name)[-1], definition, source)
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


def raw_bytes(definition: Definition, name: str, path: Path | None = None) -> bytes:
    """The bytes of a source's file, or of one of its files, out of its archives (``member``) and out of gzip."""
    path = path or fetch(definition, name)
    content = content_of(path)
    for inner in definition.sources[name].member:
        content = member(content, inner, path)
    return unpacked(content, str(path))


def file_of(definition: Definition, name: str) -> str:
    """The file that holds the records, as a person finds it; of several the pattern of their names."""
    source = definition.sources[name]
    if source.files == "all":
        return Path(source.path).name
    return source.member[-1] if source.member else source.table or source.file or fetch(definition, name).name


def digest_of(definition: Definition, name: str) -> str:
    """What changes when the content of a source does."""
    source = definition.sources[name]
    if source.database:
        return table_digest(source.database, source.table)
    paths = files_of(definition, name)  # which has checked it against the digest, if that is declared
    return source.sha256 or " ".join(map(sha256_of, paths))


def setting_of(definition: Definition, name: str) -> str:
    """Where it is written how a source is read."""
    return f"[sources.{name}] in {definition.folder / 'market.toml'}"


def quoted(name: str) -> str:
    """An SQL identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'
