"""What tests of questions share: one run folder, in which persona sets are made once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that the whole session writes."""
    return tmp_path_factory.mktemp("runs")
