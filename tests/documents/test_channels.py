"""What to do with a channel, and what a decided deal brings: pages beside the raw rows and the planted truth."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.documents.channel_advice import advise
from closedloop.documents.wording import Words
from closedloop.evidence.claims import false_discovery_q
from closedloop.loop import turn
from closedloop.loop.persona import read_set, write_set
from closedloop.loop.persona_changes import committed
from closedloop.market.definition import read_definition
from closedloop.notebook import open_run
from scipy import stats

from tests.documents.ledger import claims, words
from tests.redraws import over_redraws, redrawn, rooted

PLANNED, LOOKED_BACK, LAST = "2025-q4", "2025-q3", "2026-q1"
ON, FIRST = pd.Timestamp("2025-10-01"), pd.Timestamp("2024-10-01")  # the day of the plan, and where its window begins
CHEAP = {"referral", "partner", "webinar", "content", "search"}  # a won deal costs less than on average, by the truth
SEEDS = range(3001, 3021 if os.environ.get("CLOSEDLOOP_FULL") else 3002)


def settled(market: str, out: Path, *periods: str) -> None:
    """Research's personas stay in force in these periods, so that nothing has to be replayed."""
    first = turn.set_in_force(market, turn.periods(market)[0].name, out)
    for period in periods:
        write_set(read_definition(market).folder / "personas" / f"{period}.yml", committed(first, period))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Harbor's own draw under another name, with a plan and the outcomes before it; the market and its run folder."""
    place = tmp_path_factory.mktemp("drawn")
    market = redrawn(place, 2097)
    with rooted(place):
        settled(market, place / "runs", LOOKED_BACK, PLANNED)
        turn.plan(market, PLANNED, place / "runs")
        turn.look_back(market, LOOKED_BACK, place / "runs")
        yield market, place / "runs"


@pytest.fixture(scope="module")
def raw(drawn: tuple[str, Path]) -> dict[str, pd.DataFrame]:
    """Raw leads and deals as known on the day, each once, with their persona; and the spend."""
    folder = drawn[1].parent / "data" / drawn[0] / "raw"
    accounts, leads, deals, spend = (
        pd.read_csv(folder / f"{name}.csv", dtype=str) for name in ("accounts", "leads", "deals", "spend")
    )
    fields = accounts.rename(columns={
        "Site Type": "site_type", "Number of Sites": "sites", "Region": "region", "Automation": "automation",
        "Throughput": "throughput", "Integration in Place": "is_integrated",
    }).drop(columns="Created Date").drop_duplicates("Account ID")  # fmt: skip
    fields["automation"] = fields["automation"].where(fields["automation"] != "Select")
    told = read_set(turn.period_folder(drawn[0], PLANNED, drawn[1]) / "personas.yml")
    leads = leads.dropna(subset="Lead ID").drop_duplicates("Lead ID").merge(fields, on="Account ID", how="left")
    deals = deals.drop_duplicates("Deal ID").merge(fields, on="Account ID", how="left")
    leads["persona"] = told.assign(leads.rename(columns={"Job Function": "role", "Original Source": "channel"}))
    deals["persona"] = told.assign(deals.rename(columns={"Product": "product"}))
    leads["came"] = pd.to_datetime(leads["Create Date"])
    deals["closed"], deals["amount"] = pd.to_datetime(deals["Close Date"]), pd.to_numeric(deals["Won Amount"])
    won = deals[(deals["Deal Status"] == "Closed Won") & (deals["closed"] < ON)].groupby("Lead ID")["closed"].min()
    leads["won_on"] = leads["Lead ID"].map(won)
    return {"leads": leads[leads["came"] < ON], "deals": deals, "spend": spend}


def days_to_win(leads: pd.DataFrame) -> float:
    """Kaplan-Meier by channel: the day by which nine of ten won leads were won, of the channel that takes longest."""
    longest = 0.0
    for _, part in leads.groupby("Original Source"):
        days = (part["won_on"].fillna(ON) - part["came"]).dt.days
        part, days = part[days >= 0], days[days >= 0]
        left, curve = 1.0, {}
        for day in sorted(days[part["won_on"].notna()].unique()):
            left *= 1 - ((days == day) & part["won_on"].notna()).sum() / (days >= day).sum()
            curve[day] = 1 - left
        longest = max(longest, next(day for day, share in curve.items() if share >= 0.9 * (1 - left)))
    return longest


