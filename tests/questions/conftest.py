"""What the tests of questions share: a run folder in which the persona sets of the bundled market are made once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder for the session."""
    return tmp_path_factory.mktemp("runs")
