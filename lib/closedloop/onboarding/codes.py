"""Codes of a survey's answers and their labels: told beside the question, in a file of labels, or by a person."""

import re
from collections.abc import Iterable

from closedloop.onboarding.look import Look
from closedloop.onboarding.recognise import plain, systems

_LABEL = re.compile(r"(?<![\w.])(\d{1,3})\s*(?:[=:]\s*|\s[-–]\s+)([^,;|()\n]+)")
Labels = dict[str, str]


def labels_in(text: str) -> Labels:
    """The labels by code that a text tells: "1 = small, 2 = large"."""
    return {code: label.strip() for code, label in _LABEL.findall(text)}


def written(labels: Labels) -> str:
    """Labels as a text that tells them."""
    return ", ".join(f"{code} = {re.sub('[,;|()]', ' ', label)}" for code, label in labels.items())


def labels_of(looks: Iterable[Look]) -> dict[str, Labels]:
    """The labels by question (its plain letters) of files that have a line for each question, code and label."""
    found: dict[str, Labels] = {}
    for look in looks:
        called = [systems()["labels"][name] for name in ("question", "code", "label")]
        columns = [next((name for name in look.texts if plain(name) in names), "") for names in called]
        if all(columns):
            for question, code, label in zip(*(look.texts[column] for column in columns), strict=True):
                if question and code and label:
                    found.setdefault(plain(question), {})[code.strip()] = label.strip()
    return found
