"""The sections of 03 leads."""

from collections.abc import Callable, Mapping

from closedloop.documents import numbers
from closedloop.documents.arms import compared_by, winners
from closedloop.documents.channel_advice import advise
from closedloop.documents.charts import calibration
from closedloop.documents.findings import Claim, Column, backed, ends, joined, table_of, value, where
from closedloop.documents.measures import measure_of
from closedloop.documents.pieces import Listing, Note, Piece, Sentence, stating
from closedloop.documents.planned_tests import planned_tests
from closedloop.documents.sections.conversions import conversions, uncovered
from closedloop.documents.sections.leaks import LEAKS
from closedloop.documents.sections.section import (
    Evidence,
    Pieces,
    Section,
    claim_pieces,
    level_of,
    recording,
    status_bars,
)
from closedloop.documents.tables import record_table
from closedloop.documents.wording import records, sentence
from closedloop.loop.comparisons import CONVERSION
from closedloop.terms import Verdict

_MOST_CELLS = 40  # personas by channels
_MOST_TO_WAKE = 5


def _funnel(shown: Evidence) -> Pieces:
    rates = shown.of("conversion_rate")
    caption = "Percent: share of the status before, with its 90 % interval."
    picture = status_bars(shown.of("n_reached"), rates, shown.words, "How far do leads come?", caption)
    if rates.empty:
        return (picture,)
    narrow = records(rates.sort_values("estimate", kind="stable").head(1))[0]
    text = f"The narrowest step is to {level_of(shown.words)(narrow)}: {backed(narrow, shown.words)}."
    return picture, stating(text, narrow)


def _channels(shown: Evidence) -> Pieces:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_leads": "leads",
        "n_accepted": "accepted",
        "n_won": "won deals",
        "spent_amount": "spent",
        "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
        "cost_per_won_amount": ("cost per won deal", "backed"),
        "won_amount_per_decided": ("won per decided deal of the window", "backed"),
        "advice": ("what to do", _marks(shown)),
    }
    channels = where(shown.cell("channels"), field="channel", subject="market")
    listed = table_of(channels, shown.words, "channel", columns, label=level_of(shown.words))
    lines = Listing([advice.line for advice in advise(shown.claims, shown.words)])
    note = (
        "Use or stop: a won deal costs less or more than over the other channels, by more than the luck of both. Keep: "
        "no such difference, though there were enough to show twice the cost. Test: too few. Costs are totals, not the "
        "price of one more deal."
    )
    return listed, lines, *_matured(shown), Note(note)


def _marks(shown: Evidence) -> Column:
    """What to do with a row's channel, for the row's persona or the market."""
    subjects = shown.of("n_leads").loc[lambda claims: claims["field"] == "channel", "subject"].unique()
    marks = {
        (subject, advice.channel): advice.mark
        for subject in map(str, subjects)
        for advice in advise(shown.claims, shown.words, subject)
    }

    def told(row: Mapping[str, Claim]) -> str:
        claim = next(iter(row.values()))
        return marks.get((str(claim["subject"]), str(claim["level"])), numbers.MISSING)

    return told


def _matured(shown: Evidence) -> list[Sentence]:
    """Which leads and which money count."""
    wait, left_out = shown.first("days_to_win"), uncovered(shown, "channels")
    if wait is None:
        return left_out
    text = (
        f"Counted are {numbers.count(wait['n'])} leads that had {value(wait, shown.words)} to be won, and the money of "
        "the same days: by then nine of ten won leads had been won, of the slowest channel too. Later leads, and what "
        "they cost, are left out."
    )
    return [stating(text, wait), *left_out]


def _persona_channels(shown: Evidence) -> Pieces:
    claims = shown.of("persona_accepted_rate")
    rows = shown.cell("persona_channels")
    columns: dict[str, str | tuple[str, Column]] = {
        "n_leads": "leads",
        "n_won": "won deals",
        "persona_accepted_rate": ("accepted (90 % interval)", "backed"),
        "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
        "cost_per_won_amount": ("cost per won deal", "backed"),
        "advice": ("what to do", _marks(shown)),
    }
    listed = table_of(rows[rows["field"] == "channel"], shown.words, "persona and channel", columns, limit=_MOST_CELLS)
    title, axis = "Which channels and campaigns suit whom?", "share of the persona's leads accepted"
    note = (
        "A lead of a channel is taken to cost the same whoever it is. Leads, won deals and costs are of leads that had "
        "time to be won; acceptance is of the latest. Where a persona has too few won deals, all personas decide."
    )
    return listed, *claim_pieces(claims, shown.words, title, axis), Note(note)


