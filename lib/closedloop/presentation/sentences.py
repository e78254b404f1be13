"""Claims as sentences: which are told, with which figures, and whether they hold like for like."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.claims.ledger import COST, TURNS, UNLIKE, alike, turning
from closedloop.period.lead_records import OF_ALL_DRAWN
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Note, Sentence, span, stating
from closedloop.presentation.words import NAMED, Words, capital, everyone_of, measure_of
from closedloop.statistics.amounts import ONE_DEAL, UNEVEN
from closedloop.statistics.recording import FEW_RECORDED, FILLED
from closedloop.terms import Verdict

Claim = Mapping[str, Any]
_FEW_ROWS = 4  # a row takes 0.1 ms, all columns 0.5 ms
COUNTED_ONLY = "Counted, not tested: each interval is that of one rate, and none says whether two rates differ."
LEAST_COVERED = 0.05  # of a persona's members; what fewer have says nothing about it
_WORTH_RATIO: Mapping[str, str] = {COST: "twice the cost"}  # what ``needed_n`` of amounts and days is worked out for
_OF_CARDS = ("card_points", "card_chance")  # of leads or of deals, which have a card each
_DRAWN = ("won_amount", "won_amount_per_decided", "sales_cycle_days")  # means of groups, beside the plain one of all
_NO_FIELDS = ("arm", "model")  # arms and models are compared in one respect at a time, which is told beside it
_NEVER_MISSING = (*NAMED, "is_quarter_end")  # what every compared case has
_REASONS: Mapping[str, str] = {
    FEW_RECORDED: "fewer than ten of either outcome record it",
    FILLED: "hardly any of them ended otherwise, so it may be recorded because of the outcome",
    ONE_DEAL: "one deal makes over a third of the amount, so the mean has no interval",
    UNEVEN: "the amounts are too uneven (not log-normal) for an interval of their mean",
}
_WHOSE = ("subject", "field", "level")
NOTHING_SEEN, TOO_SMALL = "no detectable difference", "no difference that counts"
SURE = 0.10  # q of a difference that is shown
_NO_PREDICATES = ["the", "we", "more", "fewer", "higher", "lower", "come", "exclude", "differ"]  # "may be" fits none
_UNLIKE = "unlike"  # what is counted of supported differences that do not hold like for like


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts with text keys; few of them row by row and many column by column, which is quicker."""
    if len(frame) <= _FEW_ROWS:
        return [_record(frame, place) for place in range(len(frame))]
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(frame[name].tolist() for name in frame), strict=True)]


def _record(frame: pd.DataFrame, place: int) -> dict[str, Any]:
    values = (value.item() if isinstance(value, np.generic) else value for value in frame.iloc[place])
    return dict(zip(map(str, frame), values, strict=True))


def first(claims: pd.DataFrame, **wanted: str) -> Claim | None:
    """The first claim with these values (measure, field, level, subject ...); None when there is none."""
    places = np.flatnonzero(_has(claims, wanted))
    return _record(claims, int(places[0])) if len(places) else None


