"""What a channel costs, what to do with it, and what a decided deal brings: beside raw rows and the planted truth."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop import amounts, channels, open_period
from closedloop.claims.ledger import false_discovery_q
from closedloop.presentation.advice import advise
from closedloop.workbench.period import OpenPeriod
from scipy import stats

from tests.documents.ledger import claims, words
from tests.questions.periods import by_size, everyone, planning
from tests.redraws import over_redraws, redrawn, rooted

PLANNED, LOOKED_BACK, LAST = "2025-q4", "2025-q3", "2026-q1"
ON, FIRST = pd.Timestamp("2025-10-01"), pd.Timestamp("2024-10-01")  # the day of the plan, and where its window begins
CHEAP = {"referral", "partner", "webinar", "content", "search"}  # a won deal costs less than on average, by the truth
SEEDS = range(3001, 3021 if os.environ.get("CLOSEDLOOP_FULL") else 3002)


def priced(now: OpenPeriod) -> OpenPeriod:
    """The period, closed after what channels cost was compared, over all and for every persona."""
    frames = now.leads(window=False), now.spend(), now.deals()
    channels(*frames)
    channels(*frames, by_persona=True)
    now.close()
    return now


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpenPeriod, Path]]:
    """Harbor's own draw under another name: its costs as planned, and the market's folder."""
    place = tmp_path_factory.mktemp("drawn")
    market = redrawn(place, 2097)
    with rooted(place):
        yield priced(planning(market, PLANNED, by_size(), place / "runs")), place / "data" / market


@pytest.fixture(scope="module")
def raw(drawn: tuple[OpenPeriod, Path]) -> dict[str, pd.DataFrame]:
    """Raw leads and deals as known on the day, each once, with their persona; and the spend."""
    folder = drawn[1] / "raw"
    accounts, leads, deals, spend = (
        pd.read_csv(folder / f"{name}.csv", dtype=str) for name in ("accounts", "leads", "deals", "spend")
    )
    fields = accounts.rename(columns={
        "Site Type": "site_type", "Number of Sites": "sites", "Region": "region", "Automation": "automation",
        "Throughput": "throughput", "Integration in Place": "is_integrated",
    }).drop(columns="Created Date").drop_duplicates("Account ID")  # fmt: skip
    fields["automation"] = fields["automation"].where(fields["automation"] != "Select")
    leads = leads.dropna(subset="Lead ID").drop_duplicates("Lead ID").merge(fields, on="Account ID", how="left")
    deals = deals.drop_duplicates("Deal ID").merge(fields, on="Account ID", how="left")
    leads["persona"] = by_size().assign(leads.rename(columns={"Job Function": "role", "Original Source": "channel"}))
    deals["persona"] = by_size().assign(deals.rename(columns={"Product": "product"}))
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


def of_channels(now: OpenPeriod) -> pd.DataFrame:
    rows = now.claims[(now.claims["field"] == "channel") & now.claims["cell"].isin(["channels", "persona_channels"])]
    return rows.pivot_table(index=["subject", "level"], columns="measure", values="estimate")


def test_costs_are_those_of_the_raw_rows(drawn: tuple[OpenPeriod, Path], costs: pd.DataFrame) -> None:
    found = of_channels(drawn[0])
    assert len(costs) == 21
    shown = costs[costs["n"] >= 10]
    assert set(found.index) == set(shown.index)
    found = found.loc[shown.index]
    assert found["n_leads"].tolist() == shown["n"].tolist()
    assert found["n_won"].tolist() == shown["k"].tolist()
    cost = (shown["spent"] / shown["k"]).where(shown["k"] > 0)
    assert found["cost_per_won_amount"].to_numpy() == pytest.approx(cost.to_numpy(), rel=1e-6, nan_ok=True)


def test_a_channels_cost_moves_with_its_rate_of_success(drawn: tuple[OpenPeriod, Path], costs: pd.DataFrame) -> None:
    fair = costs.loc[("market", "trade_fair")]
    claim = drawn[0].claims.query("measure == 'cost_per_won_amount' and subject == 'market' and level == 'trade_fair'")
    p, n, z = fair["k"] / fair["n"], fair["n"], stats.norm.isf(0.05)
    middle, half = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))  # Wilson's interval
    ends = [fair["spent"] / n / ((middle + side * half) / (1 + z * z / n)) for side in (1, -1)]
    assert claim[["low", "high"]].to_numpy(float)[0] == pytest.approx(ends)


def test_each_channel_has_one_line_with_the_verdict_of_the_raw_rows(
    drawn: tuple[OpenPeriod, Path], costs: pd.DataFrame
) -> None:
    now, wanted = drawn[0], verdicts(costs)
    assert {"use", "stop"} <= set(wanted.values())
    whole, own = now.answers.values()
    page = repr(whole)
    said = dict(re.findall(r"^- (.+?) – (use|keep|test|stop): ", page, re.MULTILINE))
    assert said == {ch.replace("_", " ").capitalize(): wanted["market", ch] for ch in costs.loc["market"].index}
    table = repr(own)
    for persona in ("large", "small"):
        rows = costs.loc[persona]
        advice = advise(now.claims, now.words, persona)
        assert len(advice) == (rows["n"] >= 10).sum()
        for one in advice:
            mine, all_of = wanted[persona, one.channel], wanted["market", one.channel]
            expected = (all_of, True) if mine == "test" != all_of else (mine, False)
            assert (one.word, one.is_markets) == expected
            n, k = rows.loc[one.channel, ["n", "k"]].astype(int)
            assert f"{k} of {n} leads" in one.line.text, "how many were won stands in the line"
            assert re.search(
                rf"{persona.title()}, channel: {one.channel.replace('_', ' ')} .* {re.escape(one.mark)}\n", table
            )


def test_every_comparison_of_costs_can_be_made_again(drawn: tuple[OpenPeriod, Path], costs: pd.DataFrame) -> None:
    for answer in drawn[0].answers.values():
        for redraw in answer.redraws:
            spent = redraw.spent.groupby(redraw.groups).sum()
            assert spent.to_dict() == pytest.approx(costs.loc[redraw.subject, "spent"].astype(float).to_dict())
            assert redraw.ids.is_unique


def test_won_amounts_of_a_channels_decided_deals_are_those_of_the_raw_rows(
    drawn: tuple[OpenPeriod, Path], raw: dict[str, pd.DataFrame]
) -> None:
    deals = raw["deals"]
    decided = deals[deals["Deal Status"].isin(["Closed Won", "Closed Lost"])]
    decided = decided[decided["closed"].ge(FIRST) & decided["closed"].lt(ON)]
    channel = decided["Lead ID"].map(raw["leads"].set_index("Lead ID")["Original Source"])
    found = drawn[0].claims.query("measure == 'won_amount_per_decided' and cell == 'channels'")
    assert set(found["subject"]) == {"market", "large", "small"}
    plain = decided["amount"].groupby(channel).agg(["size", "sum"])
    whole = found[found["subject"] == "market"].set_index("level").loc[plain.index]
    assert whole["n"].tolist() == plain["size"].tolist()
    mean = plain["sum"] / plain["size"]
    assert ((whole["low"] < mean) & (mean < whole["high"])).all()


def test_won_amounts_per_decided_deal_are_those_of_the_raw_rows(
    drawn: tuple[OpenPeriod, Path], raw: dict[str, pd.DataFrame]
) -> None:
    deals = raw["deals"]
    decided = deals[deals["Deal Status"].isin(["Closed Won", "Closed Lost"])]
    decided = decided[decided["closed"].ge(FIRST) & decided["closed"].lt(ON)]
    now = open_period(drawn[0].market, LOOKED_BACK, "ended", notebook="05_deals", out=drawn[1].parents[1] / "back")
    now.personas = by_size()
    money = amounts(now.deals(), by="persona")
    now.close(money)
    found = money.claims[money.claims["measure"] == "won_amount_per_decided"].set_index(["field", "level"])
    assert found["family"].groupby("field").unique().map(list).to_dict() == {
        "": ["none"], "persona": ["how they end"], "product": ["none"],
    }  # fmt: skip
    for field, by in (("persona", decided["persona"]), ("product", decided["Product"])):
        sums = decided["amount"].groupby(by).agg(["size", "sum"])
        mine, plain = found.loc[field].loc[sums.index], sums["sum"] / sums["size"]
        assert mine["n"].tolist() == sums["size"].tolist()
        assert mine["estimate"].to_numpy() == pytest.approx(plain.to_numpy(), rel=0.15)
        assert ((mine["low"] < plain) & (plain < mine["high"])).all()
    whole = found.loc[("", "")]
    assert whole["n"] == len(decided)
    assert whole["estimate"] == pytest.approx(decided["amount"].sum() / len(decided), rel=0.05)
    line = next(text for text in repr(now.bottom_line()).splitlines() if "per decided deal" in text)
    ordered = found.loc["persona"].sort_values("estimate", ascending=False).index
    places = [line.index(f"{now.words.name(persona)} EUR") for persona in ordered]
    assert places == sorted(places)


def test_without_spend_or_channels_the_page_says_what_to_collect(
    drawn: tuple[OpenPeriod, Path], tmp_path: Path
) -> None:
    now = planning(drawn[0].market, "2024-q3", everyone(), tmp_path)
    free = channels(now.leads(window=False), now.spend().head(0))
    assert free.missing["cost"].startswith("No spend is recorded")
    assert free.compared.empty and "n_leads" in set(free.stated["measure"])
    bare = channels(now.leads(window=False).assign(channel="web"), now.spend())
    assert bare.missing["channels"] == (
        "The leads that had time to be won record fewer than two channels: collect `leads.channel`."
    )
    alone = channels(now.leads(window=False), now.spend(), by_persona=True)
    assert alone.missing["persona_channels"].startswith("Channels cannot be compared by persona")


def lines(*changes: dict[str, object], subject: str = "market") -> list[str]:
    """The lines on one channel whose ledger holds these claims, with plain spaces."""
    ledger = claims(*({"field": "channel", "level": "fair"} | change for change in changes))
    return [repr(one.line).replace("\N{NO-BREAK SPACE}", " ") for one in advise(ledger, words(), subject)]


CAME = {"measure": "n_leads", "unit": "count", "estimate": 120, "verdict": "counted", "family": "none"}
COST = {"measure": "cost_per_won_amount", "unit": "amount", "family": "how they end", "baseline": 900, "n": 120}
WON_RATE = {
    "measure": "won_rate",
    "family": "how they end",
    "estimate": 0.2,
    "low": 0.15,
    "high": 0.26,
    "baseline": 0.14,
}


def test_without_spend_the_share_of_leads_won_decides_for_everybody() -> None:
    assert lines(CAME, WON_RATE) == [
        "Fair – use: no spend is recorded; drawn toward all, 20 % (15–26 %, n = 210) of its leads whose end is known "
        "were won, against 14 % of all leads of like periods whose end is known."
    ]
    own = lines(CAME, {**CAME, "subject": "fast"}, WON_RATE, subject="fast")
    assert own == [
        "Fair – use, as for all personas together: no spend is recorded; drawn toward all, 20 % (15–26 %, n = 210) of "
        "its leads whose end is known were won, against 14 % of all leads of like periods whose end is known."
    ]
    assert lines(CAME) == ["Fair – test: nothing that was won is known yet."]


@pytest.mark.parametrize(
    ("verdict", "n", "word"),
    [("supported", 120, "stop"), ("leaning", 120, "test"), ("indistinguishable", 120, "keep"), ("refused", 40, "test")],
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
        "channels, 2024-q2 to 2025-q1."
    ]


def test_what_a_persona_itself_points_away_from_is_no_advice_for_it() -> None:
    held = {**COST, "estimate": 1_400, "low": 1_000, "high": 2_000, "verdict": "supported", "effect": 500.0}
    for effect, told in ((300.0, "Fair – stop, as for all personas together: "), (-300.0, "Fair – test: ")):
        own = {**held, "claim_id": "own", "subject": "fast", "verdict": "refused", "effect": effect}
        (line,) = lines(CAME, {**CAME, "claim_id": "came", "subject": "fast"}, held, own, subject="fast")
        assert line.startswith(told)


def advised(market: str, out: Path) -> list[tuple[str, str, str]]:
    """Subject, channel and word of every line of the last plan."""
    now = priced(planning(market, LAST, by_size(), out))
    subjects = ("market", "large", "small")
    return [(subject, one.channel, one.word) for subject in subjects for one in advise(now.claims, now.words, subject)]


def test_over_redraws_what_to_use_is_cheap_and_what_to_stop_is_dear(tmp_path: Path) -> None:
    found = pd.DataFrame(
        [row for drawn in over_redraws(tmp_path, SEEDS, advised, n_workers=1) for row in drawn],
        columns=["subject", "channel", "word"],
    )
    says = found["word"].isin(["use", "stop"])
    is_right = (found["word"] == "use") == found["channel"].isin(CHEAP)
    for name, part, least in (
        ("03", found["subject"] == "market", 0.60),
        ("personas", found["subject"] != "market", 1 / 3),
    ):
        assert is_right[part & says].mean() >= 0.97, name
        assert says[part].mean() >= least, name