@pytest.fixture(scope="module")
def costs(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Leads, won ones and money of every channel, for the market and for every persona, by hand."""
    wait = pd.Timedelta(days=days_to_win(raw["leads"]))
    first, until = FIRST - wait, ON - wait
    month = pd.to_datetime(raw["spend"]["Month"])
    after = month + pd.offsets.MonthBegin(1)
    inside = (np.minimum(after, until) - np.maximum(month, first)).dt.days.clip(lower=0) / (after - month).dt.days
    spent = (raw["spend"]["Cost"].astype(float) * inside).groupby(raw["spend"]["Channel"]).sum()
    leads = raw["leads"][raw["leads"]["came"].ge(first) & raw["leads"]["came"].lt(until)]
    leads = leads.assign(channel=leads["Original Source"], won=leads["won_on"].notna())
    whole = leads.groupby("channel")["won"].agg(n="size", k="sum").assign(spent=spent, subject="market").reset_index()
    own = leads.groupby(["persona", "channel"])["won"].agg(n="size", k="sum").reset_index()
    share = own["n"] / own["channel"].map(whole.set_index("channel")["n"])
    own = own.assign(spent=own["channel"].map(spent) * share).rename(columns={"persona": "subject"})
    return pd.concat([whole, own]).set_index(["subject", "channel"]).sort_index()


def verdicts(costs: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Use, stop, keep or too few, from the exact interval of the two costs' ratio; false ones limited to a tenth."""
    rest = costs.groupby("subject")[["k", "spent"]].transform("sum") - costs[["k", "spent"]]
    k_all, odds = costs["k"] + rest["k"], costs["spent"] / rest["spent"]
    half = stats.binom.pmf(costs["k"], k_all, odds / (1 + odds)) / 2
    fewer, more = (
        stats.binom.cdf(costs["k"] - 1, k_all, odds / (1 + odds)),
        stats.binom.sf(costs["k"], k_all, odds / (1 + odds)),
    )
    p = np.minimum(2 * np.minimum(fewer + half, more + half), 1)
    told = {}
    for key, q, cheap, k in zip(costs.index, false_discovery_q(p), more + half < fewer + half, costs["k"], strict=True):
        power = 2 * (stats.norm.isf(0.025) + stats.norm.ppf(0.8)) ** 2 / np.log(2) ** 2  # wins that show twice the cost
        told[key] = ("use" if cheap else "stop") if q <= 0.10 else "keep" if k >= power else "test"
    return told


def of_channels(market: str, period: str, out: Path) -> pd.DataFrame:
    ledger = pd.read_parquet(turn.period_folder(market, period, out) / "claims-plan.parquet")
    rows = ledger[(ledger["field"] == "channel") & ledger["cell"].isin(["channels", "persona_channels"])]
    return rows.pivot_table(index=["subject", "level"], columns="measure", values="estimate")


def test_costs_are_those_of_the_raw_rows(drawn: tuple[str, Path], costs: pd.DataFrame) -> None:
    told = of_channels(drawn[0], PLANNED, drawn[1])
    assert len(costs) >= 28
    shown = costs[costs["n"] >= 10]
    assert set(told.index) == set(shown.index)
    told = told.loc[shown.index]
    assert told["n_leads"].tolist() == shown["n"].tolist()
    assert told["n_won"].tolist() == shown["k"].tolist()
    cost = (shown["spent"] / shown["k"]).where(shown["k"] > 0)
    assert told["cost_per_won_amount"].to_numpy() == pytest.approx(cost.to_numpy(), rel=1e-6, nan_ok=True)


def test_each_channel_has_one_line_with_the_verdict_of_the_raw_rows(
    drawn: tuple[str, Path], costs: pd.DataFrame
) -> None:
    market, out = drawn
    wanted = verdicts(costs)
    assert {"use", "stop"} <= set(wanted.values())
    page = repr(open_run("03_leads", market, PLANNED, out).show("channels"))
    said = dict(re.findall(r"^- (.+?) – (use|keep|test|stop): ", page, re.MULTILINE))
    assert said == {ch.replace("_", " ").capitalize(): wanted["market", ch] for ch in costs.loc["market"].index}
    personas = [name for name in costs.index.get_level_values("subject").unique() if name != "market"]
    for persona in personas:
        shown = repr(open_run("campaign_brief", market, PLANNED, out, persona=persona).show("channels"))
        part = shown.partition("What to do with each channel")[2].partition("What else differs")[0]
        found = re.findall(
            r"^- (.+?) – (use|keep|test|stop)(, as for all personas together)?: (.*)$", part, re.MULTILINE
        )
        rows = costs.loc[persona]
        assert len(found) == (rows["n"] >= 10).sum()
        for name, word, is_markets, reason in found:
            channel = name.lower().replace(" ", "_")
            own, all_of = wanted[persona, channel], wanted["market", channel]
            assert (word, bool(is_markets)) == ((all_of, True) if own == "test" != all_of else (own, False))
            n, k = rows.loc[channel, ["n", "k"]].astype(int)
            assert f"{k} of {n} leads" in reason, "how many were won stands in the line"


def test_findings_about_all_leads_of_a_channel_stand_in_the_brief(drawn: tuple[str, Path]) -> None:
    market, out = drawn
    ledger = pd.read_parquet(turn.period_folder(market, PLANNED, out) / "claims-plan.parquet")
    held = ledger[(ledger["field"] == "channel") & (ledger["subject"] == "market") & (ledger["family"] == "plan")]
    held = held[held["verdict"].isin(["supported", "leaning"])]
    brief = open_run("campaign_brief", market, PLANNED, out)
    cited = {name for part in brief.show("channels").pieces for line in part.lines for name in line.claims}
    assert len(held) >= 3 and set(held["claim_id"]) <= cited


def test_won_amounts_per_decided_deal_are_those_of_the_raw_rows(
    drawn: tuple[str, Path], raw: dict[str, pd.DataFrame]
) -> None:
    market, out = drawn
    deals = raw["deals"]
    decided = deals[deals["Deal Status"].isin(["Closed Won", "Closed Lost"])]
    decided = decided[decided["closed"].ge(FIRST) & decided["closed"].lt(ON)]
    ledger = pd.read_parquet(turn.period_folder(market, LOOKED_BACK, out) / "claims-outcome.parquet")
    told = ledger[ledger["measure"] == "won_amount_per_decided"].set_index(["field", "level"])
    assert told["family"].groupby("field").unique().map(list).to_dict() == {
        "": ["none"], "persona": ["outcome"], "product": ["none"],
    }  # fmt: skip
    plain = {}
    for field, by in (("persona", decided["persona"]), ("product", decided["Product"])):
        sums = decided["amount"].groupby(by).agg(["size", "sum"])
        mine = told.loc[field].loc[sums.index]
        assert mine["n"].tolist() == sums["size"].tolist()
        plain[field] = sums["sum"] / sums["size"]
        assert mine["estimate"].to_numpy() == pytest.approx(plain[field].to_numpy(), rel=0.15)
        assert ((mine["low"] < plain[field]) & (plain[field] < mine["high"])).all()
    whole = told.loc[("", "")]
    assert whole["n"] == len(decided)
    assert whole["estimate"] == pytest.approx(decided["amount"].sum() / len(decided), rel=0.05)
    for name in ("05_deals", "07_review"):
        run = open_run(name, market, LOOKED_BACK, out)
        line = next(text for text in repr(run.bottom_line()).splitlines() if "per decided deal" in text)
        places = [line.index(f"{run._words.name(persona)} (") for persona in told.loc["persona"].sort_values(
            "estimate", ascending=False).index]  # fmt: skip
        assert places == sorted(places)
    playbook = repr(open_run("sales_playbook", market, PLANNED, out).show("numbers"))
    assert "worth more for each decided deal" in playbook or "worth less for each decided deal" in playbook


def lines(*changes: dict[str, object], subject: str = "market") -> list[str]:
    """The lines on one channel whose ledger holds these claims, with plain spaces."""
    ledger = claims(*({"notebook": "03_leads", "field": "channel", "level": "fair"} | change for change in changes))
    return [repr(one.line).replace("\N{NO-BREAK SPACE}", " ") for one in advise(ledger, words(), subject)]


CAME = {"measure": "n_leads", "unit": "count", "estimate": 120, "verdict": "counted", "family": "none"}
COST = {"measure": "cost_per_won_amount", "unit": "amount", "family": "cost", "baseline": 900, "n": 120}
WON_RATE = {"measure": "won_rate", "family": "plan", "estimate": 0.2, "low": 0.15, "high": 0.26, "baseline": 0.14}


def test_without_spend_the_share_of_leads_won_decides_for_everybody() -> None:
    assert lines(CAME, WON_RATE) == [
        "Fair – use: no spend is recorded; 20 % (15–26 %, n = 210) of its leads were won, against 14 % of all."
    ]
    own = lines(CAME, {**CAME, "subject": "fast"}, WON_RATE, subject="fast")
    assert own == [
        "Fair – use, as for all personas together: no spend is recorded; 20 % (15–26 %, n = 210) of its leads were "
        "won, against 14 % of all."
    ]
    assert lines(CAME) == ["Fair – test: nothing that was won is known yet."]


@pytest.mark.parametrize(
    ("verdict", "n", "word"),
    [("supported", 120, "stop"), ("leaning", 120, "keep"), ("indistinguishable", 120, "keep"), ("refused", 40, "test")],
)
def test_a_channel_is_kept_with_enough_leads_and_tested_with_too_few(verdict: str, n: int, word: str) -> None:
    cost = {**COST, "estimate": 1_400, "low": 1_000, "high": 2_000, "effect": 500, "verdict": verdict, "n": n}
    line = lines({**CAME, "estimate": n}, {**CAME, "measure": "n_won", "estimate": 12}, {**cost, "needed_n": 100})
    assert line[0].startswith(
        f"Fair – {word}: EUR 1,400 a won deal (EUR 1,000–2,000; 12 of {n} leads won), against EUR 900"
    )


def test_money_that_won_nothing_is_no_missing_cost() -> None:
    cost = {**COST, "estimate": np.nan, "low": 4_000, "high": np.nan, "effect": 3_100, "verdict": "supported"}
    assert lines(CAME, {**CAME, "measure": "n_won", "estimate": 0}, cost) == [
        "Fair – stop: 0 of 120 leads were won, so a won deal costs more than EUR 4,000, against EUR 900 over the other "
        "channels."
    ]


def advised(market: str, out: Path) -> list[tuple[str, str, str]]:
    """Subject, channel and word of every line of the last plan."""
    settled(market, out, PLANNED, LAST)
    plan = pd.read_parquet(turn.plan(market, LAST, out) / "claims-plan.parquet")
    words = Words(read_definition(market))
    subjects = plan.loc[(plan["field"] == "channel") & (plan["measure"] == "n_leads"), "subject"].unique()
    return [(subject, one.channel, one.word) for subject in subjects for one in advise(plan, words, subject)]


def test_over_redraws_what_to_use_is_cheap_and_what_to_stop_is_dear(tmp_path: Path) -> None:
    told = pd.DataFrame(
        [row for drawn in over_redraws(tmp_path, SEEDS, advised, n_workers=1) for row in drawn],
        columns=["subject", "channel", "word"],
    )
    says = told["word"].isin(["use", "stop"])
    is_right = (told["word"] == "use") == told["channel"].isin(CHEAP)
    for name, part, least in (
        ("03", told["subject"] == "market", 0.60),
        ("briefs", told["subject"] != "market", 1 / 3),
    ):
        assert is_right[part & says].mean() >= 0.97, name
        assert says[part].mean() >= least, name
