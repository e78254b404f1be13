"""The texts that people wrote, as the documents of a period need them."""

from typing import TYPE_CHECKING

import pandas as pd

from closedloop.terms import MATERIAL_KINDS

if TYPE_CHECKING:
    from closedloop.market.view import View

COLUMNS = (
    "material_id", "added_on", "kind", "title", "text", "persona", "buying_role", "stage", "competitor", "topic",
    "retired_on",
)  # fmt: skip


def texts_in_force(view: "View") -> pd.DataFrame:
    """The team's texts in force on the day, with every column of the contract; newest first within a kind."""
    known = view.known("materials").execute() if view.has("materials") else pd.DataFrame()
    frame = known.reindex(columns=list(COLUMNS))
    current = frame[frame["retired_on"].isna() & frame["text"].notna() & frame["kind"].isin(MATERIAL_KINDS)]
    return current.sort_values(["added_on", "material_id"], ascending=[False, True], ignore_index=True)