def _findings(shown: Evidence) -> Pieces:
    if len(shown.of(CONVERSION)):
        return conversions(shown, "won")
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
    plain = claims[claims["kind"] != "causal"]
    return *claim_pieces(plain, shown.words, title, "share of handed-off leads accepted"), *recording(shown)


def _experiments(shown: Evidence) -> Pieces:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_arm_leads": "leads drawn",
        "arm_accepted_rate": ("accepted (90 % interval)", "backed"),
        "n_arm_accepted": "accepted leads",
        "arm_qualified_rate": ("qualified (90 % interval)", "backed"),
        "arm_won_rate": ("won (90 % interval)", "backed"),
    }
    listed = table_of(shown.of(*columns), shown.words, "experiment and arm", columns)
    causal = where(shown.claims, kind="causal").loc[lambda claims: claims["family"] != "none"]
    told = [*winners(shown.claims, shown.words), *_uneven(shown), *compared_by(shown.claims, shown.words)]
    judged: list[Piece] = []
    for measure in causal["measure"].unique():
        name = measure_of(measure).name
        title = f"What did the experiments show: {name}?"
        judged += claim_pieces(where(causal, measure=measure), shown.words, title, name)
    return *((Listing(told),) if told else ()), listed, *judged


def _uneven(shown: Evidence) -> list[Sentence]:
    """Arms that are not as large as they were drawn."""
    tail = "Leads of an arm may be lost: find out why before you rely on the comparison."
    held = where(shown.of("arm_share"), verdict="supported")
    return [joined([sentence(claim, shown.words), Sentence(tail)]) for claim in records(held)]


def _tests(shown: Evidence) -> Pieces:
    told = planned_tests(shown.claims, shown.words)
    note = "Sizes find the difference that the data point to in eight of ten tests, and err in one of ten without any."
    return Listing(told), Note(note)


def _quality(shown: Evidence) -> Pieces:
    claims = shown.cell("quality")
    columns: dict[str, str | tuple[str, Column]] = {
        "brier": "Brier score",
        "ece": "calibration error",
        "auc": ("AUC", _with_ends(shown, "auc")),
        "auc_within": ("AUC within periods", _with_ends(shown, "auc_within")),
        "gain_over_base_rate": ("log-loss gained", _with_ends(shown, "gain_over_base_rate")),
        "n": ("cases", lambda row: numbers.count(next(iter(row.values()))["n"])),
    }
    listed = table_of(claims, shown.words, "model", columns, label=level_of(shown.words))
    verdict = score_verdict(shown)
    kinds = {"probability": "as probabilities", "rank": "as ranks"} if verdict == "usable" else {}
    shown_as = kinds.get(str(shown.result("shown_as")), "not at all")
    chosen = claims[claims["level"] == str(shown.result("model"))]
    said = stating(f"Verdict: {verdict}; scores are shown {shown_as}.", shown.of("score_auc"), chosen)
    return listed, said, *_over_stage(shown)


def score_verdict(shown: Evidence) -> str:
    """What the score's verdict says: usable only where its advantage over chance holds as a claim."""
    found = shown.first("score_auc")
    verdict = str(shown.result("score_verdict") or "not judged")
    is_held = found is not None and found["verdict"] == Verdict.SUPPORTED and found["effect"] > 0
    return verdict if verdict != "usable" or is_held else "not shown to be usable"


