"""Raw files: found in the market's folder or the mirror, or downloaded once, and always checked by SHA-256."""

import io
import os
import zipfile
import zlib
from pathlib import Path

from closedloop.errors import SourceError, allowed
from closedloop.market.definition import Definition, Source
from closedloop.market.files import mirror, sha256_of

_LARGEST = 4 * 1024**3
_LARGEST_RATIO = 200


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
