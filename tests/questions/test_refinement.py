"""06 on the bundled market, and the chain of persona sets that it makes, against deals counted with pandas."""

import subprocess
import sys
from copy import copy
from pathlib import Path

import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.market.files import root
from closedloop.market.warehouse import open_warehouse
from closedloop.period import store
from closedloop.personas.persona_set import SIGNAL, WITHDRAW, PersonaSet, read_set
from closedloop.personas.proposal import read_proposal
from closedloop.workbench import cells
from closedloop.workbench.cells import set_in_force
from closedloop.workbench.period import OpenPeriod

from tests.questions.periods import DRIFTS_IN, NEXT, run


def judged(now: OpenPeriod, *families: str) -> pd.DataFrame:
    return now.claims[now.claims["family"].isin(families)]


def test_the_proposal_is_the_next_periods_set(spring: OpenPeriod, summer: PersonaSet) -> None:
    proposed = read_set(spring.folder / "proposal.yml")
    assert (summer.rule, summer.changelog, summer.period) == (proposed.rule, proposed.changelog, NEXT)
    assert summer.personas == proposed.personas, "the same deals were known when both were estimated"
    assert (summer.origin, spring.step.results["is_proposed"], spring.step.results["next_period"]) == (
        *("refined", True, NEXT),
    )


def test_every_permanent_edit_stands_in_the_changelog_with_its_claim(spring: OpenPeriod, summer: PersonaSet) -> None:
    edits = judged(spring, "edit").query("verdict == 'supported'").set_index("claim_id")
    made = [entry for entry in summer.changelog if entry.edit not in (SIGNAL, WITHDRAW)]
    assert {entry.period for entry in made} == {NEXT}
    assert [entry.into for entry in made if entry.edit == "split"] == ["multi-site-sites-over-20"]
    for entry in made:
        assert entry.estimate == pytest.approx(edits.loc[entry.claim_id, "estimate"], abs=1e-5)
        assert entry.n == edits.loc[entry.claim_id, "n"]
    changed = spring.step.tables["changes"].set_index("persona")["change"]
    assert (changed["multi-site-sites-over-20"], changed["multi-site"]) == ("split", "adjusted")
    told = next(repr(answer) for answer in spring.answers.values() if answer.verb == "next_set")
    part = "Multi-site, number of sites: over 20"
    assert f"Persona {part} is split from persona Multi-site." in told
    assert f"part of it is now persona {part}" in told
    assert "multi-site-sites" not in told.lower(), "parts that the next set makes have their names already"


def test_the_planted_drift_is_seen_in_two_personas(spring: OpenPeriod) -> None:
    moved = spring.claims.query("measure == 'drift_win_rate' and verdict == 'supported'").set_index("subject")
    assert set(moved.index) == {"fast-start", "compliance"}
    assert moved.loc["fast-start", "effect"] < 0 < moved.loc["compliance", "effect"]
    deals = open_warehouse("harbor").frame("deals")
    decided = deals[deals["outcome"].isin(["won", "lost"]) & (deals["closed_on"] < "2025-04-01")]
    assert str(decided["closed_on"].min()) > "2023-11-01", "the records begin late in the first quarter: it is left out"
    decided = decided[decided["closed_on"] >= "2024-01-01"]
    decided = decided.merge(open_warehouse("harbor").frame("accounts"), on="account_id")
    decided = decided.assign(persona=spring.personas.assign(decided))
    is_now = decided["closed_on"] >= "2025-01-01"
    for persona in moved.index:
        mine = decided["persona"] == persona
        now, before = ((decided.loc[mine & part, "outcome"] == "won") for part in (is_now, ~is_now))
        assert moved.loc[persona, ["estimate", "baseline", "n"]].tolist() == [now.mean(), before.mean(), len(now)]
    shares = spring.claims.query("measure == 'drift_share'").set_index("subject")
    assert set(shares["n"]) == {is_now.sum()}, "a share is of all decided deals of the period"
    assert shares["estimate"].to_dict() == decided.loc[is_now, "persona"].value_counts(normalize=True).to_dict()


