"""A notebook's file that is damaged is named with the reason, before any kernel starts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from closedloop.errors import DefinitionError
from closedloop.workbench.notebooks import read_source

from .conftest import Project

SOUND = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
DAMAGED = [
    (b"", "is no notebook: Expecting value"),
    (b'{"cells": [', "is no notebook"),
    (b"\xff\xfe", "is no notebook"),
    (b"[]", "it has no list of cells"),
    (b"\xef\xbb\xbf" + json.dumps(SOUND).encode(), "byte order mark"),
    (json.dumps(SOUND, indent=1).replace("\n", "\r\n").encode(), "Windows line ends"),
    (json.dumps(SOUND | {"cells": [{"cell_type": "markdown", "source": "a\r\nb"}]}).encode(), "Windows line ends"),
    (json.dumps(SOUND | {"nbformat": 3, "nbformat_minor": 0}).encode(), "nbformat 3.0; allowed: 4"),
    (json.dumps(SOUND | {"cells": [{"cell_type": "heading"}]}).encode(), "cell 1: unknown cell_type"),
]


@pytest.mark.parametrize(("content", "reason"), DAMAGED)
def test_a_damaged_file_is_named_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(DefinitionError, match=f"x.ipynb: .*{reason}"):
        read_source(path)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(SOUND))
    assert read_source(path) == SOUND


@pytest.mark.parametrize(("content", "reason"), [DAMAGED[1], DAMAGED[4], DAMAGED[7]])
def test_neither_check_nor_run_starts_anything_with_it(project: Project, content: bytes, reason: str) -> None:
    (project.root / "notebooks/05_deals.ipynb").write_bytes(content)
    with pytest.raises(DefinitionError, match=rf"05_deals\.ipynb: .*{reason}"):
        project.run()
    assert project.computed == []
    assert not project.out.exists()
    command = [sys.executable, "-m", "closedloop.cli", "check", "harbor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "05_deals.ipynb: " in done.stderr
    assert done.stdout == ""
