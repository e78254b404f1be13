"""Other draws of the bundled market, the same truth with another seed: to count what is found and what is false."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from tests.conftest import ROOT
from tests.simulation import simulate

HARBOR = ROOT / "data" / "harbor"
_SEED = re.compile(r"^seed = \d+$", re.MULTILINE)
T = TypeVar("T")


def redrawn(place: Path, seed: int) -> str:
    """Write harbor's truth, drawn with that seed, as a market under ``place``/data; its name is returned."""
    market = f"harbor-{seed}"
    folder = place / "data" / market
    shutil.copytree(HARBOR, folder, ignore=shutil.ignore_patterns("raw"))
    text, n = _SEED.subn(f"seed = {seed}", (HARBOR / "truth.toml").read_text("utf-8"))
    assert n == 1
    (folder / "truth.toml").write_text(text, "utf-8")
    simulate(folder, folder / "raw")
    if not (place / "notebooks").exists():
        (place / "notebooks").symlink_to(ROOT / "notebooks")
    return market


@contextmanager
def rooted(place: Path) -> Iterator[None]:
    """Markets are looked for, and runs are written, under ``place`` within the block."""
    before = os.environ.get("CLOSEDLOOP_ROOT")
    os.environ["CLOSEDLOOP_ROOT"] = str(place)
    try:
        yield
    finally:
        os.environ.pop("CLOSEDLOOP_ROOT")
        os.environ.update({"CLOSEDLOOP_ROOT": before} if before is not None else {})


def over_redraws(
    place: Path, seeds: Sequence[int], work: Callable[[str, Path], T], n_workers: int | None = None
) -> list[T]:
    """``work(market, run folder)`` for each seed, side by side in processes of their own; it has to be a module's."""
    with ProcessPoolExecutor(n_workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(_of_one, [place] * len(seeds), seeds, [work] * len(seeds)))


def _of_one(place: Path, seed: int, work: Callable[[str, Path], T]) -> T:
    mine = place / str(seed)
    market = redrawn(mine, seed)
    with rooted(mine):
        try:
            return work(market, mine / "runs")
        finally:
            shutil.rmtree(mine / "data")
            shutil.rmtree(mine / "runs", ignore_errors=True)