def test_families_are_closed_apart(spring: OpenPeriod) -> None:
    assert set(judged(spring, "who they are")["measure"]) == {"drift_share"}
    assert set(judged(spring, "drift")["measure"]) == {"drift_win_rate"}
    assert set(judged(spring, "edit")["measure"]) == {"win_rate"}
    assert set(judged(spring, "duel")["measure"]) == {"log_loss_gain", "auc_within_gain"}
    compared = spring.claims[spring.claims["family"] != "none"]
    assert (compared["family_size"] == compared.groupby("family")["claim_id"].transform("size")).all()
    assert not spring.claims["claim_id"].duplicated().any()


def test_the_self_test_gets_what_the_comparisons_were_made_of(spring: OpenPeriod) -> None:
    found = {type(redraw).__name__: redraw for answer in spring.answers.values() for redraw in answer.redraws}
    assert set(found) == {"SignalRedraw", "PromiseRedraw", "SplitRedraw", "DriftRedraw"}
    deals = open_warehouse("harbor").frame("deals")
    decided = deals[deals["outcome"].isin(["won", "lost"]) & (deals["closed_on"] < "2025-04-01")]
    splits, promise = found["SplitRedraw"], found["PromiseRedraw"]
    assert set(splits.ids) == set(decided["deal_id"])
    assert splits.rate == pytest.approx(0.10 / 8)
    assert set(splits.by.columns) == set(judged(spring, "edit")["field"])
    assert promise.is_now.sum() == (decided["closed_on"] >= "2025-01-01").sum()
    promised = sum(persona.n for persona in spring.personas.personas)
    assert promise.is_promised.sum() == promised, "the deals that the rates in force are of"


def test_the_first_set_is_what_research_found(out: Path) -> None:
    first = set_in_force("harbor", "2024-q1", out)
    assert first.origin == "research"
    assert len(first.personas) == 4
    assert 0.15 < first.rule_error < 0.30 < first.guess_error


def test_a_duel_that_cannot_be_told_carries_the_set_over(out: Path) -> None:
    before, after = (set_in_force("harbor", period, out) for period in ("2024-q1", "2024-q2"))
    assert (after.origin, after.rule, after.ids) == ("carried over", before.rule, before.ids)
    assert after.deals != before.deals, "its rates are renewed"
    left = read_proposal(out / "harbor" / "2024-q1" / "proposal.yml")
    assert (left.verdict, left.personas) == ("cannot tell", None)


def test_a_promise_made_of_ten_deals_is_not_broken_by_fifty(out: Path) -> None:
    promised = set_in_force("harbor", "2024-q1", out).persona("fast-start")
    set_in_force("harbor", "2024-q2", out)  # which 06 of the quarter before makes
    left = store.read_claims(out / "harbor" / "2024-q1", "06_refinement")
    found = left.query("measure == 'promise_gap'").set_index("subject").loc["fast-start"]
    assert promised.n == 10
    assert promised.low < found["estimate"] < promised.high
    assert found["verdict"] == "refused"


def test_what_renewal_will_promise_is_what_the_next_set_promises(out: Path) -> None:
    after = set_in_force("harbor", "2024-q3", out)
    left = store.read_claims(out / "harbor" / "2024-q2", "06_refinement")
    coming = left.query("measure == 'next_win_rate'").set_index("subject")
    assert coming["estimate"].to_dict() == pytest.approx({p.id: p.win_rate for p in after.personas}, abs=1e-5)
    assert coming["n"].to_dict() == {p.id: p.n for p in after.personas}
    assert (coming["first_period"] == after.first_period).all() and (coming["last_period"] == after.last_period).all()


def test_every_period_promises_anew_from_its_own_window(out: Path) -> None:
    """The harbor set keeps its rule; each period's rates are those of up to four periods before it."""
    warehouse = open_warehouse("harbor")
    set_in_force("harbor", DRIFTS_IN, out)
    leads = warehouse.frame("leads")[["lead_id", "account_id", "role"]]
    deals = warehouse.frame("deals").merge(leads, on="lead_id", how="left", suffixes=("", "_of_lead"))
    deals["account_id"] = deals["account_id"].fillna(deals["account_id_of_lead"])
    deals = deals.merge(warehouse.frame("accounts").drop(columns=["created_on"]), on="account_id", how="left")
    decided = deals[deals["outcome"].isin(["won", "lost"])]
    closed = pd.to_datetime(decided["closed_on"]).dt
    decided = decided.assign(period=closed.year.astype(str) + "-q" + closed.quarter.astype(str))
    names, seen = sorted(decided["period"].unique()), set()
    for period in [found.name for found in warehouse.periods if found.name <= DRIFTS_IN]:
        found, window = set_in_force("harbor", period, out), [name for name in names if name < period][-4:]
        mine = decided[decided["period"].isin(window)]
        table = (mine["outcome"] == "won").groupby(found.assign(mine)).agg(["sum", "size"])
        assert (found.first_period, found.last_period) == (window[0], window[-1])
        assert {p.id: (p.n_won, p.n) for p in found.personas if p.n} == {i: (k, n) for i, k, n in table.itertuples()}
        assert found.deals not in seen
        seen.add(found.deals)
    assert len(seen) == 5


