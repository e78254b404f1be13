"""Every number that a reader meets comes from a claim cited where it stands: whole pages of markets, checked."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from closedloop.documents.document import GOOD_ANSWER, Dossier, Glance, Line, Part
from closedloop.personas.persona_set import PersonaSet
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, Table, span, stating
from closedloop.presentation.charts import Picture
from closedloop.presentation.persona_words import rule_sentences
from closedloop.presentation.words import Words
from closedloop.workbench import cells

from tests import pages

from .ledger import claims, words

ROOT = Path(__file__).resolve().parents[2]
NOT_A_NUMBER = re.compile(r"\b(nan|nat)\b", re.IGNORECASE)
NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?")
VALUES = (
    "estimate",
    "low",
    "high",
    "baseline",
    "effect",
    "n",
    "n_before",
    "p",
    "q",
    "needed_n",
    "visible_difference",
    "family_size",
)
RECORDS = {"next_leads", "wake_up", "rules", "changes", "history"}  # of records, and of what was written earlier
UNTOLD = {"Whom to call next", "Feedback slip"}  # parts of documents that list records
WRITTEN = {"assumed", "promised"}  # marks of lines that people wrote
SETTINGS = {"90", "95"}  # the levels of intervals
TESTED = {
    "signal_points",
    "withdrawn_points",
    "withdrawn_since",
}  # of levels that were tested when they entered or left
Told = tuple[str, tuple[str, ...]]
COMPARES = re.compile(
    r"\b(more|less|fewer|better|worse|higher|lower|larger|smaller|faster|slower|dearer|cheaper|stronger|weaker|differ\w*"
    r"|alike|drift\w*|moved?|improv\w*|advantage|gain\w*|turns? round|grew|grown?|shrank|trend|than|most|least|fewest"
    r"|apart|because|no longer|as often)\b",
    re.IGNORECASE,
)
# Sentences that hold such a word and compare nothing: counts, settings, questions, and what cannot be told.
NO_COMPARISON = (
    "Named most often:",
    "Missing most often:",
    "; half take no longer",
    "; half are at most",
    "fewer than ten",
    "too few to tell",
    "cannot be told",
    "cannot tell",
    "nine of ten",
    "Two arms drawn by lot",
    "of a leak the whole interval lies above",
    "Look twice before you tell them apart",
    "No need is known yet",
    "hides a difference",
    "turns round",  # judged by a 95 % interval of its own, beside the claim that it is about
    "turn round",
    "is left of the difference",
    "may not hold",
    ": no, within ",
    "are known for more than",
    "may be false at most, on average",  # a bound on how many lines hold falsely: no group beside another
    "more are qualified but not handed off",
    " a deal gets from ",  # a field may be called "more of a product"
    "They are cut above all by: ",
    "or more (",
)


def ways_to_write(value: float, currency: str) -> Iterator[str]:
    """Every way in which the pages write a number."""
    yield from (
        numbers.rate(value),
        *(numbers.fine_rate(value, digits) for digits in (1, 2)),
        numbers.points(value),
        numbers.count(value),
        numbers.days(value),
    )
    yield from (numbers.money(value, currency), numbers.rounded_money(value, currency))
    yield from (numbers.plain(value), numbers.ratio(value))
    yield from (f"{value:.2g}", f"{value:.2f}", f"{value:.3f}")


def sayable(cited: pd.DataFrame, words: Words) -> set[str]:
    """The numbers that sentences on these claims may hold: their values, the digits of their labels, how many."""
    texts = [words.definition.title, numbers.points(words.definition.claims.smallest_worth)]
    for claim in cited.to_dict("records"):
        values = [float(claim[name]) for name in VALUES if not numbers.is_missing(claim[name])]
        if claim["unit"] == "rate" and not numbers.is_missing(claim["n"]):
            values.append(float(claim["estimate"]) * float(claim["n"]))  # 39 of 81
            texts.append(f"{values[-1]:,.1f}")  # 39.5 of 81, where deals that are equal count in part
        texts += [text for value in values for text in ways_to_write(value, words.currency)]
        texts += [
            str(claim["claim_id"]),
            words.name(str(claim["subject"])),
            str(claim["first_period"]),
            str(claim["last_period"]),
            str(claim.get("against", "")),
        ]
        if claim["field"]:
            label = (str(claim["field"]), claim["level"])
            texts += [words.condition(*label), words.short(*label), words.name(str(claim["level"]))]
        texts += [words.column(str(claim["within"]))]
    groups = [cited[cited["verdict"] == verdict] for verdict in cited["verdict"].unique()]
    counts = {str(len(group)) for group in (cited, cited[cited["family"] != "none"], *groups)} | {"0"}
    return {token for text in texts for token in NUMBER.findall(text)} | counts | SETTINGS


def ungrounded(told: Told, ledger: pd.DataFrame, words: Words, labels: Iterable[str] = ()) -> list[str]:
    """The numbers of a text that none of its claims holds; those inside names and rules of personas are labels."""
    text, ids = told
    for label in sorted(labels, key=len, reverse=True):
        text = text.replace(label, "")
    found = NUMBER.findall(text)
    return [number for number in found if number not in sayable(ledger.loc[list(ids)], words)] if found else []


def undated(told: Told, ledger: pd.DataFrame) -> list[str]:
    """The periods of a text's claims that it leaves out, where they are several."""
    text, periods = told[0], {span(claim) for claim in ledger.loc[list(told[1])].to_dict("records")}
    unsaid = []
    for period in sorted(periods, key=len, reverse=True):  # "2025-q1" stands inside "2024-q2 to 2025-q1"
        unsaid += [] if period in text else [period]
        text = text.replace(period, "")
    return unsaid if len(periods) > 1 else []


