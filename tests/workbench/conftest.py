"""The tiny project of tests/batch, for what its notebooks declare."""

from tests.batch.conftest import Project, project, write_notebook

__all__ = ["Project", "project", "write_notebook"]
