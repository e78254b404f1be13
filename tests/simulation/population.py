"""Accounts and survey answers of a simulated market: four hidden segments with needs and firmographics."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .draws import Draws, Floats, Texts
from .truth import Truth, day_number

FIRMOGRAPHICS = ("site_type", "sites", "automation", "throughput")


def draw_accounts(truth: Truth) -> pd.DataFrame:
    """Return one row per account with its hidden `segment` and the `pull` that brings it leads.

    Days are counted from 1970-01-01.
    """
    window, draws = truth["window"], Draws(truth["seed"], "accounts")
    n = window["n_accounts"]
    first, last = day_number(window["accounts_from"]), day_number(window["accounts_until"])
    created = np.sort(draws.whole(first, last, n))
    accounts = _firms(truth, draws, n)
    accounts.insert(0, "account_id", [f"A{number:04d}" for number in range(1, n + 1)])
    return accounts.assign(created_day=created, pull=np.exp(0.5 * draws.normal(n)))


def draw_respondents(truth: Truth, accounts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per survey answer, wave by wave, with its hidden `segment`.

    Answers with an account's id have that account's firmographics; the others come from the same population.
    """
    draws = Draws(truth["seed"], "respondents")
    days = np.concatenate([_wave_days(wave, draws) for wave in truth["waves"]])
    n, survey = len(days), truth["survey"]
    linked = draws.yes(survey["account_known_rate"], n)
    chosen = accounts.iloc[draws.whole(0, len(accounts) - 1, n).astype(int)].reset_index(drop=True)
    firms = pd.concat([_firms(truth, draws, n)[~linked], chosen[_firm_columns(truth)][linked]]).sort_index()
    firms = firms.assign(answered_day=days, role=draws.pick(survey["role"], n))
    firms.insert(0, "account_id", np.where(linked, chosen["account_id"], ""))
    firms.insert(0, "respondent_id", [f"R{number:03d}" for number in range(1, n + 1)])
    return pd.concat([firms, _answers(truth, draws, firms["segment"].to_numpy(dtype=object))], axis=1)


def _firm_columns(truth: Truth) -> list[str]:
    return ["segment", *FIRMOGRAPHICS, *truth["everywhere"]]


def _firms(truth: Truth, draws: Draws, n: int) -> pd.DataFrame:
    segments: Mapping[str, Any] = truth["segments"]
    segment = draws.pick({name: segments[name]["share"] for name in segments}, n)
    columns: dict[str, Texts] = {"segment": segment}
    for field in FIRMOGRAPHICS:
        columns[field] = draws.pick_by({name: segments[name][field] for name in segments}, segment)
    for field, shares in truth["everywhere"].items():
        columns[field] = draws.pick(shares, n)
    return pd.DataFrame(columns)


def _wave_days(wave: Mapping[str, Any], draws: Draws) -> Floats:
    return np.sort(draws.whole(day_number(wave["from"]), day_number(wave["until"]), wave["n"]))


def _answers(truth: Truth, draws: Draws, segment: Texts) -> pd.DataFrame:
    segments, n = truth["segments"], len(segment)
    columns: dict[str, Texts] = {}
    for need in next(iter(segments.values()))["needs"]:
        rate = np.array([segments[name]["needs"][need] for name in segment])
        answer = np.where(draws.yes(rate, n), "Yes", "No")
        columns[need] = np.where(draws.yes(truth["survey"]["skipped_rate"], n), "", answer)
    return pd.DataFrame(columns)