def _over_stage(shown: Evidence) -> list[Sentence]:
    """Does the score tell more than the stage that sales already sees?"""
    gain = shown.first("gain_over_stage")
    by = {name: shown.first("auc_open", level=name) for name in ("score", "stage")}
    if gain is None or by["score"] is None or by["stage"] is None:
        return []
    told = f"AUC {value(by['score'], shown.words)} by score, {value(by['stage'], shown.words)} by stage"
    text = f"Deals open when the last period began and decided since: {told}; gain {backed(gain, shown.words)}. "
    if gain["verdict"] == Verdict.SUPPORTED:
        text += f"Once a deal is open, the score tells {'more' if gain['effect'] > 0 else 'less'} than its stage."
    else:
        text += "Which of the two tells more cannot be told."
    return [stating(text, gain, by["score"], by["stage"])]


def _with_ends(shown: Evidence, measure: str) -> Callable[[Mapping[str, Claim]], str]:
    """A row's figure with its 90 % interval."""

    def told(row: Mapping[str, Claim]) -> str:
        claim = row.get(measure)
        return numbers.MISSING if claim is None else f"{value(claim, shown.words)} ({ends(claim, shown.words)})"

    return told


def _calibration(shown: Evidence) -> Pieces:
    rows = shown.of("observed_rate").rename(columns={"baseline": "predicted", "estimate": "observed"})
    picture = calibration(rows, "Do predicted rates come true?")
    inside = shown.first("n_groups_inside")
    if inside is None:
        return (picture,)
    told = f"In {numbers.count(inside['estimate'])} of {numbers.count(inside['n'])} groups"
    return picture, stating(f"{told} the prediction lies within the 90 % interval of what happened.", inside)


def _next_leads(shown: Evidence) -> Pieces:
    frame = shown.table("next_leads")
    what = str(shown.result("prospects") or "leads")
    text = f"{numbers.count(len(frame))} open {what} in order; internal: record ids lead back to the CRM."
    claims = {name: shown.first(name) for name in ("n_listed", "median_age_days", "n_drawn", "n_to_hand_off")}
    age, drawn, others = claims["median_age_days"], claims["n_drawn"], claims["n_to_hand_off"]
    if age is not None:
        text += f" The median one is known for {value(age, shown.words)}."
    if drawn is not None:
        text += f" {numbers.count(drawn['estimate'])} of them are drawn, whatever their rank."
    if others is not None and others["estimate"] > 0:
        text += (
            f" {numbers.count(others['estimate'])} more are qualified but not handed off: they are marketing's to hand "
            "over, not sales' to call."
        )
    return record_table(frame, shown.words), stating(text, *(claim for claim in claims.values() if claim is not None))


def _wake_up(shown: Evidence) -> Pieces:
    n, oldest = shown.first("n_wake_up"), shown.first("oldest_days")
    if n is None or oldest is None or n["estimate"] == 0:
        return (stating("Nobody waits for so long that a call would come unprepared.", shown.of("n_wake_up")),)
    text = (
        f"{value(n, shown.words)} open ones are known for more than {value(oldest, shown.words)}: warm them up first, "
        "or give them back. The file wake-up-list.csv holds them all."
    )
    return record_table(shown.table("wake_up"), shown.words, limit=_MOST_TO_WAKE), stating(text, n, oldest)


LEADS = (
    Section("leads", "funnel", "How far do leads come?", _funnel, measures=("n_reached",)),
    Section("leads", "channels", "What does a channel cost and bring?", _channels, measures=("n_leads",)),
    Section("leads", "accepted", "Which leads does sales accept?", _accepted),
    Section("leads", "won", "Which leads become won deals?", _findings),
    Section(
        "leads", "persona_channels", "Which channel suits whom?", _persona_channels, measures=("persona_accepted_rate",)
    ),
    Section(
        "leads",
        "experiments",
        "What did the experiments show?",
        _experiments,
        measures=("n_arm_leads",),
        gaps=("arm_outcomes", "arm_amounts"),
    ),
    Section("leads", "tests", "Which test would settle what is open?", _tests, measures=("test_weeks", "wait_weeks")),
    *LEAKS,
    Section("leads", "quality", "Can leads be ranked?", _quality, measures=("brier",), gaps=("over_stage",)),
    Section("leads", "calibration", "Do predicted rates come true?", _calibration, measures=("observed_rate",)),
    Section("leads", "next_leads", "Whom to call first?", _next_leads, ("next_leads",)),
    Section("leads", "wake_up", "Whom to wake up?", _wake_up),
)
