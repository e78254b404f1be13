"""What the team of a simulated market wrote: one row per text, some in two versions, some retired."""

from datetime import date

import pandas as pd

from .material_needs import texts_by_topic
from .material_texts import BY_STAGE, GENERAL, REPLACED, RIVALS
from .truth import day_number

_START = day_number(date(2023, 10, 2))


def list_materials() -> pd.DataFrame:
    """Return one row per material; `added_day` counts from 1970-01-01, `retired_day` is NaN while in use."""
    written = pd.DataFrame([*texts_by_topic(), *BY_STAGE, *RIVALS, *GENERAL])
    added = [_START + 3 * (place % 20) for place in range(len(written))]
    materials = _with_new_versions(written.assign(added_day=added, retired_day=float("nan")))
    materials.insert(0, "material_id", [f"M-{number:03d}" for number in range(1, len(materials) + 1)])
    return materials


def _with_new_versions(written: pd.DataFrame) -> pd.DataFrame:
    followers = []
    retired = written["retired_day"].copy()
    for title, (changed_on, text) in REPLACED.items():
        old = written["title"] == title
        retired = retired.mask(old, day_number(changed_on))
        if text:
            followers.append(written[old].assign(text=text, added_day=day_number(changed_on)))
    return pd.concat([written.assign(retired_day=retired), *followers]).reset_index(drop=True)
