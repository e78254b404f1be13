"""Assignment rules in the market's words, each line true by itself, in whatever order it is read."""

from collections.abc import Sequence

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.persona_names import SURELY, is_most
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import Words, records
from closedloop.evidence.conditions import Among, Between, Condition
from closedloop.evidence.rules import Branch, Rule

THE_REST = "everyone whom no other rule takes"


def rule_sentences(rule: Rule, words: Words) -> dict[str, list[str]]:
    """Persona -> the ways to recognise it, in the market's words; the default persona also takes the rest."""
    ways: dict[str, list[str]] = {}
    for i, branch in enumerate(rule.branches):
        conditions, but = _alone(branch, rule.branches[:i])
        parts = [_condition(condition, words) for condition in conditions] or ["everyone"]
        ways.setdefault(branch.label, []).append("; ".join([*parts, *(f"but not {_condition(c, words)}" for c in but)]))
    ways.setdefault(rule.default, []).append(THE_REST if rule.branches else "everyone")
    return ways


def makeup(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """What most of a persona are by each field of its rule, what sets it most apart first.

    ``claims``: its own on ``member_share``. Where most have no level in common, the levels that are more common than
    among all are told: "mostly job: blue-collar (69 % of them)", "often education: 4 years (35 %) or 6 years (21 %)".
    """
    apart = claims.assign(apart=claims["estimate"] - claims["baseline"])
    found: list[tuple[float, Sentence]] = []
    for name, part in apart.sort_values("estimate", ascending=False, kind="stable").groupby("field", sort=False):
        top = records(part.head(1))[0]
        if is_most(top["estimate"]):
            extent = "" if top["estimate"] >= SURELY else "mostly "
            text = f"{extent}{words.condition(str(name), top['level'])} ({numbers.rate(top['estimate'])} of them)"
            found.append((top["apart"], stating(text, top)))
            continue
        common = part[part["apart"] > 0].head(2)
        listed = [f"{words.level(str(name), c['level'])} ({numbers.rate(c['estimate'])})" for c in records(common)]
        if listed:
            text = f"often {words.column(str(name))}: {' or '.join(listed)}"
            found.append((common["apart"].max(), stating(text, common)))
    return [said for _, said in sorted(found, key=lambda one: -one[0])]


def _alone(branch: Branch, earlier: Sequence[Branch]) -> tuple[list[Condition], list[Condition]]:
    """What a branch asks when it is read without those before it: its conditions, and what it leaves to others.

    Of several conditions on the levels of one field the common levels stay. A branch before it that asks the same
    and one thing more has taken those cases.
    """
    held = _joined(branch.conditions)
    but: list[Condition] = []
    for other in earlier:
        taken = _more(_joined(other.conditions), _joined(branch.conditions))
        if other.label == branch.label or taken is None:
            continue
        same = next((c for c in held if isinstance(c, Among) and c.field == taken.field), None)
        if isinstance(taken, Among) and same is not None:
            held[held.index(same)] = same.both(taken.opposite())
        else:
            but.append(taken)
    return held, but


def _more(conditions: Sequence[Condition], than: Sequence[Condition]) -> Condition | None:
    """The one condition by which a branch asks more ``than`` another: one added, or fewer levels of one field."""
    added, lacking = ([c for c in one if c not in other] for one, other in ((conditions, than), (than, conditions)))
    if len(added) != 1 or len(lacking) > 1:
        return None
    is_narrower = all(
        isinstance(wide, Among) and wide.field == narrow.field and _within(narrow, wide)
        for wide, narrow in zip(lacking, added, strict=False)
    )
    return added[0] if is_narrower else None


def _within(narrow: Condition, wide: Among) -> bool:
    return isinstance(narrow, Among) and narrow.is_within(wide)


def _joined(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions with one for the levels of each field."""
    found: list[Condition] = []
    for condition in conditions:
        same = next((c for c in found if isinstance(c, Among) and c.field == condition.field), None)
        if isinstance(condition, Among) and same is not None:
            found[found.index(same)] = same.both(condition)
        else:
            found.append(condition)
    return found


def _condition(condition: Condition, words: Words) -> str:
    label = words.column(condition.field)
    if isinstance(condition, Between):
        return condition.sentence().replace(condition.field, label, 1)
    levels, gaps = [words.level(condition.field, level) for level in condition.levels], ["not recorded"]
    if condition.others:
        levels = [f"none of {', '.join(levels)}" if levels else "any recorded"]
    return f"{label}: {' or '.join([*levels, *(gaps if condition.missing else [])])}"
