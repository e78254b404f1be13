"""Ids of personas: short, safe in file names and addresses, and never two alike."""

import hashlib
import re
import unicodedata
from collections.abc import Collection

_LONGEST, _LONGEST_PART = 48, 64  # a part bears the id of its whole
_MARK = 8
_TELLING = re.compile(r"[A-Za-z0-9 _.=-]*")  # text of which hyphens for all else leave enough to know it by


def persona_id(said: str, taken: Collection[str] = (), whole: str = "") -> str:
    """The field and level that a persona is made of as an id: its small Latin letters and digits, joined by hyphens.

    Text that would lose other signs or its end, and text whose id is ``taken``, bears a mark of its own behind them.
    ``whole``: the id of the persona that it is a part of. Letters a-z, digits, hyphens; at most 64 characters.
    """
    plain = said.removeprefix("wants_").removeprefix("is_").lower()
    letters = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    parts = ([whole] if whole else []) + re.findall(r"[a-z0-9]+", letters)
    longest, found = _LONGEST_PART if whole else _LONGEST, "-".join(parts)
    is_telling = _TELLING.fullmatch(said) is not None and letters.strip() != ""
    if is_telling and 0 < len(found) <= longest and found not in taken:
        return found
    mark = hashlib.sha256(f"{whole}/{said}".encode()).hexdigest()[:_MARK]
    return f"{(found or 'persona')[: longest - _MARK - 1].rstrip('-')}-{mark}"