def texts_of(piece: object) -> Iterator[Told]:
    """The computed texts of a piece, each with the claims that it cites."""
    if isinstance(piece, Sentence):
        yield piece.text, piece.claims
    elif isinstance(piece, Listing):
        yield from ((item.text, item.claims) for item in piece.items)
    elif isinstance(piece, Picture):
        yield piece.alt, piece.claims
    elif isinstance(piece, Table):
        rests = piece.claims or ((),) * len(piece.rows)
        yield from ((" | ".join(row), ids) for row, ids in zip(piece.rows, rests, strict=True))
    elif isinstance(piece, Line):
        yield f"{piece.text} {piece.detail}", piece.claims
    elif isinstance(piece, Part):
        for part in (*(line for line in piece.lines if line.mark not in WRITTEN), *piece.tables):
            yield from texts_of(part)
    elif isinstance(piece, Glance):
        for part in (*piece.facts, *piece.cards):
            yield from texts_of(part)


def sentences_of(piece: object) -> Iterator[Told]:
    """The texts of a piece that are read as sentences: tables and figures have headings of their own."""
    if isinstance(piece, Glance):
        yield from (told for part in (*piece.facts, *piece.cards) for told in sentences_of(part))
    elif isinstance(piece, Part):
        yield from (told for line in piece.lines if line.mark not in WRITTEN for told in texts_of(line))
    elif isinstance(piece, Sentence | Listing | Line):
        yield from texts_of(piece)


def ledger_of(market: str, out: Path) -> pd.DataFrame:
    """All claims of a market that notebooks have left so far, by id."""
    parts = [pd.read_parquet(path) for path in sorted((out / market).glob("*/claims/*.parquet"))]
    return pd.concat(parts, ignore_index=True).set_index("claim_id", drop=False)


