"""The index: all runs of a run folder on one page."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from closedloop.batch.ledger import Entry
from closedloop.batch.plan import DOCUMENTS
from closedloop.errors import ClosedLoopError
from closedloop.market.definition import Definition, read_definition
from closedloop.market.files import write_atomic
from closedloop.period.store import PLANNING, read_claims
from closedloop.personas.changes import waiting
from closedloop.presentation.page import page, templates
from closedloop.presentation.words import Words
from closedloop.questions.refinement.first_third import thirds_in_words, thirds_table

_PACKAGE = "closedloop.batch"
_GROUPS = ("Planning", "Playbooks, briefs and battlecards", "Looking back")
_REVIEW = "07_review"
_MOST_FALSE, _USUAL_EFFECT = 0.10, 0.10


def write_index(out: Path, entries: Iterable[Entry]) -> Path:
    """Write ``out/index.html``: every run by market and period, newest first, with the bad ones on top."""
    runs = [_run(entry) for entry in sorted(entries, key=lambda entry: entry.id)]
    environment = templates(_PACKAGE)
    markets = [
        _market(out, name, [run for run in runs if run["market"] == name])
        for name in dict.fromkeys(run["market"] for run in runs)
    ]
    body = environment.get_template("index.html").render(runs=runs, markets=markets, groups=_GROUPS)
    script = Markup(environment.get_template("index.js").render())
    path = out / "index.html"
    write_atomic(path, page("All runs", Markup(body), kind="wide", script=script).encode())
    return path


def _run(entry: Entry) -> dict[str, Any]:
    """A run as the index shows it; ``text``: what the search looks through, in small letters."""
    whom = (entry.parameters.get(kind) for kind in ("persona", "competitor"))
    name = " · ".join(str(part) for part in (entry.notebook.replace("_", " "), *whom) if part)
    status = entry.status.replace("_", " ")
    pages = (path for path in entry.outputs if path.endswith(".html") and "/documents/" not in path)
    return {
        **vars(entry),
        "name": name,
        "href": next(pages, ""),
        "status_in_words": status,
        "is_good": entry.is_good,
        "group": 1 if entry.notebook in DOCUMENTS else 0 if entry.notebook in PLANNING else 2,
        "text": f"{entry.id} {name} {entry.status} {status} {entry.cause}".lower(),
    }


def _market(out: Path, name: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    try:
        definition = read_definition(name)
    except ClosedLoopError:  # it was run once, and its definition is gone or cannot be read today
        definition = None
    audit = f"{name}/audit.html"
    return {
        "name": name,
        "title": definition.title if definition else name,
        "waiting": waiting(definition, out / name) if definition else [],
        "audit": audit if (out / audit).exists() else "",
        "self_test": _self_test(_kept(out, name, "self-test", runs)),
        "backtest": (_kept(out, name, "backtest", runs) or {}).get("headline", ""),
        "thirds": _thirds(out / name, definition, runs) if definition else {},
        "is_dated": definition is not None and definition.clock != "none",
        "runs": runs,
    }


def _thirds(folder: Path, definition: Definition, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the newest review says of the deals ranked first: period, sentence and table; nothing where none does."""
    reviewed = [run["period"] for run in runs if run["notebook"] == _REVIEW and run["is_good"]]
    newest = max(reviewed, key=lambda period: (len(period), period), default="")
    claims, words = read_claims(folder / newest if newest else None, _REVIEW), Words(definition)
    said = thirds_in_words(claims, words)
    if not said:
        return {}
    listed = thirds_table(claims, words)._repr_html_()
    return {"period": newest, "sentence": said[0].text, "table": Markup(listed)}


def _kept(out: Path, market: str, name: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """A kept report on the loop; None when there is none, or none of the data that were run last."""
    path = out / market / f"{name}.json"
    if not path.exists():
        return None
    stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
    data = stored["data"]
    inputs = [item for run in runs if run["period"] == data["period"] for item in run["inputs"].items()]
    seen = {digest for name, digest in inputs if name.startswith(f"data/{market}@") and not name.endswith("@settings")}
    return stored if not seen or data["fingerprint"] in seen else None


def _self_test(stored: dict[str, Any] | None) -> str:
    """What the market's self-test found, in words; empty without one."""
    if stored is None:
        return ""
    null = stored["null"]
    aim = "" if null["any_claim_rate"] <= _MOST_FALSE else f" (the aim is {_MOST_FALSE:.0%} or less)"
    effect = next(one for one in stored["planted"] if one["effect"] == _USUAL_EFFECT)
    rate = effect["found_rate"]
    found = "" if rate is None else f"; a difference of 10 points is found {rate:.0%} of the time at this size"
    return (
        f"in {stored['worlds']} shuffled markets, where nothing differs, {null['any_claim_rate']:.1%} of the families "
        f"of claims stated a difference{aim}, {null['expected_false_lines']:.2f} lines a period{found}."
    )