# who makes a set, and when


def test_what_is_there_is_read(out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = set_in_force("harbor", "2024-q3", out)
    capsys.readouterr()
    monkeypatch.setattr(cells, "_rules_in_force", lambda *of: pytest.fail("it is made again"))
    assert set_in_force("harbor", "2024-q3", out) == found
    assert capsys.readouterr().out == ""


def test_changed_cells_of_06_make_the_sets_anew(out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Made(Exception):
        """A set is being made."""

    def make(*of: object) -> PersonaSet:
        raise Made

    set_in_force("harbor", "2024-q2", out)
    copied = tmp_path / "06_refinement.ipynb"
    copied.write_bytes(store.notebook_path("06_refinement").read_bytes() + b"\n")
    monkeypatch.setattr(store, "notebook_path", lambda name: copied)
    monkeypatch.setattr(cells, "_rules_in_force", make)
    with pytest.raises(Made):
        set_in_force("harbor", "2024-q2", out)


def test_two_that_ask_at_once_make_it_once(tmp_path: Path) -> None:
    """The second waits for the first, and reads: only one of them says that it makes an earlier period's personas."""
    code = "import sys, pathlib; from closedloop.workbench.cells import set_in_force as made; "
    code += "made('harbor', '2024-q2', pathlib.Path(sys.argv[1]))"
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "".join(said) == "harbor, 2024-q1: the personas of an earlier period are made first ...\n"


def test_people_put_a_set_into_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spring: OpenPeriod, summer: PersonaSet
) -> None:
    committed = tmp_path / "2025-q1.yml"
    committed.write_bytes((spring.folder / "proposal.yml").read_bytes())
    monkeypatch.setattr(cells, "committed_set", lambda warehouse, period: committed)
    found = set_in_force("harbor", DRIFTS_IN, tmp_path)
    assert found.origin == "committed"
    assert found.ids == summer.ids
    assert found.changelog[-1].edit == "commit"


def test_where_people_decide_a_proposal_waits(spring: OpenPeriod, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = copy(open_warehouse("harbor"))
    warehouse.definition = warehouse.definition.model_copy(update={"accept": "manual"})
    monkeypatch.setattr(cells, "is_of", lambda *of: True)
    after = next(period for period in warehouse.periods if period.name == NEXT)
    rules = cells._rules_in_force(warehouse, after, spring.standing)
    assert read_proposal(spring.folder / "proposal.yml").personas is not None
    assert (rules.origin, rules.ids) == ("carried over", spring.personas.ids)


def test_other_settings_never_feed_the_standing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("closedloop.workbench.period.runs_folder", lambda: tmp_path)
    own = run("06_refinement", "2024-q1", tmp_path)
    assert own.out == tmp_path and (tmp_path / "harbor" / "2024-q1" / "proposal.yml").exists()
    before = {path: path.read_bytes() for path in (tmp_path / "harbor" / "2024-q1" / "claims").iterdir()}
    other = run("06_refinement", "2024-q1", tmp_path, planned_periods=4)
    assert other.out is None and not other.is_market_own
    assert {path: path.read_bytes() for path in before} == before
    (draft,) = (tmp_path / "harbor" / "2024-q1" / "drafts").iterdir()
    assert (draft / "proposal.yml").exists()


def test_a_notebook_that_proposes_nothing_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (root() / "notebooks" / "06_refinement.ipynb").read_text("utf-8")
    mute = tmp_path / "06_refinement.ipynb"
    mute.write_text(source.replace("proposal = next_set(duel, signals, changes)", "proposal = duel"), "utf-8")
    monkeypatch.setattr(store, "notebook_path", lambda name: mute)
    with pytest.raises(ParameterError, match=r"left no proposal.yml in .*2024-q1; its cells have to call next_set"):
        set_in_force("harbor", "2024-q2", tmp_path / "runs")