def where(claims: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The claims with these values."""
    return claims[_has(claims, wanted)]


def _has(claims: pd.DataFrame, wanted: Mapping[str, str]) -> NDArray[np.bool_]:
    """Which claims have these values."""
    found = np.ones(len(claims), dtype=bool)
    for name, value in wanted.items():
        found &= np.asarray(claims[name], dtype=object) == value
    return found


def held_back_told(names: Iterable[str], words: Words) -> list[Note]:
    """Which columns no comparison reads until people vouch for them; nothing where there is none."""
    said = ", ".join(words.column(name) for name in dict.fromkeys(names))
    return [Note(f"Held back until [checked] in market.toml vouches for them: {said}.")] if said else []


def telling(shares: pd.DataFrame, claims: pd.DataFrame, implied: pd.DataFrame) -> pd.DataFrame:
    """The attributes that describe a persona: at least one in twenty of its members has them, and not by its rule.

    ``shares``: claims on ``share``; ``claims``: those on ``n_members`` are among them; ``implied``: field and level of
    what the rule settles (table of 02 personas).
    """
    counted = where(claims, measure="n_members").set_index("subject")["estimate"]
    covered = shares["estimate"] * shares["n"].astype(float) / shares["subject"].map(counted).astype(float)
    settled = set(implied.itertuples(index=False, name=None))
    is_settled = [pair in settled for pair in zip(shares["field"], shares["level"], strict=True)]
    return shares[~(covered < LEAST_COVERED) & ~np.array(is_settled, dtype=bool)]


def value(claim: Claim | None, words: Words) -> str:
    """The estimate in its unit; a dash when there is none."""
    return numbers.MISSING if claim is None else numbers.written(claim["estimate"], claim["unit"], words.currency)


def ends(claim: Claim, words: Words) -> str:
    """Both ends of the 90 % interval."""
    return numbers.interval(claim["low"], claim["high"], claim["unit"], words.currency)


def backed(claim: Claim | None, words: Words) -> str:
    """The estimate with its 90 % interval and n: "44 % (38–50 %, n = 210)"; what a claim lacks is left out."""
    if claim is None or numbers.is_missing(claim["estimate"]):
        n = 0 if claim is None or numbers.is_missing(claim["n"]) else claim["n"]
        return f"too few to tell (n = {numbers.count(n)})"
    parts = [] if numbers.is_missing(claim["low"]) else [ends(claim, words)]
    parts += [] if numbers.is_missing(claim["n"]) or claim["verdict"] == "counted" else [cases(claim)]
    return f"{value(claim, words)} ({', '.join(parts)})" if parts else value(claim, words)


def on_scale(claim: Claim, *, with_n: bool = True) -> str:
    """A figure on a scale to 1 or around 0 with its interval: "0.95 (0.90 to 0.99, n = 300)"."""
    found, low, high = (numbers.decimal(claim[name]) for name in ("estimate", "low", "high"))
    n = f", {cases(claim)}" if with_n else ""
    return f"{found} ({low} to {high}{n})"


def ranged(claim: Claim | None, words: Words) -> str:
    """The estimate with its 90 % interval, without n: "44 % (38–50 %)"; alone where it is exact."""
    if claim is None:
        return numbers.MISSING
    if claim["unit"] == "ratio":
        return on_scale(claim, with_n=False)
    estimate = value(claim, words)
    return estimate if claim["low"] == claim["high"] else f"{estimate} ({ends(claim, words)})"


def cases(claim: Mapping[str, Any]) -> str:
    """How many cases are behind a claim, and of a weighted survey how many that is worth."""
    return numbers.sample(claim["n"], claim["n_effective"] if is_weighted(claim) else None)


def is_weighted(claim: Mapping[str, Any]) -> bool:
    """Is it of answers that count by their weights? Only answers to a survey have any."""
    return claim["source_table"] == "respondents" and not numbers.is_missing(claim["n_effective"])


def sentence(claim: Mapping[str, Any], words: Words) -> Sentence:
    """The one sentence that a claim allows, with its n, interval, baseline and period as far as it has them.

    ``claim``: a row of the claims frame. Only a supported claim is stated; only a causal one says because.
    """
    measure, who = measure_of(named(claim)), about(claim, words)
    verdict = Verdict(claim["verdict"])
    if verdict is Verdict.REFUSED:
        text = _refused(claim, words)
    elif is_small(claim):
        text = f"{who}, {measure.name} – {TOO_SMALL}: {_against(claim, words)} ({evidence_of(claim, words)})."
    elif verdict is Verdict.INDISTINGUISHABLE:
        difference = claim["visible_difference"]
        shown = numbers.points(difference) if claim["unit"] == "rate" else _value(claim, "visible_difference", words)
        everyone = f"{_value(claim, 'baseline', words)} {_everyone(claim, words)}"
        could = f"{cases(claim)} could show {shown} or more, {span(claim)}"
        text = f"{who}, {measure.name} – {NOTHING_SEEN} from {everyone} ({could})."
    elif verdict in (Verdict.ESTIMATED, Verdict.COUNTED):
        is_alone = numbers.is_missing(claim["baseline"])
        found = _value(claim, "estimate", words) if is_alone else _against(claim, words)
        backing = evidence_of(claim, words) if verdict is Verdict.ESTIMATED else span(claim)
        of = f" for {claim['source_table']}" if claim["measure"] in _OF_CARDS else ""
        text = f"{who} – {measure.name}{of}: {found} ({backing})."
    else:
        difference = measure.more if claim["effect"] >= 0 else measure.less
        cause = ", because of it" if claim["kind"] == "causal" else ""
        said, tail = (f"{difference}{cause}", "")
        if verdict is Verdict.LEANING:
            perhaps = "perhaps" if difference.split()[0] in _NO_PREDICATES else "may be"
            said, tail = f"{perhaps} {difference}", " Watch it, do not act on it yet."
        text = f"{who} – {said}: {_against(claim, words)} ({evidence_of(claim, words)}).{tail}"
    return stating(text, claim)


def is_small(claims: Any) -> Any:
    """Is a difference shown, and too small to count? Of one claim, or of each row of a frame."""
    return (claims["verdict"] == "indistinguishable") & (claims["q"] <= SURE)


def no_difference(claim: Mapping[str, Any]) -> str:
    """Of a claim that is indistinguishable: is nothing to be seen, or something that is too small to count?"""
    return TOO_SMALL if is_small(claim) else NOTHING_SEEN


def recorded(claim: Mapping[str, Any], words: Words) -> Sentence:
    """That a field is recorded more often for one outcome, and what it is compared among therefore."""
    cases = str(claim["source_table"])
    won, others = ("won", "lost") if cases == "deals" else ("accepted", "given-back")
    shares = f"{_value(claim, 'estimate', words)} of {won} and {_value(claim, 'baseline', words)} of {others} {cases}"
    name = capital(words.column(str(claim["field"])))
    text = f"{name} is recorded in {shares} ({span(claim)}): it is compared among those that record it."
    return stating(text, claim)


def why_not(claim: Mapping[str, Any]) -> str:
    """What hinders a comparison, or an interval, beside the number of cases."""
    return _REASONS[str(claim["reason"])]


def not_compared(claims: pd.DataFrame, words: Words) -> Sentence:
    """Why the levels of a field cannot be compared; ``claims``: those on one measure that have one reason."""
    column, reason = str(claims["field"].iloc[0]), str(claims["reason"].iloc[0])
    named = ", ".join(words.level(column, level) for level in claims["level"])
    what = capital(words.column(column)) if reason == FEW_RECORDED else f"{capital(words.column(column))}: {named}"
    measure = "" if claims["unit"].iloc[0] == "rate" else f", {measure_of(str(claims['measure'].iloc[0])).name}"
    return stating(f"{what}{measure} – cannot be compared: {_REASONS[reason]}.", claims)


def sentences(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """``sentence`` of every row, in the frame's order."""
    return [sentence(claim, words) for claim in records(claims)]


def about(claim: Mapping[str, Any], words: Words) -> str:
    """Whom or what a claim speaks about, as the beginning of a sentence."""
    subject, column, level = ("" if numbers.is_missing(claim[name]) else str(claim[name]) for name in _WHOSE)
    parts = [] if subject in ("", "market") else [words.told(subject)]
    parts += [words.condition(column, level)] if column else []
    is_within = not numbers.is_missing(claim["within"]) and bool(claim["within"])
    parts += [f"within {words.column(str(claim['within']))}"] if is_within else []
    chosen = claim.get("among")
    parts += [f"among {chosen}"] if not numbers.is_missing(chosen) and chosen else []
    return capital(", ".join(parts) or words.definition.title)


def named(claim: Mapping[str, Any]) -> str:
    """The name of the claim's measure: of an arm some are of all its leads, and called so."""
    measure = str(claim["measure"])
    return f"arm_{measure}" if claim["field"] == "arm" and measure in OF_ALL_DRAWN else measure


def evidence_of(claim: Mapping[str, Any], words: Words) -> str:
    """Interval, n and period of a claim, for brackets; and how many of its cases were known a period ago.

    Windows overlap, and what comes back is no new evidence.
    """
    level = "95 %" if claim["measure"] in TURNS.values() else "90 %"
    ends = numbers.interval(claim["low"], claim["high"], str(claim["unit"]), words.currency)
    is_of_arms = claim["kind"] == "causal" and claim["family"] != "none"
    parts = [] if numbers.is_missing(claim["low"]) else [f"{level} interval {ends}"]
    parts += [] if numbers.is_missing(claim["n"]) else [f"{cases(claim)}{' in the smaller arm' if is_of_arms else ''}"]
    parts += [f"no interval: {why_not(claim)}"] if not parts[:-1] and claim["reason"] else []
    told = ", ".join([*parts, span(claim)])
    if numbers.is_missing(claim["n_before"]):
        return told
    known = f"{numbers.count(claim['n_before'])} of {numbers.count(claim['n'])} {claim['source_table']}"
    return f"{told}; {known} were known a period ago"


def _value(claim: Mapping[str, Any], name: str, words: Words) -> str:
    return numbers.written(claim[name], str(claim["unit"]), words.currency)


def _everyone(claim: Mapping[str, Any], words: Words) -> str:
    """What the baseline is: all cases that record the field, or the arm that a drawn one is compared with."""
    if claim["kind"] == "causal":
        return f"with {other_arm(claim, words)}"
    everyone = everyone_of(claim)
    if claim["unit"] == "rate" and not numbers.is_missing(claim["within"]) and claim["within"]:
        return everyone.replace("of all deals", f"of deals of the same {words.column(str(claim['within']))}")
    if not numbers.is_missing(claim["against"]) and claim["against"]:
        return f"{everyone} {claim['against']}"
    is_compared = not numbers.is_missing(claim["n_effective"]) and not is_weighted(claim)
    return f"{everyone} that record it" if is_compared and claim["field"] not in _NEVER_MISSING else everyone


def other_arm(claim: Mapping[str, Any], words: Words) -> str:
    """The arm that a drawn one is compared with, by its name; else all the others."""
    named = claim["against"] if not numbers.is_missing(claim["against"]) else ""
    return f"“{words.level('arm', named)}”" if named else "all other arms"


def _against(claim: Mapping[str, Any], words: Words) -> str:
    everyone = _everyone(claim, words)
    found, base = (_value(claim, name, words) for name in ("estimate", "baseline"))
    if claim["unit"] == "rate":
        found, base = numbers.rates_apart(claim["estimate"], claim["baseline"])
    found += ", drawn toward all," if claim["measure"] in _DRAWN and claim["family"] != "none" else ""
    return f"{found} against {base} {everyone}"


def _refused(claim: Mapping[str, Any], words: Words) -> str:
    what = f"{about(claim, words)}, {measure_of(named(claim)).name}"
    if reason := _REASONS.get(claim["reason"]):
        return f"{what} – cannot be compared: {reason} ({span(claim)})."
    found = f"{what} – cannot tell: {cases(claim)}"
    if numbers.is_missing(claim["needed_n"]):
        return f"{found} ({span(claim)})."
    points = f"a difference of {numbers.points(words.definition.claims.smallest_worth)}"
    ratio = _WORTH_RATIO.get(str(claim["measure"]), "a difference of a quarter")
    worth = points if claim["unit"] == "rate" else ratio
    needed = numbers.count(claim["needed_n"])
    enough = (claim["n_effective"] if is_weighted(claim) else claim["n"]) >= claim["needed_n"]
    lack = "and the test could not be made" if enough else f"needs about {needed} for {worth}"
    return f"{found}, {lack} ({span(claim)})."


def one_of_each_pair(claims: pd.DataFrame, words: Words) -> pd.DataFrame:
    """Claims without the no of a survey question whose yes is there as well: it says the same twice."""
    answers = pd.Series([words.level(str(f), v) for f, v in zip(claims["field"], claims["level"], strict=True)])
    answers.index = claims.index
    keys = claims["subject"].astype(str) + "/" + claims["field"].astype(str)
    mirrored = (answers == "no") & keys.isin(keys[answers == "yes"])
    return claims[~mirrored]


def joined(sentences: Sequence[Sentence]) -> Sentence:
    """Several sentences as one paragraph."""
    ids = [name for said in sentences for name in said.claims]
    return Sentence(" ".join(said.text for said in sentences), tuple(dict.fromkeys(ids)))


def summary(claims: pd.DataFrame, words: Words, ledger: pd.DataFrame | None = None) -> list[Sentence]:
    """How many comparisons were made and what became of them; by which fields nothing was shown to differ.

    ``claims``: claims outside families are not comparisons and are left out. ``ledger``: where it stands what becomes
    of their differences like for like; ``claims`` themselves unless given.
    """
    looked = claims[claims["family"] != "none"]
    if looked.empty:
        return [Sentence("Nothing could be compared yet: no evidence.")]
    is_unlike = (looked["verdict"] == "supported") & turning(looked, claims if ledger is None else ledger)
    verdicts = looked["verdict"].mask(is_unlike, _UNLIKE).mask(is_small(looked), TOO_SMALL).value_counts()
    said = {"supported": "hold{s}", _UNLIKE: "do{es} not hold, or may not, like for like", "leaning": "to watch",
            "indistinguishable": f"show{{s}} {NOTHING_SEEN}", TOO_SMALL: f"show{{s}} {TOO_SMALL}",
            "refused": "cannot be told"}  # fmt: skip
    counted = {verdict: int(verdicts.get(verdict, 0)) for verdict in said}
    parts = [
        f"{n} {said[verdict].format(s='s' * (n == 1), es='es' * (n == 1))}"
        for verdict, n in counted.items()
        if n or verdict not in (_UNLIKE, TOO_SMALL)
    ]
    told = [stating(f"We looked at {numbers.plural(len(looked), 'comparison')}: {', '.join(parts)}.", looked)]
    is_shown = looked["verdict"] == "supported"
    hidden = where(claims if ledger is None else ledger, measure=TURNS["yes"])  # differences that a count hides
    held = {*looked.loc[is_shown, "field"], *hidden["field"], *_NO_FIELDS}
    fields = [str(field) for field in dict.fromkeys(looked["field"].dropna()) if field and field not in held]
    without = [f"“{name}”" if name.endswith("?") else name for name in map(words.column, fields)]
    worth = words.definition.claims.smallest_worth
    base = looked["baseline"].astype("float64")  # of rare outcomes a smaller difference is one: 4 p (1 - p) of it
    if without and not is_shown.any() and alike(looked, worth * 4 * base * (1 - base)).all():
        nothing = f"Nothing differs by {numbers.points(worth)} or more by {_listed(without)}: treat all alike."
        return [*told, stating(nothing, looked)]
    return [*told, *([stating(f"Nothing was shown to differ by {_listed(without)}.", looked)] if without else [])]


def _listed(names: list[str], most: int = 5) -> str:
    shown = names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} other fields"]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def turned(claim: dict[str, object], words: Words) -> Sentence:
    """What becomes of a difference once like is compared with like; ``claim``: one on ``TURNS`` of ``UNLIKE``."""
    within, counted = (numbers.signed_points(claim[name]) for name in ("estimate", "baseline"))
    is_hidden = abs(float(str(claim["baseline"]))) < words.definition.claims.practical_threshold
    said = {
        TURNS["yes"]: "the count hides a difference" if is_hidden else "the difference turns round",
        TURNS["nothing"]: "nothing worth knowing is left of the difference",
        TURNS["maybe"]: "the difference may not hold",
    }[str(claim["measure"])]
    text = f"{about(claim, words)} – {said}: {within} from like others, {counted} from all others as counted"
    return stating(f"{text} ({evidence_of(claim, words)}).", claim)


