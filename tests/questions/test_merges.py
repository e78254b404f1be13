"""A split that turned out to be luck goes back, one that holds stays, and a vanished persona retires."""

from dataclasses import replace

import numpy as np
import pandas as pd
from closedloop.personas.persona_set import EDITS, MERGE, RETIRE, SPLIT, Change, Persona, PersonaSet
from closedloop.questions.refinement.splits import simplified
from closedloop.statistics.rules import Among, Branch, Rule

from tests.questions.test_refinement_runs import PERIODS, _Situation


def _set() -> PersonaSet:
    """Everyone, of whom the ports were split off."""
    rule = Rule((Branch((Among("site", ("port",)),), "everyone-site-port", 0, 0.0),), "everyone", ("site",))
    personas = (Persona("everyone", "Everyone"), Persona("everyone-site-port", "Ports"))
    split = Change(PERIODS[2].name, SPLIT, "everyone", "everyone-site-port", "site", "port")
    return PersonaSet("simulated", PERIODS[4].name, "refined", rule, personas, changelog=(split,))


def _closed(at_port: float, elsewhere: float, share: float = 0.5, n: int = 2000, early: float | None = None):
    """Decided deals from the split's first period to the fifth; ``early``: the ports' rate before the split."""
    rng = np.random.default_rng(1)
    site = np.where(rng.random(n) < share, "port", "store")
    first = pd.Timestamp(PERIODS[2].start)
    won = rng.random(n) < np.where(site == "port", at_port, elsewhere)
    frame = pd.DataFrame({"site": site, "is_won": won, "closed_on": first + pd.to_timedelta(np.arange(n) % 270, "D")})
    if early is None:
        return frame
    old = frame.assign(is_won=rng.random(n) < early, closed_on=pd.Timestamp(PERIODS[0].start), site="port")
    return pd.concat([old, frame], ignore_index=True)


def _edits(closed: pd.DataFrame) -> tuple[PersonaSet, dict[str, str]]:
    found, claims = simplified(_Situation(4, closed), closed, _set(), "06_refinement")  # type: ignore[arg-type]
    return found, {EDITS[row["measure"]]: row["verdict"] for _, row in claims.iterrows()}


def test_a_split_whose_later_deals_are_alike_is_merged_back() -> None:
    found, verdicts = _edits(_closed(0.4, 0.4, early=0.9))
    assert verdicts[MERGE] == "supported"
    assert found.ids == ["everyone"]
    assert found.rule.branches == ()
    assert found.personas[0].rule == ("everyone else",)


def test_a_split_that_holds_stays() -> None:
    found, verdicts = _edits(_closed(0.55, 0.35))
    assert verdicts[MERGE] not in ("supported", "leaning")
    assert found == _set()


def test_a_split_that_was_taken_back_and_made_again_is_judged_once_since_it_was_made_again() -> None:
    first = Change(PERIODS[0].name, SPLIT, "everyone", "everyone-site-port", "site", "port")
    back = Change(PERIODS[1].name, RETIRE, "everyone-site-port", "everyone")
    again = replace(_set(), changelog=(first, back, *_set().changelog))
    assert again.splits == _set().splits
    closed = _closed(0.4, 0.4, early=0.9)
    found, claims = simplified(_Situation(4, closed), closed, again, "06_refinement")  # type: ignore[arg-type]
    assert len(claims[claims["measure"] == "merge_gap"]) == 1
    assert found.ids == ["everyone"], "the deals of the first split do not count"


def test_few_deals_since_the_split_are_not_judged() -> None:
    assert MERGE not in _edits(_closed(0.4, 0.4, n=60))[1]


def test_a_persona_that_hardly_any_deal_is_retires() -> None:
    found, verdicts = _edits(_closed(0.4, 0.4, share=0.004))
    assert verdicts[RETIRE] == "supported"
    assert found.ids == ["everyone"]
    assert _edits(_closed(0.6, 0.4, share=0.1))[1][RETIRE] not in ("supported", "leaning")
