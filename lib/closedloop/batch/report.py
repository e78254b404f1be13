"""The index: all runs of a run folder on one page."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from closedloop.batch.ledger import Entry
from closedloop.batch.plan import DOCUMENTS
from closedloop.errors import ClosedLoopError
from closedloop.market.definition import Definition, read_definition
from closedloop.market.files import write_atomic
from closedloop.personas.changes import waiting
from closedloop.presentation.page import page, templates
from closedloop.terms import Status
from closedloop.workbench.store import PLANNING

_PACKAGE = "closedloop.batch"
_GROUPS = ("Planning", "Playbooks, briefs and battlecards", "Looking back")
_MOST_FALSE, _USUAL_EFFECT = 0.10, 0.10


@dataclass(frozen=True)
class Run:
    """A ledger entry as the index shows it."""

    entry: Entry
    href: str

    @property
    def id(self) -> str:
        """``market/period/stem``."""
        return self.entry.id

    @property
    def name(self) -> str:
        """The notebook and the persona or competitor that it is about."""
        parameters = self.entry.parameters
        parts = (self.entry.notebook.replace("_", " "), parameters.get("persona"), parameters.get("competitor"))
        return " · ".join(str(part) for part in parts if part)

    @property
    def cause(self) -> str:
        """Why it ended so, or what is missing."""
        return self.entry.cause

    @property
    def status(self) -> str:
        """The status as a person reads it."""
        return self.entry.status.replace("_", " ")

    @property
    def text(self) -> str:
        """What the search looks through, in small letters."""
        return f"{self.id} {self.name} {self.entry.status} {self.status} {self.cause}".lower()

    @property
    def group(self) -> int:
        """Position in ``_GROUPS``."""
        if self.entry.notebook in DOCUMENTS:
            return 1
        return 0 if self.entry.notebook in PLANNING else 2


def write_index(out: Path, entries: Iterable[Entry]) -> Path:
    """Write ``out/index.html``: every run by market and period, newest first, with the bad ones on top."""
    runs = sorted((Run(entry, _page_of(entry)) for entry in entries), key=lambda run: run.id)
    environment = templates(_PACKAGE)
    body = environment.get_template("index.html").render(
        n_runs=len(runs),
        bad=[run for run in runs if not run.entry.is_good],
        markets=[_market(out, name, runs) for name in sorted({run.entry.market for run in runs})],
        linked=_linked,
        status=_status,
    )
    script = Markup(environment.get_template("index.js").render())
    path = out / "index.html"
    write_atomic(path, page("All runs", Markup(body), kind="wide", script=script).encode())
    return path


def _page_of(entry: Entry) -> str:
    return next((path for path in entry.outputs if path.endswith(".html") and "/documents/" not in path), "")


def _linked(run: Run, text: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(run.href, text) if run.href else Markup("{}").format(text)


def _status(run: Run) -> Markup:
    kind = "good" if run.entry.is_good else "bad"
    return Markup('<span class="status {} {}">{}</span>').format(run.entry.status, kind, run.status)


def _market(out: Path, name: str, runs: Sequence[Run]) -> dict[str, Any]:
    own = [run for run in runs if run.entry.market == name]
    definition = _definition(name)
    audit = f"{name}/audit.html"
    return {
        "name": name,
        "title": definition.title if definition else name,
        "waiting": waiting(definition, out / name) if definition else [],
        "audit": audit if (out / audit).exists() else "",
        "self_test": _self_test(_kept(out, name, "self-test", own)),
        "backtest": (_kept(out, name, "backtest", own) or {}).get("headline", ""),
        "is_dated": definition is not None and definition.clock != "none",
        "periods": [_period(p, own) for p in sorted({run.entry.period for run in own}, reverse=True)],
    }


def _definition(name: str) -> Definition | None:
    """None for a market that was run once, and whose definition is gone or cannot be read today."""
    try:
        return read_definition(name)
    except ClosedLoopError:
        return None


def _kept(out: Path, market: str, name: str, runs: Sequence[Run]) -> dict[str, Any] | None:
    """A kept report on the loop; None when there is none, or none of the data that were run last."""
    path = out / market / f"{name}.json"
    if not path.exists():
        return None
    stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
    data = stored["data"]
    inputs = [item for run in runs if run.entry.period == data["period"] for item in run.entry.inputs.items()]
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


def _period(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    own = [run for run in runs if run.entry.period == name]
    groups = [{"title": t, "runs": [run for run in own if run.group == n]} for n, t in enumerate(_GROUPS)]
    return {
        "name": name,
        "runs": own,
        "groups": [group for group in groups if group["runs"]],
        "n_bad": sum(not run.entry.is_good for run in own),
        "n_warned": sum(run.entry.status is Status.OK_WITH_WARNINGS for run in own),
    }
