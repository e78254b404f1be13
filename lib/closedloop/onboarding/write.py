"""A new market's folder: market.toml with comments, one select for each table, values.csv, and a .gitignore."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closedloop.errors import ParameterError
from closedloop.market.definition import definition_in
from closedloop.market.files import write_atomic
from closedloop.market.staging.meanings import Meaning, read_meanings, written
from closedloop.onboarding.draft import Draft, plain_label, slug
from closedloop.onboarding.proposals import first_period
from closedloop.onboarding.question import ORDER
from closedloop.onboarding.recognise import Export
from closedloop.onboarding.selects import as_text, selects
from closedloop.onboarding.stages import confirmed, pipelines_kept
from closedloop.onboarding.survey import asked, unasked

_IGNORE = """# customers' data stay here: only the definition may leave this machine
*
!.gitignore
!market.toml
!*.sql
!values.csv
!rates.csv
"""
_ORDER = "# in the order in which deals pass them"
_MOST_TOLD = 60  # columns that are left out


def folder_of(draft: Draft, folder: Path) -> list[Path]:
    """Write the market's folder, whole or not at all; nothing of the exports is copied.

    Errors: ParameterError where it is there already, DefinitionError where what is written cannot be read.
    """
    if folder.exists():
        raise ParameterError(f"{folder} exists; choose another name, or change what is there by hand")
    texts = {f"{table}.sql": select for table, select in selects(draft).items()}
    texts |= {"market.toml": definition(draft), ".gitignore": _IGNORE, "key": secrets.token_hex(16) + "\n"}
    texts["values.csv"] = written(_meanings(draft))
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, text in texts.items():
            write_atomic(begun / name, text.encode())
        definition_in(begun)
        read_meanings(begun / "values.csv")
        begun.chmod(0o755)
        begun.rename(folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return [folder / name for name in sorted(texts)]


def _meanings(draft: Draft) -> list[Meaning]:
    """What people wrote and what it means, codes of a survey one by one."""
    rows = [row for row in draft.answers["values"].rows
            if row["table"] != "respondents" and not row["column"].startswith(ORDER)]  # fmt: skip
    names = ("table", "column", "written", "meaning", "n")
    codes = [
        Meaning("respondents", one.name, code, label, draft.exports["respondents"].look.texts[one.column].count(code))
        for one in asked(draft)
        for code, label in one.labels.items()
    ]
    return [*(Meaning(*(row[name] for name in names)) for row in rows), *codes]


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{json.dumps(str(k), ensure_ascii=False)} = {toml(v)}" for k, v in value.items()) + " }"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def definition(draft: Draft) -> str:
    """The text of market.toml."""
    head = [
        f"title = {toml(draft.market.replace('-', ' ').capitalize())}",
        f"currency = {toml(draft.currency)}",
        f"timezone = {toml(draft.timezone)}                # where days are counted",
        'clock = "day"' if draft.is_dated else 'clock = "none"',
    ]
    if draft.is_dated:
        head.append('extracted_on = "latest"           # the last day that the data record')
    parts = ["\n".join(head), *_periods(draft)]
    for name, export in _named(draft).items():
        parts.append(_source(draft, name, export))
    if "deals" in draft.exports:
        parts.append(_deals(draft))
    parts += _fields(draft)
    return "\n\n".join(parts) + "\n"


def _named(draft: Draft) -> dict[str, Export]:
    return {export.look.name: export for export in draft.exports.values()}


def _source(draft: Draft, name: str, export: Export) -> str:
    settings = dict(export.look.settings)
    columns = settings.pop("columns")
    lines = [f"[sources.{name}]                    # {export.system or 'an export'}: {export.table}"]
    lines += [f"{key} = {toml(value)}" for key, value in settings.items()]
    used = {*export.columns.values(), *export.days_entered}
    used |= {column for table, column in draft.fields if table == export.table}
    lines.append(f"[sources.{name}.columns]")
    if export.table == "respondents":  # codes stay text, of which values.csv says what it means
        used |= {*columns} - {one.column for one in asked(draft) if one.labels}
    kinds = {column: kind for column, kind in columns.items() if column in used}
    lines += [f"{toml(column)} = {toml(kind)}" for column, kind in kinds.items()]
    return "\n".join(lines)


def _periods(draft: Draft) -> list[str]:
    if not draft.is_dated:
        return []
    found, _ = first_period(draft)
    starts = found.year_starts
    year = f"\nyear_starts = {starts}                   # month" if starts != 1 else ""
    head = f"[periods]\nfirst = {toml(found.first)}                 # earlier deals are history"
    return [f"{head}\nlength = {toml(found.length)}{year}"]


def _deals(draft: Draft) -> str:
    meant = draft.meant
    told = [name for name in ("won", "lost", "no_decision") if meant[name]]
    lines = [
        "[deals]",
        *([] if (several := pipelines_kept(draft)) else [f"stages = {toml(confirmed(draft))}    {_ORDER}"]),
        f"outcomes = {toml(told)}",
    ]
    gone = [
        row
        for row in draft.answers["deals"].rows
        if not row["keep"] and row["column"] != draft.column("deals", "is_deleted")
    ]
    if gone:
        by = {
            column: [row["value"] for row in gone if row["column"] == column]
            for column in dict.fromkeys(row["column"] for row in gone)
        }
        tests = [
            f"coalesce({slug(column)}, '') not in ({', '.join(map(as_text, values))})" for column, values in by.items()
        ]
        lines.append(f"keep = {toml(' and '.join(tests))}")
    for name in several:
        lines += [f"[deals.pipelines.{toml(name)}]", f"stages = {toml(confirmed(draft, name))}    {_ORDER}"]
    return "\n".join(lines)


def _fields(draft: Draft) -> list[str]:
    parts = []
    for table in ("accounts", "leads", "deals"):
        by: dict[str, list[str]] = {}
        for row in draft.answers["known"].rows:
            if row["table"] == table and row["known"]:
                by.setdefault(row["known"], []).append(draft.fields[table, row["column"]])
        if by:
            lines = [f"[fields.{table}]", *(f"{moment} = {toml(names)}" for moment, names in by.items())]
            parts.append("\n".join(lines))
    if gone := [*draft.left_out, *unasked(draft)]:
        told = [f"# {one.table}, {one.column}: {one.why}" for one in gone[:_MOST_TOLD]]
        parts.append(
            "\n".join(["# Left out; what you know better goes into a select and under [fields.<table>]:", *told])
        )
    questions = asked(draft)
    if questions:
        items = [f"{toml(one.name)} = {toml(one.label)}" for one in questions if one.role != "field"]
        parts.append("\n".join([*_unlabelled(draft), "[items]", *items]))
        fields = [one.name for one in questions if one.role == "field"]
        parts += [f"[fields.respondents]\nresearch = {toml(fields)}"] if fields else []
    labels = {name: plain_label(column) for (_, column), name in draft.fields.items()}
    labels |= {one.name: one.label for one in questions if one.role == "field" and one.label != one.column}
    if labels:
        parts.append(
            "\n".join(["[labels]", *(f"{toml(name)} = {toml(label)}" for name, label in sorted(labels.items()))])
        )
    return parts


def _unlabelled(draft: Draft) -> list[str]:
    """A comment where answers are codes that nobody has told the labels of."""
    rows = [row for row in draft.answers["values"].rows if row["table"] == "respondents" and not row["meaning"]]
    told = "answers are codes without labels, compared as numbers; export them as text, or answer their labels"
    return [f"# {', '.join(row['column'] for row in rows)}: {told}"] if rows else []