def labels_of(words: Words, personas: PersonaSet, dossier: Dossier | None = None) -> Iterator[str]:
    """Texts that are no findings: names and rules of personas, what the team wrote, days on the page."""
    yield from words.names.values()
    yield from (way for told in rule_sentences(personas.rule, words).values() for way in told)
    yield from (sentence for persona in personas.personas for sentence in persona.rule)
    if dossier is not None:
        for text in dossier.materials[["title", "text", "material_id"]].dropna(how="all").to_numpy().flat:
            yield from [] if numbers.is_missing(text) else str(text).split(GOOD_ANSWER)
        used = dossier.table("personas", "materials")
        yield from () if used.empty else map(numbers.day, used["last_on"].dropna())
        yield from [] if dossier.valid_until is None else [numbers.day(dossier.valid_until)]


def is_unclaimed(told: Told, ledger: pd.DataFrame, labels: Iterable[str] = ()) -> bool:
    """Does a text compare, names aside, although no claim of a family, with its verdict, stands behind it?"""
    text, ids = told
    for label in sorted(labels, key=len, reverse=True):
        text = text.replace(label, "")
    if not COMPARES.search(text) or any(known.lower() in text.lower() for known in NO_COMPARISON):
        return False
    cited = ledger.loc[list(ids)]
    return not ((cited["family"] != "none") | cited["measure"].isin(TESTED)).any()


def shown_of(market: str, period: str, out: Path) -> Iterator[tuple[str, list[Piece], Words, list[str]]]:
    """Name, pieces, words and labels of every notebook of a period, section by section, and of every document."""
    for now in pages.notebooks(market, period, out):
        labels = list(labels_of(now.words, now.personas))
        yield f"{now.notebook} bottom line", list(now.bottom_line().make().pieces), now.words, labels
        for answer in now.answers.values():
            if not {answer.section, *answer.tables} & RECORDS:
                yield f"{now.notebook} {answer.verb}", list(answer.pieces("Why?")), now.words, labels
    for page in pages.documents(market, period, out):
        pieces = [piece for piece in page.pieces if getattr(piece, "title", "") not in UNTOLD]
        labels = list(labels_of(page.dossier.words, page.dossier.personas, page.dossier))
        yield f"{page.notebook} {page.dossier.chosen}", pieces, page.dossier.words, labels


def unfounded(market: str, period: str, out: Path) -> list[str]:
    """Every computed text of a period with a number or a comparison that no claim holds, or that hides its period.

    And every one in which something missing is written as code has it.
    """
    found = []
    for name, pieces, spoken, labels in shown_of(market, period, out):
        ledger = ledger_of(market, out)
        for told in (told for piece in pieces for told in texts_of(piece)):
            lacking = ungrounded(told, ledger, spoken, labels)
            found += [f"{name}: {lacking} in {told[0]!r}"] if lacking else []
            found += [f"{name}: a missing value in {told[0]!r}"] if NOT_A_NUMBER.search(told[0]) else []
        for told in (told for piece in pieces for told in sentences_of(piece)):
            unsaid = undated(told, ledger)
            found += [f"{name}: {unsaid} unsaid in {told[0]!r}"] if unsaid else []
            is_open = is_unclaimed(told, ledger, labels)
            found += [f"{name}: a comparison that is no claim in {told[0]!r}"] if is_open else []
    return found


@pytest.mark.parametrize(
    ("market", "period"),
    [
        ("harbor", "2024-q2"),
        pytest.param("harbor", "2025-q2", marks=pytest.mark.slow),
        pytest.param("maven", "2017-q3", marks=pytest.mark.real),
        pytest.param("b2b", "all", marks=pytest.mark.real),
        pytest.param("bank", "2008-q4", marks=pytest.mark.real),
        pytest.param("bank", "2010-q1", marks=[pytest.mark.real, pytest.mark.slow]),
    ],
)
def test_every_number_of_every_page_comes_from_a_claim_that_is_cited(market: str, period: str, tmp_path: Path) -> None:
    assert unfounded(market, period, tmp_path) == []
    ledger = ledger_of(market, tmp_path)
    assert ledger["claim_id"].is_unique
    families = ledger[ledger["family"] != "none"].groupby(["period", "notebook", "family"])
    assert (families.size() == families["family_size"].max()).all(), "a family is what its notebook compared"