def unlike(ledger: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """What becomes of these differences that do not hold like for like, the surest answer of each first."""
    measures = [TURNS[answer] for answer in UNLIKE]
    found = ledger[ledger["measure"].isin(measures)].drop_duplicates(["measure", "field", "level", "within"])
    found = found.assign(_order=found["measure"].map(measures.index)).sort_values("_order", kind="stable")
    pairs = set(zip(claims["field"], claims["level"], strict=True))
    is_asked = [pair in pairs for pair in zip(found["field"], found["level"], strict=True)]
    return found[pd.Series(is_asked, index=found.index, dtype=bool)].drop(columns="_order")


def honestly(claims: pd.DataFrame, ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """The sentence of every claim; in the same breath that it does not hold, or that its field is recorded unevenly."""
    is_turned = turning(claims, ledger)
    uneven = ledger[(ledger["measure"] == "recorded_share") & (ledger["verdict"] == "supported")]
    told = []
    for place, (claim, turns) in enumerate(zip(records(claims), is_turned, strict=True)):
        said = [sentence(claim, words)]
        if turns:
            said += [turned(row, words) for row in records(unlike(ledger, claims.iloc[[place]]))]
        is_own = (uneven["field"] == claim["field"]) & (uneven["source_table"] == claim["source_table"])
        said += [recorded(row, words) for row in records(uneven[is_own].head(1))]
        told.append(joined(said))
    return told


def holding(claims: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The supported claims among these that hold like for like too."""
    held = claims[claims["verdict"] == "supported"]
    return held[~turning(held, ledger)]


def firm(claims: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The claims without differences that may not hold: those are no advice."""
    is_difference = claims["verdict"].isin(["supported", "leaning"])
    return claims[~(is_difference & turning(claims, ledger, "maybe"))]
