"""Write environment.yml from pyproject.toml: the same packages and ranges under conda-forge's names.

python .ci/environment_yml.py            write it
python .ci/environment_yml.py --check    fail when the committed one differs
"""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("cluster", "postgres", "pdf", "test", "dev")  # Spark brings its own Java and is left to who has it

# conda-forge's name where it differs from the registry of pip; None: not on conda-forge, so pip installs it.
NAMES: dict[str, str | None] = {
    "dask": "dask-core",
    "duckdb": "python-duckdb",
    "ibis-framework[duckdb]": "ibis-duckdb",
    "ibis-framework[postgres]": "ibis-postgres",
    "jupyter-client": "jupyter_client",
    "jupyter-server": "jupyter_server",
    "matplotlib": "matplotlib-base",
    "pandera[pandas]": "pandera-pandas",
    "playwright": "playwright-python",
    "psycopg[binary]": "psycopg",
    "stepmix": None,
    "typst": None,
}

HEADER = """\
# Written from pyproject.toml by `make lock`: change the ranges there.
# conda env create -f environment.yml; or without conda: `make run` (the exact versions of requirements.lock).
name: closedloop
channels:
  - conda-forge
  - nodefaults
dependencies:
"""


def label(requirement: Requirement) -> str:
    """The name with its extras: ``ibis-framework[duckdb]``."""
    extras = ",".join(sorted(requirement.extras))
    return f"{requirement.name}[{extras}]" if extras else requirement.name


def conda_name(requirement: Requirement) -> str | None:
    """The package's name on conda-forge, or None when it is not there."""
    return NAMES.get(label(requirement), requirement.name)


def declared(pyproject: dict[str, dict[str, object]], extras: tuple[str, ...] = EXTRAS) -> list[Requirement]:
    """The requirements of pyproject.toml's ``project`` table, the core's first, then those of ``extras``."""
    project = pyproject["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    core: list[str] = project["dependencies"]  # type: ignore[assignment]
    return [Requirement(text) for text in [*core, *(line for extra in extras for line in optional[extra])]]


def version_range(requirement: Requirement) -> str:
    """The range as both pip and conda write it: ``>=3.0,<4``, the lower bound first."""
    parts = sorted(str(part) for part in requirement.specifier)
    return ",".join(sorted(parts, key=lambda part: part.startswith("<")))


def render(pyproject: dict[str, dict[str, object]]) -> str:
    """The text of environment.yml."""
    python = version_range(Requirement(f"python {pyproject['project']['requires-python']}"))
    requirements = declared(pyproject)
    from_conda = {f"{name} {version_range(r)}" for r in requirements if (name := conda_name(r))}
    from_pip = {f"{label(r)} {version_range(r)}" for r in requirements if not conda_name(r)}
    lines = [f"python {python}", "pip", *sorted(from_conda)]
    body = "".join(f"  - {line}\n" for line in lines)
    pip = "".join(f"      - {line}\n" for line in [*sorted(from_pip), "-e ."])
    return f"{HEADER}{body}  - pip:\n{pip}"


def main(arguments: list[str]) -> int:
    """Write environment.yml, or with ``--check`` compare it."""
    target = ROOT / "environment.yml"
    text = render(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    if arguments != ["--check"]:
        target.write_text(text, encoding="utf-8")
        return 0
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return 0
    print("environment.yml differs from pyproject.toml; write it with: make lock", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
