"""Tiny markets, written by hand: a folder with a definition, raw text files and selects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
from closedloop.market.contract import KINDS, kind_of
from closedloop.market.definition import Definition, read_definition
from closedloop.market.warehouse import read_again

HEAD = """\
title = "Tiny"
licence = "CC0-1.0"
currency = "EUR"
clock = "day"
extracted_on = 2024-06-30

[periods]
first = "2024-q1"
length = "quarter"
"""
DEALS = """
[deals]
stages = ["discovery", "proposal"]
outcomes = ["won", "lost", "no_decision"]
"""
TinyMarket = Callable[..., Definition]


def select_of(table: str, text: str) -> str:
    """A select that casts every column of a raw file to what its name says."""
    names = text.splitlines()[0].split(",")
    kinds = {name: KINDS[kind_of(name)] for name in names}
    cells = [f'"{name}"::{kind} as "{name}"' if kind else f'"{name}"' for name, kind in kinds.items()]
    return f"select row_no, {', '.join(cells)} from raw.{table}"


@contextmanager
def project_at(root: Path) -> Iterator[Path]:
    """The folder is the project's root meanwhile, without a mirror and with an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLOSEDLOOP_ROOT", str(root))
        patch.setenv("CLOSEDLOOP_CACHE", str(root / "cache"))
        patch.delenv("CLOSEDLOOP_MIRROR", raising=False)
        read_again()
        yield root
    read_again()


def write_market(
    root: Path,
    files: dict[str, str | bytes],
    selects: dict[str, str] | None = None,
    more: str = "",
    head: str = HEAD,
    deals: str = DEALS,
) -> Definition:
    """Write and read the market ``tiny`` from raw files, by table: text with a header of canonical names, or bytes.

    ``selects`` replaces the select of a table or adds a helper; ``more`` goes to the end of market.toml,
    ``head`` and ``deals`` replace its beginning.
    """
    folder = root / "data" / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: dedent(text).strip() + "\n" for name, text in files.items() if isinstance(text, str)}
    for name, text in files.items():
        content = texts[name].encode() if isinstance(text, str) else text
        (folder / f"{name}.csv").write_bytes(content)
    chosen = {name: select_of(name, text) for name, text in texts.items()} | (selects or {})
    for name, select in chosen.items():
        (folder / f"{name}.sql").write_text(select, "utf-8")
    sources = "".join(f'[sources.{name}]\nfile = "{name}.csv"\n' for name in files)
    (folder / "market.toml").write_text(f"{head}{deals}\n{sources}\n{dedent(more)}", "utf-8")
    read_again()
    return read_definition("tiny")


@pytest.fixture
def tiny_root(tmp_path: Path) -> Iterator[Path]:
    """A project's folder without markets, in force for this test only."""
    with project_at(tmp_path) as root:
        yield root


@pytest.fixture
def tiny_market(tiny_root: Path) -> TinyMarket:
    """``write_market`` in this test's own project."""
    return partial(write_market, tiny_root)
