"""pyproject.toml is the one source: the lock and environment.yml say the same, and both can be solved."""

import asyncio
import importlib.util
import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import rattler
import yaml
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: ; (?P<marker>.*?))? \\$", re.MULTILINE)
PLATFORM = "linux-64"


@pytest.fixture(scope="module")
def writer(root: Path) -> ModuleType:
    """The module that writes environment.yml."""
    spec = importlib.util.spec_from_file_location("environment_yml", root / ".ci" / "environment_yml.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def requirements(writer: ModuleType, pyproject: dict[str, dict[str, object]]) -> list[Requirement]:
    return writer.declared(pyproject)


@pytest.fixture(scope="module")
def environment(root: Path) -> dict[str, list[object]]:
    return yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lock(root: Path) -> str:
    return (root / "requirements.lock").read_text(encoding="utf-8")


def pins(lock: str) -> list[tuple[str, str, Marker | None]]:
    """Every (name, version, marker) of the lock."""
    matches = list(PINNED.finditer(lock))
    found = [(m["name"], m["version"], Marker(m["marker"]) if m["marker"] else None) for m in matches]
    assert len(found) == len(re.findall(r"^[a-z]\S*==", lock, re.MULTILINE)) > 100
    return found


def pins_here(lock: str) -> dict[str, str]:
    """The versions that this interpreter and platform install."""
    here = [(name, version) for name, version, marker in pins(lock) if not marker or marker.evaluate()]
    return {canonicalize_name(name): version for name, version in here}


def conda_specs(environment: dict[str, list[object]]) -> list[str]:
    return [entry for entry in environment["dependencies"] if isinstance(entry, str)]


# the lock


def test_the_lock_pins_every_package_by_hash_and_names_no_address(lock: str) -> None:
    blocks = re.split(r"^(?=[a-z]\S*==)", lock, flags=re.MULTILINE)[1:]
    assert [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block] == []
    for forbidden in ("://", "--find-links", "--index-url", "-f ", "file:", "/opt/", "git+"):
        assert forbidden not in lock


def test_every_locked_version_is_within_the_declared_range(lock: str, requirements: list[Requirement]) -> None:
    versions: dict[str, list[str]] = {}
    for name, version, _ in pins(lock):
        versions.setdefault(canonicalize_name(name), []).append(version)
    for requirement in requirements:
        locked = versions.get(canonicalize_name(requirement.name), [])
        assert locked, f"{requirement} is not in requirements.lock; write it again: make lock"
        outside = [version for version in locked if not requirement.specifier.contains(version)]
        assert outside == [], f"{requirement}: locked {outside}; write it again: make lock"


def test_the_lock_holds_what_this_interpreter_needs(lock: str) -> None:
    """Dependencies of locked packages, as the installed ones declare them, are locked too and in range."""
    here = pins_here(lock)
    problems = []
    for name in here:
        for requirement in installed_requirements(name, set()):
            version = here.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                problems.append(f"{name} needs {requirement}, locked: {version}")
    assert problems == []


def installed_requirements(name: str, extras: set[str]) -> list[Requirement]:
    """What the installed package needs here, with its extras; nothing when it is not installed."""
    try:
        declared = [Requirement(text) for text in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        return []
    environments = [{**default_environment(), "extra": extra} for extra in ("", *extras)]
    return [r for r in declared if not r.marker or any(r.marker.evaluate(e) for e in environments)]


# environment.yml


def test_environment_yml_is_what_pyproject_gives(root: Path, writer: ModuleType, pyproject: dict) -> None:
    assert (root / "environment.yml").read_text(encoding="utf-8") == writer.render(pyproject)


def test_ranges_are_written_for_conda(writer: ModuleType) -> None:
    project = {
        "dependencies": ["pandas >= 3.0, < 4", "duckdb >= 1.4", "ibis-framework[duckdb] >= 12.0"],
        "optional-dependencies": {
            "cluster": [],
            "postgres": [],
            "pdf": ["typst >= 0.14"],
            "test": [],
            "dev": [],
        },
        "requires-python": ">= 3.11",
    }
    lines = writer.render({"project": project}).splitlines()
    assert lines[lines.index("dependencies:") + 1 :] == [
        "  - python >=3.11",
        "  - pip",
        "  - ibis-duckdb >=12.0",
        "  - pandas >=3.0,<4",
        "  - python-duckdb >=1.4",
        "  - pip:",
        "      - typst >=0.14",
        "      - -e .",
    ]


def test_every_conda_entry_parses_and_has_pyprojects_range(
    environment: dict, writer: ModuleType, requirements: list[Requirement]
) -> None:
    specs = [rattler.MatchSpec(text, strict=True) for text in conda_specs(environment)]
    found = {spec.name.normalized: str(spec.version) for spec in specs if spec.version}
    wanted = {writer.conda_name(r): writer.version_range(r) for r in requirements if writer.conda_name(r)}
    assert {name: sorted(text.split(",")) for name, text in found.items()} == {
        name: sorted(text.split(",")) for name, text in {**wanted, "python": ">=3.11"}.items()
    }


def test_what_conda_lacks_is_left_to_pip_and_the_project_comes_last(
    environment: dict, writer: ModuleType, requirements: list[Requirement]
) -> None:
    pip = environment["dependencies"][-1]["pip"]
    assert pip[-1] == "-e ."
    absent = {str(Requirement(f"{r.name} {r.specifier}")) for r in requirements if not writer.conda_name(r)}
    assert {str(Requirement(text)) for text in pip[:-1]} == absent


def test_the_name_map_has_no_entry_that_nothing_uses(writer: ModuleType, requirements: list[Requirement]) -> None:
    assert set(writer.NAMES) - {writer.label(r) for r in requirements} == set()


# an offline solve: a channel in a folder, made from the lock and what the installed packages depend on


def conda_range(requirement: Requirement) -> str:
    return f"{canonicalize_name(requirement.name)} {requirement.specifier}".strip()


def record(name: str, version: str, depends: list[str]) -> dict[str, object]:
    return {
        "name": name,
        "version": version,
        "build": "0",
        "build_number": 0,
        "depends": depends,
        "subdir": "noarch",
        "noarch": "python",
        "sha256": "0" * 64,
        "size": 1,
    }


def records(lock: str, writer: ModuleType, requirements: list[Requirement]) -> list[dict[str, object]]:
    """One record per locked package, under its own name and under each conda name that stands for it."""
    here = pins_here(lock)
    named = {name: (name, set[str]()) for name in here}
    for requirement in requirements:
        if conda := writer.conda_name(requirement):
            named[conda] = (canonicalize_name(requirement.name), set(requirement.extras))
    found = [record("python", default_environment()["python_full_version"], []), record("pip", "1", [])]
    for conda, (name, extras) in named.items():
        needs = [conda_range(r) for r in installed_requirements(name, extras)]
        found.append(record(conda, here[name], ["python", *sorted(set(needs))]))
    return found


@pytest.fixture
def channel(tmp_path: Path, lock: str, writer: ModuleType, requirements: list[Requirement]) -> str:
    packages = {f"{r['name']}-{r['version']}-0.conda": r for r in records(lock, writer, requirements)}
    for subdir, held in (("noarch", packages), (PLATFORM, {})):
        (tmp_path / subdir).mkdir()
        content = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": held, "repodata_version": 1}
        (tmp_path / subdir / "repodata.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path.as_uri()


def solve(channel: str, specs: list[str]) -> dict[str, str]:
    solved = asyncio.run(rattler.solve([channel], specs, platforms=[PLATFORM, "noarch"], virtual_packages=[]))
    return {found.name.normalized: str(found.version) for found in solved}


def test_environment_yml_solves_offline_to_the_locked_versions(channel: str, environment: dict, lock: str) -> None:
    solved = solve(channel, conda_specs(environment))
    here = pins_here(lock)
    assert solved["pandas"] == here["pandas"]
    assert solved["python-duckdb"] == here["duckdb"]
    assert solved["ibis-duckdb"] == here["ibis-framework"]
    assert Version(solved["sqlglot"]) < Version("30.18")
    assert len(solved) > 100


@pytest.mark.parametrize("wrong", ["pandas >=99", "sqlglot >=30.18", "no-such-package-anywhere >=1"])
def test_a_wrong_entry_does_not_solve(channel: str, environment: dict, wrong: str) -> None:
    with pytest.raises(Exception, match=re.escape(wrong.split()[0])):
        solve(channel, [*conda_specs(environment), wrong])
