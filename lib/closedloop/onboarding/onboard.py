"""``closedloop new``: from a file or folder of exports to a market's definition, with at most five questions."""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedloop.errors import ParameterError, SourceError, allowed
from closedloop.market.definition import check_slug, read_definition, zone
from closedloop.market.files import data_folder, write_atomic
from closedloop.market.reading.database import Snapshots, table_names
from closedloop.market.reading.values import currencies
from closedloop.market.reading.words import words
from closedloop.onboarding.draft import Draft, slug
from closedloop.onboarding.gather import gathered
from closedloop.onboarding.look import Look, look_at_table, looks, see
from closedloop.onboarding.proposals import QUESTIONS
from closedloop.onboarding.question import Question
from closedloop.onboarding.recognise import Export, labels_of, recognise, settle, systems
from closedloop.onboarding.write import folder_of, toml

_DATABASES = ("postgresql://", "postgres://")
_PASSWORD = re.compile(r"^[a-z]+://[^/@:]*:[^$@][^@]*@")
_SALESFORCE_ID = re.compile(r"00[0-9A-Za-z]{13}(?:[0-9A-Z]{3})?")
_OF_OTHERS = ("respondents", "spend")  # tables that no CRM system exports
_PACKED = (".zip", ".xls", ".xlsb", ".ods", ".numbers")
_ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".gz")
Ask = Callable[[Question], Question]


@dataclass(frozen=True)
class Onboarded:
    """What ``new`` did: ``files`` written, ``exports`` recognised, ``unknown`` files, and the five ``answers``."""

    files: tuple[Path, ...]
    exports: tuple[Export, ...]
    unknown: tuple[Look, ...]
    answers: Mapping[str, Question]


def onboard(
    market: str, place: str, *, currency: str, timezone: str, ask: Ask, note: Callable[[str], None]
) -> Onboarded:
    """Write a market's definition from exports; ``ask`` answers a question, ``note`` hears of progress.

    ``place``: a file, a folder, or the address of a PostgreSQL database; ``currency`` and ``timezone``: empty where the
    files tell or else are asked. Nothing is copied, and nothing is written when a question stays open. Errors:
    ParameterError, SourceError.
    """
    check_slug("market", market)
    folder = data_folder() / market
    if folder.exists():
        raise ParameterError(f"market = {market!r} exists at {folder}; choose another name")
    try:
        zone(timezone or "UTC")
    except ValueError as error:
        raise ParameterError(f"--timezone: {error}") from None
    seen = _with_rows(place, list(_looks(place, note)), note)
    found = [(one, recognise(one)) for one in seen]
    exports = _one_a_table(gathered([export for _, export in found if export], note))
    if not {"deals", "respondents"} & set(exports):
        names = allowed(f"{one.title} ({allowed(one.texts, 8)})" for one in seen)
        raise SourceError(f"{place}: neither deals nor a survey is recognised; found {names}. Columns that are "
                          "needed: an id, a stage or status, and the day a deal was created")  # fmt: skip
    for table, export in exports.items():
        export.look.name = "survey" if table == "respondents" else table
    currency = currency or _currency(exports)
    untold = frozenset(name for name, told in (("currency", currency), ("timezone", timezone)) if not told)
    currency, timezone = currency or "EUR", timezone or "UTC"
    of_crm = [export for table, export in exports.items() if table not in _OF_OTHERS]
    system = Counter(export.system for export in of_crm if export.system).most_common(1)
    if "deals" in exports and _are_salesforces(exports["deals"]):
        system = [("Salesforce", 1)]
    for export in exports.values():
        export.system = system[0][0] if system and export.table not in _OF_OTHERS else ""
        see(export.look, currency, [name for role, name in export.columns.items() if role.startswith("amount")])
        settle(export)
    labels = labels_of(one for one, export in found if export is None)
    draft = Draft(market, exports, currency, timezone, untold, labels)
    _refuse_unsaid(draft)
    for key, proposed in QUESTIONS.items():
        question = proposed(draft) if "deals" in exports or key in ("values", "currency", "dates") else _none(key)
        draft.answers[key] = ask(question) if question.rows else question
        draft.__dict__.pop("deals", None)  # which is told by the answers
        if key == "dates":
            _apply(draft)
    refuse_open(draft.answers, market)
    files = folder_of(draft, folder)
    read_definition.cache_clear()
    unknown = [one for one, export in found if export not in exports.values() and not labels_of([one])]
    return Onboarded(tuple(files), tuple(exports.values()), tuple(unknown), draft.answers)


