"""The sections of 03 leads."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import bars, calibration
from closedloop.documents.pieces import Note, Sentence
from closedloop.documents.sections.section import Evidence, Pieces, Section, claim_pieces, lowest
from closedloop.documents.tables import table, with_interval


def _funnel(shown: Evidence) -> Pieces:
    frame = shown.table("funnel")
    remarks = [_of_before(row) for _, row in frame.iterrows()]
    rows = pd.DataFrame({"label": _status_names(frame), "n": frame["n"].to_numpy(), "remark": remarks})
    picture = bars(rows, "How far do leads come?", "leads", caption="In brackets: 90 % interval of the rate.")
    known = frame.iloc[1:][frame["rate"].iloc[1:].notna()]
    if known.empty:
        return (picture,)
    narrow = lowest(known, "rate")
    return picture, Sentence(f"The narrowest step is to {_status(narrow['status'])}: {_of_before(narrow)}.")


def _of_before(row: pd.Series) -> str:
    if numbers.is_missing(row["rate"]):
        return ""
    return f"{numbers.rate(row['rate'])} ({numbers.interval(row['low'], row['high'], 'rate', '')})"


def _status(name: object) -> str:
    return str(name).replace("_", " ")


def _status_names(frame: pd.DataFrame, column: str = "status") -> list[str]:
    return [_status(name) for name in frame[column]]


def _channels(shown: Evidence) -> Pieces:
    frame = shown.table("channels").sort_values("n_leads", ascending=False, kind="stable")
    columns = {"channel": "channel", "n_leads": "leads", "n_accepted": "accepted", "n_won": "won deals",
               "spent_amount": "spent", "cost_per_accepted_amount": "cost per accepted lead",
               "cost_per_won_amount": "cost per won deal"}  # fmt: skip
    named = frame.assign(channel=[shown.words.level("channel", value) for value in frame["channel"]])
    costs = named["cost_per_won_amount"] if "cost_per_won_amount" in named else pd.Series(dtype=float)
    if costs.notna().sum() < 2:
        return table(named, columns, shown.words), Sentence(
            "Costs cannot be compared: fewer than two channels have them."
        )
    best = lowest(named[costs.notna()], "cost_per_won_amount")
    cost = numbers.rounded_money(best["cost_per_won_amount"], shown.words.currency)
    text = f"Lowest cost per won deal: {best['channel']}, {cost} ({numbers.count(best['n_won'])} won deals)."
    return (
        table(named, columns, shown.words),
        Sentence(text),
        Note("Costs are totals of the window, not the price of one more deal."),
    )


def _findings(shown: Evidence) -> Pieces:
    claims = shown.of("accepted_rate", "won_rate")
    plain = claims[claims["kind"] != "causal"]
    told = plain[plain["measure"] == "won_rate"] if (plain["measure"] == "won_rate").any() else plain
    axis = (
        "share of leads that became a won deal"
        if len(told) and told["measure"].iloc[0] == "won_rate"
        else "share accepted"
    )
    return claim_pieces(told, shown.words, "Which leads become won deals?", axis)


def _accepted(shown: Evidence) -> Pieces:
    claims = shown.of("accepted_rate")
    title = "Which leads does sales accept?"
    return claim_pieces(claims[claims["kind"] != "causal"], shown.words, title, "share of handed-off leads accepted")


def _experiments(shown: Evidence) -> Pieces:
    frame = with_interval(shown.table("experiments"), shown.words, "rate", "rate")
    columns = {
        "experiment": "experiment",
        "arm": "arm",
        "n": "leads",
        "k": "successes",
        "interval": "rate (90 % interval)",
    }
    causal = shown.claims[shown.claims["kind"] == "causal"]
    pieces = claim_pieces(causal, shown.words, "What did the experiments show?", "rate")
    return (table(frame, columns, shown.words, units={"experiment": "label"}), *pieces)


def _quality(shown: Evidence) -> Pieces:
    columns = {"model": "model", "n": "cases", "brier": "Brier score", "ece": "calibration error",
               "auc": "AUC", "auc_within": "AUC within periods"}  # fmt: skip
    units = {"brier": "ratio", "ece": "ratio", "auc": "ratio", "auc_within": "ratio", "model": "label"}
    verdict = str(shown.result("score_verdict") or "not judged")
    kinds = {"probability": "as probabilities", "rank": "as ranks"} if verdict == "usable" else {}
    shown_as = kinds.get(str(shown.result("shown_as")), "not at all")
    return (table(shown.table("quality"), columns, shown.words, units=units),
            Sentence(f"Verdict: {verdict}; scores are shown {shown_as}."))  # fmt: skip


def _calibration(shown: Evidence) -> Pieces:
    frame = shown.table("calibration")
    inside = ((frame["predicted"] >= frame["low"]) & (frame["predicted"] <= frame["high"])).sum()
    picture = calibration(frame, "Do predicted rates come true?")
    return picture, Sentence(
        f"In {inside} of {len(frame)} groups the prediction lies within the 90 % interval of what happened."
    )


def _next_leads(shown: Evidence) -> Pieces:
    frame = next_leads(shown.table("next_leads"), shown)
    n, what = len(frame), str(shown.result("prospects") or "leads")
    text = f"{numbers.count(n)} open {what} in order; internal: record ids lead back to the CRM."
    columns = {"rank": "rank", "record_id": "record", "persona": "persona", "score": "score",
               "reasons": "why", "channel": "channel", "created_on": "created", "slot": "slot"}  # fmt: skip
    return table(frame, columns, shown.words, units={"score": "rate"}), Sentence(text)


def next_leads(frame: pd.DataFrame, shown: Evidence) -> pd.DataFrame:
    """The list to call with personas by name, without scores unless they are calibrated."""
    named = frame.assign(persona=[shown.words.name(str(value)) for value in frame["persona"]])
    return named if shown.result("shown_as") == "probability" else named.drop(columns="score", errors="ignore")


LEADS = (
    Section("leads", "funnel", "How far do leads come?", _funnel, ("funnel",)),
    Section("leads", "channels", "What does a channel cost and bring?", _channels, ("channels",)),
    Section("leads", "accepted", "Which leads does sales accept?", _accepted),
    Section("leads", "won", "Which leads become won deals?", _findings),
    Section("leads", "experiments", "What did the experiments show?", _experiments, ("experiments",)),
    Section("leads", "quality", "Can leads be ranked?", _quality, ("quality",)),
    Section("leads", "calibration", "Do predicted rates come true?", _calibration, ("calibration",)),
    Section("leads", "next_leads", "Whom to call first?", _next_leads, ("next_leads",)),
)
