"""Splits held against the deals since, leads counted as far as they came, promises and what came of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop import anti_personas, funnel, promised_rates, recognise, stability
from closedloop.errors import ParameterError
from closedloop.personas.lineage import Lineage
from closedloop.personas.persona_set import SPLIT, Change, Persona, PersonaSet
from closedloop.personas.research import Sample
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.workbench.period import OpenPeriod

from tests.questions.personas import planning

ENTRY = Change(
    "2024-q4", SPLIT, "yard", "yard-large", "size", "large", estimate=0.7, baseline=0.5, last_period="2024-q3"
)
RULE = Rule((Branch((Among("size", ("large",)),), "yard-large", 1, 1.0),), "yard", ("size",))
IN_FORCE = PersonaSet(
    "harbor", "2025-q2", "refined", RULE,
    (Persona("yard", "Yard", win_rate=0.5, low=0.4, high=0.6, n=50, is_assumed=False),
     Persona("yard-large", "Large", win_rate=0.7, low=0.5, high=0.8, n=5)),
    fields=("size",), changelog=(ENTRY,),
)  # fmt: skip


@pytest.fixture
def now(out: Path) -> OpenPeriod:
    """A period of the bundled market under two personas, of which one was split from the other."""
    opened = planning("2025-q2", out, IN_FORCE)
    opened.lineage = Lineage(opened.situation, Sample("none", pd.DataFrame(), [], []), None, IN_FORCE)
    return opened


def deals(day: str, n: int, large: float, others: float) -> pd.DataFrame:
    """``n`` deals of large and of small sites that ended that day, with these win rates."""
    sizes, rates = np.repeat(["large", "small"], n), np.repeat([large, others], n)
    frame = pd.DataFrame({"size": sizes, "is_won": np.tile(np.arange(n), 2) < rates * n})
    outcome = np.where(frame["is_won"], "won", "lost")
    ids = [f"{day}-{i}" for i in range(2 * n)]
    return frame.assign(closed_on=pd.Timestamp(day), outcome=outcome, deal_id=ids, persona=IN_FORCE.assign(frame))


def leads_of(now: OpenPeriod, n: int) -> pd.DataFrame:
    """Of every ten leads eight are small; half are decided on, of which one in five was refused; one in ten is won."""
    i = np.arange(n)
    size = np.where(i % 10 < 8, "small", "large")
    accepted = pd.Series(i % 5 != 4).where(pd.Series(i % 2 == 0)).astype("boolean")
    won = pd.Series(i % 10 == 0).where(pd.Series(i % 4 == 0) | (i % 10 == 0)).astype("boolean")
    given = {"size": size, "is_accepted": accepted.array, "is_won": won.array, "is_followed": True}
    return now.leads().head(n).assign(**given)


def test_a_split_that_the_later_deals_contradict_is_seen(now: OpenPeriod) -> None:
    """Of the deals that suggested it 80 of 100 large ones were won against 30; of those since 6 of 20 against 10."""
    closed = pd.concat([deals("2024-08-01", 100, 0.8, 0.3), deals("2024-11-01", 20, 0.3, 0.5)], ignore_index=True)
    told = stability(closed).stated.set_index("measure")
    assert told.loc["split_kept_share", "estimate"] > 0.95
    assert told.loc["split_kept_since_share", "estimate"] < 0.2
    assert told.loc["split_kept_since_share", ["level", "n"]].tolist() == ["yard-large", 40]


def test_a_split_that_was_taken_back_and_made_again_is_judged_once(now: OpenPeriod) -> None:
    closed = deals("2024-08-01", 100, 0.8, 0.3)
    last = IN_FORCE.changelog[-1]
    now.personas = replace(IN_FORCE, changelog=(replace(last, period="2024-q1"), last))
    assert stability(closed).claims["measure"].tolist() == ["split_kept_share"]


def test_a_sample_is_drawn_as_often_as_the_cell_says(now: OpenPeriod) -> None:
    closed = deals("2024-08-01", 100, 0.6, 0.5)
    share = stability(closed, resampled=10).stated["estimate"].iloc[0]
    assert 10 * share == pytest.approx(round(10 * share))


def test_too_few_deals_since_a_split_say_nothing(now: OpenPeriod) -> None:
    closed = pd.concat([deals("2024-08-01", 100, 0.8, 0.3), deals("2024-11-01", 9, 0.3, 0.5)], ignore_index=True)
    answer = stability(closed)
    assert set(answer.stated["measure"]) == {"split_kept_share"}
    assert answer.missing["stability"].startswith("Research finds no segments that could be trusted now")


def test_samples_are_drawn_of_deals_and_of_nothing_else(now: OpenPeriod) -> None:
    with pytest.raises(ParameterError, match="over = 'samples' without deals; allowed: samples, periods"):
        stability()
    with pytest.raises(ParameterError, match="over = 'years'; allowed"):
        stability(deals("2024-08-01", 100, 0.6, 0.5), over="years")


def test_leads_count_as_far_as_they_came(now: OpenPeriod) -> None:
    leads = leads_of(now, 100)
    told = funnel(leads.assign(persona=IN_FORCE.assign(leads)), by="persona").stated
    mine = told[told["level"] == "yard"].set_index("measure")
    small = leads[leads["size"] == "small"]
    assert mine.loc["n_leads", "estimate"] == 80
    assert mine.loc["lead_accepted_rate", "n"] == small["is_accepted"].notna().sum()
    assert mine.loc["lead_won_rate", "estimate"] == pytest.approx(10 / 80)
    assert mine.loc["lead_open_rate", "estimate"] == pytest.approx(small["is_won"].isna().mean())


def test_leads_are_counted_by_whatever_a_cell_names(now: OpenPeriod) -> None:
    leads = leads_of(now, 100)
    n = funnel(leads, by="size").stated.query("measure == 'n_leads'")
    assert n.set_index("level")["estimate"].to_dict() == {"large": 20, "small": 80}
    assert set(n["field"]) == {"size"}


def test_few_leads_are_not_shown(now: OpenPeriod) -> None:
    told = funnel(leads_of(now, 9), by="persona").missing["funnel"]
    assert told.startswith("9 leads of the last periods were known, fewer than 10")


def test_only_measured_promises_are_stated(now: OpenPeriod) -> None:
    told = promised_rates(now.deals()).stated
    assert told.loc[told["measure"] == "promised_win_rate", "level"].tolist() == ["yard"]
    assert "promised_before" not in set(told["measure"])


def test_what_came_is_counted_by_the_rule_that_was_in_force(now: OpenPeriod) -> None:
    """Of 20 large and 20 small deals in the period before 12 and 4 were won; the set before knew one persona."""
    everyone = Rule((), "yard", ())
    now.personas_before = PersonaSet("harbor", "2025-q1", "research", everyone, IN_FORCE.personas[:1], deals="earlier")
    told = promised_rates(deals("2025-02-01", 20, 0.6, 0.2)).stated
    came = told[told["measure"] == "came_win_rate"]
    assert came[["level", "estimate", "n"]].to_numpy().tolist() == [["yard", 16 / 40, 40]]
    assert set(came["first_period"]) == set(came["last_period"]) == {"2025-q1"}
    assert told.loc[told["measure"] == "promised_before", "estimate"].tolist() == [0.5]


def test_a_promise_is_never_made_twice_of_the_same_deals(now: OpenPeriod) -> None:
    same = PersonaSet("harbor", "2025-q1", "research", RULE, IN_FORCE.personas, fields=("size",), deals="digest")
    now.personas_before, now.personas = same, same
    answer = promised_rates(now.deals())
    assert "promised_win_rate" not in set(answer.stated["measure"])
    assert "nothing new to promise" in answer.missing["promises"]


def test_fields_of_contacts_are_no_channels_and_no_products(now: OpenPeriod) -> None:
    fields = set(anti_personas().tables["whom"]["field"])
    assert {"sites", "region", "role"} <= fields
    assert not fields & {"channel", "campaign", "product", "experiment", "arm"}


def test_the_rule_is_told_as_sql_with_the_day_of_the_next_review(now: OpenPeriod) -> None:
    answer = recognise(now.leads(window=False))
    told = answer.tables["set"].iloc[0]
    assert told["sql"].startswith("CASE WHEN")
    assert told["review_on"] == pd.Timestamp(2025, 7, 1)
    assert answer.missing["rule_error"].startswith("Research finds no segments")