def _with_rows(place: str, seen: Sequence[Look], note: Callable[[str], None]) -> list[Look]:
    """The files that hold a record; the others are told. Errors: SourceError where none does."""
    found = [one for one in seen if one.n_rows]
    if seen and not found:
        names = allowed(f"{one.title} ({allowed(one.texts, 8)})" for one in seen)
        raise SourceError(f"{place}: no rows stand below the header of {names}; export it again")
    for one in seen:
        if not one.n_rows:
            note(f"left out: {one.title} has no rows below its header")
    return found


def _refuse_unsaid(draft: Draft) -> None:
    """Stop where the columns that say how a deal stands are all empty. Errors: SourceError."""
    deals, roles = draft.exports.get("deals"), ("stage", "status", "is_won", "is_closed")
    columns = [deals.columns[role] for role in roles if role in deals.columns] if deals else []
    if deals and not any(deals.look.known(column) for column in columns):
        raise SourceError(
            f"{deals.look.title}: no stage or status says how deals end; empty in all {deals.look.n_rows:,} rows: "
            f"{allowed(columns)}. Export it with that column filled"
        )


def _are_salesforces(deals: Export) -> bool:
    """Have the deals identifiers of Salesforce, in their short or their long form?"""
    texts = deals.look.known(deals.columns["deal_id"]) if "deal_id" in deals.columns else []
    return bool(texts) and sum(bool(_SALESFORCE_ID.fullmatch(text.strip())) for text in texts) > 0.9 * len(texts)


def _apply(draft: Draft) -> None:
    """Read the files from now on as the answers say that they are written."""
    told = {row["setting"]: str(row["value"]) for row in draft.answers["dates"].rows if row["source"] == "market"}
    draft.currency, draft.timezone = told.get("currency", draft.currency), told.get("timezone", draft.timezone)
    for row in draft.answers["dates"].rows:
        for export in draft.exports.values():
            if export.look.name == row["source"]:
                export.look.settings[row["setting"]] = row["value"]


def _none(key: str) -> Question:
    return Question(key, "", "", (), (), "")


def _looks(place: str, note: Callable[[str], None]) -> Iterator[Look]:
    """A look at each file, or at each table of a database; of several files those that are no tables are told."""
    if not place.startswith(_DATABASES):
        paths = _exports(Path(place).expanduser(), note)
        for path in paths:
            note(f"looking at {path.name}")
            try:
                yield from looks(path, slug(path.name.partition(".")[0])[:40])
            except SourceError as error:
                if len(paths) == 1:
                    raise
                note(f"left out: {error}")
        return
    if _PASSWORD.search(place):
        raise ParameterError("--from holds a password, which would be written down; put it into the environment and "
                             "write its name: postgresql://crm:$CRM_PASSWORD@host/name")  # fmt: skip
    snapshots = Snapshots()
    try:
        for table in table_names(snapshots, place):
            note(f"looking at {table}")
            yield look_at_table(snapshots, place, table)
    finally:
        snapshots.close()


