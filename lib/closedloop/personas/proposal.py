"""What refinement proposes for the next period, left for it in the run folder."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from closedloop.market.files import write_atomic
from closedloop.personas.persona_set import SAFE, PersonaSet, read_set, write_set


@dataclass(frozen=True)
class Proposal:
    """What refinement concludes: the duel's verdict, the set for the next period where anything is new, and why."""

    verdict: str
    personas: PersonaSet | None = None
    reason: str = ""


def write_proposal(path: Path, proposal: Proposal) -> None:
    """Write the proposed set, or why the one in force stays."""
    if proposal.personas is not None:
        write_set(path, proposal.personas)
    else:
        stays = {"verdict": proposal.verdict, "reason": proposal.reason, "note": "no proposal: the set in force stays"}
        write_atomic(path, yaml.safe_dump(stays, sort_keys=False, width=110).encode())


def read_proposal(path: Path) -> Proposal:
    """The proposal that ``write_proposal`` left."""
    stored = yaml.load(path.read_text("utf-8"), Loader=SAFE)
    if "personas" in stored:
        return Proposal("", read_set(path))
    return Proposal(stored["verdict"], reason=stored["reason"])
