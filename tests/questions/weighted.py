"""A market of which farms were asked too often: answers with weights, of which some are lost."""

from io import StringIO

import numpy as np
import pandas as pd

ITEMS = ["wants_speed", "wants_price", "wants_care", "wants_choice", "wants_fame", "wants_calm"]
MORE = '[fields.leads]\ncreation = ["industry"]\n[fields.respondents]\nresearch = ["industry"]\n[items]\n' + "".join(
    f'{item} = "{item.replace("_", " ")}"\n' for item in ITEMS
)
N_LOST = 12


def answers() -> pd.DataFrame:
    """Farms were asked as often as shops, of which there are nine times as many; two in three want what is theirs."""
    rng = np.random.default_rng(75)
    n = 360
    industry = np.array(["shop", "farm"])[np.arange(n) % 2]
    liked = np.where(np.arange(6) < 3, (industry == "shop")[:, None], (industry == "farm")[:, None])
    wants = (rng.random((n, 6)) < np.where(liked, 0.9, 0.1)).astype(int)
    found = pd.DataFrame(wants, columns=ITEMS).assign(respondent_id=[f"r{i:03d}" for i in range(n)], industry=industry)
    found["answered_on"] = np.where(np.arange(n) % 3, "2024-01-10", "2023-05-10")
    return found.assign(weight=np.where(industry == "shop", 9.0, 1.0))


def files() -> dict[str, str]:
    rows = answers()
    rows["weight"] = rows["weight"].mask(rows.index < N_LOST)
    leads = pd.DataFrame({"lead_id": [f"L{i}" for i in range(80)], "created_on": "2024-02-01",
                          "industry": ["shop", "farm"] * 40})  # fmt: skip
    return {"respondents": rows.to_csv(index=False), "leads": leads.to_csv(index=False)}


def select(text: str) -> str:
    names = pd.read_csv(StringIO(text)).columns
    kinds = {"weight": "double", "answered_on": "date"} | dict.fromkeys(ITEMS, "integer")
    cells = [f'nullif("{name}", \'\')::{kinds[name]} as "{name}"' if name in kinds else f'"{name}"' for name in names]
    return f"select {', '.join(cells)} from raw.respondents"