def _exports(place: Path, note: Callable[[str], None]) -> list[Path]:
    """The files to look at; archives and old workbooks, which people may take for read, are told."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ParameterError(f"--from {place} does not exist; allowed: a file or a folder of exports")
    every = [path for path in sorted(place.iterdir()) if path.is_file()]
    found = [path for path in every if path.suffix.casefold() in _ENDINGS]
    for path in every:
        if path.suffix.casefold() in _PACKED:
            note(f"left out: {path.name} is not read; unpack it, or save it as CSV or xlsx")
    if not found:
        raise ParameterError(f"--from {place} holds no export; allowed: {allowed(_ENDINGS)}")
    return found


def _one_a_table(exports: Sequence[Export]) -> dict[str, Export]:
    """One export a table: the one whose records the deals name, then with most known columns, then with most rows."""
    found: dict[str, Export] = {}
    for export in sorted(exports, key=lambda one: (one.table != "deals", -len(one.columns), -one.look.n_rows)):
        before, deals = found.get(export.table), found.get("deals")
        if before is None or (deals and _n_named(export, deals) > _n_named(before, deals)):
            found[export.table] = export
    return {table: found[table] for table in systems()["tables"] if table in found}


def _n_named(export: Export, deals: Export) -> int:
    """How many records of an export the deals name."""
    role = {"accounts": "account_id", "leads": "lead_id"}.get(export.table, "")
    if role not in export.columns or role not in deals.columns:
        return 0
    named = {text.partition(";")[0].strip() for text in deals.look.known(deals.columns[role])}
    return len(named & set(export.look.known(export.columns[role])))


def _currency(exports: Mapping[str, Export]) -> str:
    """The currency of most amounts, named in a column of its own or with the amounts; empty where nothing tells."""
    deals = exports.get("deals")
    if deals is None:
        return ""
    if column := deals.columns.get("currency"):
        texts = map(str.strip, deals.look.known(column))
        told = (currencies(text) or (text.upper(),) * (len(text) == 3) for text in texts)
        codes = Counter(found[0] for found in told if len(found) == 1)
        if codes:
            return codes.most_common(1)[0][0]
    written = deals.look.known(deals.columns["amount"])[:2000] if "amount" in deals.columns else []
    named = Counter(code for text in written for code in re.findall(r"[A-Z]{3}", text))
    signs = {sign: codes[0] for sign, codes in words("currencies").items() if not sign.isalpha()}
    named.update(code for text in written for sign, code in signs.items() if sign in text)
    if not named:
        named.update(re.findall(r"\(([A-Z]{3})\)", deals.columns.get("amount", "")))
    return named.most_common(1)[0][0] if named else ""


def refuse_open(answers: Mapping[str, Question], market: str) -> None:
    """Write down the questions with what is proposed, and stop, where an answer is not sure. Errors: ParameterError."""
    n_open = sum(not safe for question in answers.values() for safe in question.safe)
    if n_open:
        path = Path(f"{market}-answers.toml")
        write_atomic(path, "\n".join(written(question) for question in answers.values() if question.rows).encode())
        raise ParameterError(
            f"{n_open} answers are not sure; {path} holds the questions with what is proposed: check the rows that are "
            f"marked, then add --answers {path}"
        )


def answers_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The answers that a file gives, by question. Errors: ParameterError."""
    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"--answers {path}: cannot be read: {error}") from error
    wrong = [key for key in found if key not in QUESTIONS]
    if wrong:
        raise ParameterError(f"--answers {path}: {wrong[0]!r} is no question; allowed: {allowed(QUESTIONS)}")
    return found


def written(question: Question) -> str:
    """A question with its answers, as an answers file has it."""
    lines = [f"# {question.title}  allowed: {question.may}"]
    for row, is_safe in zip(question.rows, question.safe, strict=True):
        lines.append(f"[[{question.key}]]{'' if is_safe else '  # please check'}")
        lines += [f"{name} = {toml(value)}" for name, value in row.items() if name != "why"]
        lines += [f"# {row['why']}"] if row.get("why") else []
    return "\n".join(lines) + "\n"
