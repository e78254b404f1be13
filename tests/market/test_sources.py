"""Raw files: where they are looked for, what is refused, and what a person is told to do."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import pytest
from closedloop.errors import SourceError
from closedloop.market import sources
from closedloop.market.definition import Definition
from closedloop.market.reading import containers

TEXT = b"id,name\n1,a\n"
URL = "https://example.org/calls.csv"
Define = Callable[..., Definition]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.fixture
def define(tiny_root: Path) -> Define:
    """A definition with one source called ``calls``; its market's folder exists."""

    def build(**source: Any) -> Definition:
        folder = tiny_root / "data" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        return Definition.model_validate(
            {
                "name": "tiny",
                "folder": folder,
                "title": "Tiny",
                "licence": "CC0-1.0",
                "currency": "EUR",
                "clock": "none",
                "sources": {"calls": {"file": "calls.csv"} | source},
            }
        )

    return build


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network: the addresses that were asked for."""
    asked: list[str] = []

    def refuse(url: str, *_: object, **__: object) -> str:
        asked.append(url)
        raise ConnectionError("no network")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    return asked


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_bundled_file_lies_in_the_markets_folder(define: Define) -> None:
    definition = define()
    path = put(definition.folder / "calls.csv", TEXT)
    assert sources.fetch(definition, "calls") == path
    assert sources.raw_bytes(definition, "calls") == TEXT


@pytest.mark.parametrize(
    ("older", "newest"),
    [
        ("deals_30-09-2024.csv", "deals_01-10-2024.csv"),
        ("deals_2024-09-30 (2).csv", "deals_2024-10-01 (1).csv"),
        ("deals_20240930.csv", "deals_20241001.csv"),
        ("deals.09-30-2024.csv", "deals.01-01-2025.csv"),
        ("deals 30 Sep 2024.csv", "deals 1 Okt 2024.csv"),
        ("deals Sep 2024.csv", "deals Jan 2025.csv"),
        ("deals_09-2024.csv", "deals_01-2025.csv"),
        ("30.09.2024 23-59 deals.csv", "01.10.2024 00-05 deals.csv"),
        ("deals_2020-01-01_2024-09-30.csv", "deals_2020-01-01_2024-10-01.csv"),
        ("deals-9.csv", "deals-10.csv"),
    ],
)
def test_the_newest_file_is_the_one_of_the_last_day(define: Define, tiny_root: Path, older: str, newest: str) -> None:
    definition = define(file="", path=str(tiny_root / "exports/*deals*"))
    for name in (older, newest):
        put(tiny_root / "exports" / name, TEXT)
    assert sources.fetch(definition, "calls").name == newest
    assert [path.name for path in sources._anywhere(definition, "calls")] == [older, newest]
    assert not sources.order_is_open(definition, "calls")


def test_days_that_can_be_read_in_two_ways_are_ordered_by_number(define: Define, tiny_root: Path) -> None:
    definition = define(file="", path=str(tiny_root / "exports/*"))
    for name in ("deals_05-09-2024.csv", "deals_04-10-2024.csv"):
        put(tiny_root / "exports" / name, TEXT)
    assert (sources.fetch(definition, "calls").name, sources.order_is_open(definition, "calls")) == (
        "deals_05-09-2024.csv", True
    )  # fmt: skip
    put(tiny_root / "exports/deals_30-09-2024.csv", TEXT)
    assert (sources.fetch(definition, "calls").name, sources.order_is_open(definition, "calls")) == (
        "deals_04-10-2024.csv", False
    )  # fmt: skip


def test_a_missing_bundled_file_is_named_with_the_key(define: Define) -> None:
    with pytest.raises(SourceError, match=r"calls\.csv does not exist; sources\.calls\.file in .*tiny/market\.toml"):
        sources.fetch(define(), "calls")


def test_a_folder_is_no_file(define: Define) -> None:
    definition = define()
    (definition.folder / "calls.csv").mkdir()
    with pytest.raises(SourceError, match="does not exist"):
        sources.fetch(definition, "calls")


def test_a_link_out_of_the_folder_is_refused(define: Define, tiny_root: Path) -> None:
    definition = define()
    (definition.folder / "calls.csv").symlink_to(put(tiny_root / "elsewhere.csv", TEXT))
    with pytest.raises(SourceError, match="does not exist"):
        sources.fetch(definition, "calls")


def test_a_bundled_file_with_a_checksum_is_checked(define: Define) -> None:
    definition = define(sha256=digest(TEXT))
    put(definition.folder / "calls.csv", TEXT + b"2,b\n")
    with pytest.raises(SourceError) as caught:
        sources.fetch(definition, "calls")
    assert digest(TEXT + b"2,b\n") in str(caught.value) and digest(TEXT) in str(caught.value)


@pytest.mark.parametrize("named", ["mirror", "{root}/mirror"])
def test_the_mirror_comes_first(
    define: Define, tiny_root: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str], named: str
) -> None:
    monkeypatch.setenv("CLOSEDLOOP_MIRROR", named.format(root=tiny_root))  # relative to the root, or absolute
    path = put(tiny_root / "mirror" / "tiny" / "calls.csv", TEXT)
    put(tiny_root / "cache" / "tiny" / "calls.csv", b"stale")
    assert sources.fetch(define(url=URL, sha256=digest(TEXT)), "calls") == path
    assert offline == []


def test_an_altered_file_in_the_mirror_is_refused(
    define: Define, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOSEDLOOP_MIRROR", "mirror")
    put(tiny_root / "mirror" / "tiny" / "calls.csv", b"id,name\n1,b\n")
    with pytest.raises(SourceError) as caught:
        sources.fetch(define(url=URL, sha256=digest(TEXT)), "calls")
    message = str(caught.value)
    assert "mirror/tiny/calls.csv is not the expected file" in message
    assert digest(b"id,name\n1,b\n") in message and digest(TEXT) in message and URL in message


def test_what_the_mirror_lacks_comes_from_the_cache(
    define: Define, tiny_root: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]
) -> None:
    monkeypatch.setenv("CLOSEDLOOP_MIRROR", "mirror")
    path = put(tiny_root / "cache" / "tiny" / "calls.csv", TEXT)
    assert sources.fetch(define(url=URL, sha256=digest(TEXT)), "calls") == path
    assert offline == []


def test_a_mirrors_address_is_asked_instead_of_the_publishers(
    define: Define, monkeypatch: pytest.MonkeyPatch, offline: list[str]
) -> None:
    monkeypatch.setenv("CLOSEDLOOP_MIRROR", "https://mirror.example.org/raw")
    with pytest.raises(SourceError, match=r"https://mirror\.example\.org/raw/tiny/calls\.csv cannot be fetched"):
        sources.fetch(define(url=URL, sha256=digest(TEXT)), "calls")
    assert offline == ["https://mirror.example.org/raw/tiny/calls.csv"]


def test_offline_says_address_checksum_and_what_to_do(define: Define, tiny_root: Path, offline: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        sources.fetch(define(url=URL, sha256=digest(TEXT)), "calls")
    message = str(caught.value)
    wanted = [
        URL,
        digest(TEXT),
        "ConnectionError",
        str(tiny_root / "cache" / "tiny" / "calls.csv"),
        "CLOSEDLOOP_MIRROR",
    ]
    assert [word for word in [*wanted, "tiny/calls.csv"] if word not in message] == []
    assert offline == [URL]


def test_a_page_for_people_is_never_downloaded(define: Define, offline: list[str]) -> None:
    page = "https://example.org/playground"
    with pytest.raises(SourceError) as caught:
        sources.fetch(define(page=page, sha256=digest(TEXT)), "calls")
    assert f"a person gets it from {page}" in str(caught.value) and digest(TEXT) in str(caught.value)
    assert offline == []


def test_a_download_with_another_checksum_is_refused(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(url: str, known_hash: str, **_: object) -> str:
        assert known_hash == f"sha256:{digest(TEXT)}"
        raise ValueError("hash of downloaded file does not match")

    monkeypatch.setattr(pooch, "retrieve", altered)
    with pytest.raises(SourceError, match=r"cannot be fetched \(its SHA-256 is another\)"):
        sources.fetch(define(url=URL, sha256=digest(TEXT)), "calls")


def test_a_member_of_a_zip_inside_a_zip(define: Define) -> None:
    definition = define(file="outer.zip", member=["inner.zip", "folder/calls.csv"])
    put(definition.folder / "outer.zip", zipped(**{"inner.zip": zipped(**{"folder__calls.csv": TEXT})}))
    assert sources.raw_bytes(definition, "calls") == TEXT


def test_a_missing_member_lists_what_there_is(define: Define) -> None:
    definition = define(file="outer.zip", member=["calls.csv"])
    put(definition.folder / "outer.zip", zipped(**{"a.csv": b"", "b.csv": b""}))
    with pytest.raises(SourceError, match=r"outer\.zip holds no 'calls\.csv'; it holds a\.csv, b\.csv"):
        sources.raw_bytes(definition, "calls")


@pytest.mark.parametrize("content", [TEXT, zipped(**{"calls.csv": TEXT})[:-30]], ids=["text", "cut off"])
def test_a_file_that_is_no_zip_is_refused(define: Define, content: bytes) -> None:
    definition = define(file="outer.zip", member=["calls.csv"])
    put(definition.folder / "outer.zip", content)
    with pytest.raises(SourceError, match=r"outer\.zip: 'calls\.csv' cannot be unpacked \(.*zip file"):
        sources.raw_bytes(definition, "calls")


def test_a_damaged_member_is_refused(define: Define) -> None:
    definition = define(file="outer.zip", member=["calls.csv"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("calls.csv", TEXT)
    put(definition.folder / "outer.zip", buffer.getvalue().replace(b"1,a", b"1,b"))
    with pytest.raises(SourceError, match=r"'calls\.csv' cannot be unpacked \(Bad CRC-32"):
        sources.raw_bytes(definition, "calls")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = define(file="outer.zip", member=["calls.csv"])
    put(definition.folder / "outer.zip", zipped(**{"calls.csv": b"0" * 5_000_000}))

    def unpack(*_: object, **__: object) -> bytes:
        raise AssertionError("unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "read", unpack)
    with pytest.raises(SourceError, match=r"'calls\.csv' would unpack to 5,000,000 bytes; that is refused"):
        sources.raw_bytes(definition, "calls")


def test_a_file_above_the_limit_is_refused(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = define()
    put(definition.folder / "calls.csv", TEXT)
    monkeypatch.setattr(containers, "LARGEST", 10)
    with pytest.raises(SourceError, match=r"calls\.csv has 12 bytes; allowed: 10"):
        sources.raw_bytes(definition, "calls")


@pytest.mark.parametrize(
    ("content", "encoding", "text", "nul"),
    [
        ("\ufeffid\nMüller\n".encode(), "utf-8", "id\nMüller\n", []),
        ("id\nMüller\n".encode("cp1252"), "cp1252", "id\nMüller\n", []),
        ("id\nMüller\n".encode("utf-16"), "utf-16", "id\nMüller\n", []),
        (b"id\nM\xfcller\nM\xc3\xbcller\n", "utf-8", "id\nM\ufffdller\nMüller\n", []),
        (b"id\r\na\0b\0\r\nc\r\n\0", "utf-8", "id\nab\nc\n", [2, 4]),
        (b"", "utf-8", "", []),
    ],
    ids=["byte order mark", "cp1252", "utf-16", "mixed", "NUL", "empty"],
)
def test_decoding(define: Define, content: bytes, encoding: str, text: str, nul: list[int]) -> None:
    definition = define(encoding=encoding)
    put(definition.folder / "calls.csv", content)
    content = sources.raw_bytes(definition, "calls")
    assert containers.decoded(content, encoding, "calls.csv", "[sources.calls]") == (text, nul)


@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman"])
def test_the_code_page_is_told_by_the_letters_inside_words(encoding: str) -> None:
    text = "Zürich, Málaga, façade, Göteborg; it’s – 12 €, “naïve”\n"
    assert containers.eight_bit(text.encode(encoding)) == encoding
    assert containers.eight_bit(b"plain") == "cp1252"