def test_a_number_from_nowhere_is_found() -> None:
    ledger = claims({"estimate": 0.44, "low": 0.38, "high": 0.50, "baseline": 0.33, "n": 210})
    by_id = ledger.set_index("claim_id", drop=False)

    def lacking(text: str) -> list[str]:
        said = stating(text, ledger)
        return ungrounded((said.text, said.claims), by_id, words())

    assert lacking("Sites over 20 are won in 44 % of 210 deals (38-50 %), 11 points more than 33 %.") == []
    assert lacking("Sites over 20 are won in 45 % of 211 deals.") == ["45", "211"]
    assert ungrounded(("44 % are won", ()), by_id, words()) == ["44"]


def test_a_comparison_without_a_claim_is_found() -> None:
    ledger = claims({}, {"claim_id": "rate-2", "family": "none", "verdict": "estimated"})
    by_id = ledger.set_index("claim_id", drop=False)
    text = "Partners win more often than others."
    assert is_unclaimed((text, ()), by_id)
    assert is_unclaimed((text, ("rate-2",)), by_id), "an estimate is no verdict"
    assert not is_unclaimed((text, (str(ledger["claim_id"].iloc[0]),)), by_id)
    assert not is_unclaimed(("Whether partners win more cannot be told.", ()), by_id)


def written_sentences() -> Iterator[tuple[str, str]]:
    """(place, template) of every sentence of pages and documents that is written without a claim."""
    package = ROOT / "lib" / "closedloop"
    for path in sorted(path for room in ("documents", "questions") for path in (package / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_bare = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Sentence" and len(node.args) == 1
            if is_bare and not node.keywords and isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):
                parts = getattr(node.args[0], "values", [node.args[0]])
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
                yield f"{path.name}:{node.lineno}", text


def test_no_sentence_written_without_a_claim_compares() -> None:
    templates = dict(written_sentences())
    assert len(templates) > 15
    found = {place: text for place, text in templates.items() if COMPARES.search(text)}
    assert [text for text in found.values() if not any(known.lower() in text.lower() for known in NO_COMPARISON)] == []


def test_figures_of_different_periods_are_marked_in_one_sentence() -> None:
    rate = {"measure": "win_rate", "first_period": "2025-q1"}
    days = {"measure": "median_cycle_days", "first_period": "2024-q2", "source_table": "leads"}
    both = claims(rate, days)
    assert stating("44 % are won, after 30 days.", both).text == (
        "44 % are won, after 30 days (deals of 2025-q1; leads of 2024-q2 to 2025-q1)."
    )
    marked = "44 % are won in 2025-q1, after 30 days (2024-q2 to 2025-q1)."
    assert stating(marked, both.iloc[0], both.iloc[1]).text == marked
    half = "44 % are won, after 30 days (2024-q2 to 2025-q1)."
    assert "deals of 2025-q1" in stating(half, both).text, "the last period's name stands inside the other's"
    assert stating("44 % are won.", claims(rate, rate)).text == "44 % are won.", "one period is the page's"
    by_id = both.set_index("claim_id", drop=False)
    assert undated((half, tuple(both["claim_id"])), by_id) == ["2025-q1"]
    assert undated((marked, tuple(both["claim_id"])), by_id) == []


def test_opened_alone_a_notebook_leaves_the_same_claims(tmp_path: Path) -> None:
    """Run on its own, or because a document reads it: the same bytes."""
    store_of = {who: tmp_path / who for who in ("read", "alone")}
    cells.ensure("05_deals", "harbor", "2024-q1", store_of["read"])
    parameters = {"market": "harbor", "period": "2024-q1", "out": str(store_of["alone"])}
    cells.run_cells(ROOT / "notebooks" / "05_deals.ipynb", parameters)
    left = [place / "harbor" / "2024-q1" / "claims" / "05_deals.parquet" for place in store_of.values()]
    assert left[0].read_bytes() == left[1].read_bytes()
