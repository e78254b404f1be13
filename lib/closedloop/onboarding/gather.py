"""Several files of one table: pieces of it, which are read together, or one export after the other."""

import glob
import re
from collections.abc import Callable, Hashable, Sequence
from itertools import takewhile
from pathlib import Path

from closedloop.market.reading.parts import in_order, older_records
from closedloop.onboarding.look import Look
from closedloop.onboarding.recognise import Export, systems

_SAME = 0.9  # of an older file's records are in the newest one, where both are exports of everything
_WRITTEN = ("encoding", "delimiter", "skip_lines", "header_lines", "sheet")  # how a file is written


def gathered(exports: Sequence[Export], note: Callable[[str], None]) -> list[Export]:
    """The exports, with pieces of a table made one; of exports of everything the newest, which ``note`` hears of.

    Files belong together where they hold the same table in the same columns, and are written in the same way.
    """
    groups: dict[Hashable, list[Export]] = {}
    for export in exports:
        settings = export.look.settings
        written = tuple(str(settings.get(name)) for name in _WRITTEN)
        own = export.look.path if "path" in settings else id(export)
        same = (export.table, tuple(sorted(export.columns.items())), written, getattr(own, "parent", own))
        groups.setdefault(same, []).append(export)
    return [one for group in groups.values() for one in (_together(group, note) if len(group) > 1 else group)]


def _together(group: Sequence[Export], note: Callable[[str], None]) -> Sequence[Export]:
    """One export of the files, where a pattern names them and no others; else the files as they are."""
    by_name = {one.look.path.name: one for one in group}
    names, is_open = in_order(by_name)
    group = [by_name[name] for name in names]
    newest = group[-1]
    found = _pattern([one.look.path for one in group])
    if not found:
        return group
    n, told = len(group), f"{names[0]} to {names[-1]}"
    if is_open:
        note(f"{told}: the days in these names can be read in two ways; by number {names[-1]} is taken as the newest")
    key = newest.columns.get(next(iter(systems()["tables"][newest.table]["columns"])), "")
    records = [_records(one.look, key) for one in group]
    earlier = set[Hashable]().union(*records[:-1])
    if len(earlier & set(records[-1])) >= _SAME * len(earlier):
        note(f"{told}: {n} exports of the same {newest.table}; the last by name is read")
        newest.look.settings["path"] = found
        return [newest]
    note(f"{told}: {n} files of {newest.table} are read as one")
    newest.look.settings |= {"path": found, "files": "all"} | ({"key": key} if key else {})
    _join([one.look for one in group], records if key else [])
    return [newest]


def _records(look: Look, key: str) -> list[Hashable]:
    """What tells the records of a file: their key, else all that is written in them."""
    return list(look.texts[key]) if key else list(zip(*look.texts.values(), strict=True))


def _join(looks: Sequence[Look], keys: Sequence[Sequence[Hashable]]) -> None:
    """Give the last look the texts of all; ``keys``: of the records, of which the last file's count."""
    newest, older = looks[-1], older_records(keys) if keys else [set[int]()] * len(looks)
    kept = [[row for row in range(look.n_rows) if row not in gone] for look, gone in zip(looks, older, strict=True)]
    columns = dict.fromkeys(column for look in reversed(looks) for column in look.texts)
    newest.texts = {
        column: [look.texts[column][row] if column in look.texts else None
                 for look, rows in zip(looks, kept, strict=True) for row in rows]
        for column in columns
    }  # fmt: skip
    newest.kept = set[str]().union(*(look.kept for look in looks))
    blanks = {text for look in looks for text in look.settings.get("blanks", ())}
    if blanks - newest.kept:
        newest.settings["blanks"] = sorted(blanks - newest.kept)


def _pattern(paths: Sequence[Path]) -> str:
    """The path with a ``*`` for the days, numbers or words that differ; empty where it names other files too."""
    names, folder = [path.name for path in paths], paths[0].resolve().parent
    for number in (r"\d[-_. \d]*$", r"\d*$"):  # a whole day differs next year; where others have one, a part of it
        begin = _shared(names, number)
        end = _shared([name[len(begin) :][::-1] for name in names], number)[::-1]
        differ = [name[len(begin) : len(name) - len(end)] for name in names]
        mark = "[0-9]*" if all(part[:1].isdigit() for part in differ) else "*"
        found = f"{glob.escape(begin)}{mark}{glob.escape(end)}"
        if {path.name for path in folder.glob(found) if path.is_file()} == set(names):
            return str(Path(glob.escape(str(folder))) / found)
    return ""


def _shared(names: Sequence[str], number: str) -> str:
    """The beginning that all names have, without a word or a ``number`` that goes on in different ways."""
    found = "".join(signs[0] for signs in takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False)))
    if any(name[len(found) :][:1].isalpha() for name in names):
        found = re.sub(r"[^\W\d_]+$", "", found)
    return re.sub(number, "", found)
