"""Imports only go down: the floors of the design, held against the code."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.processes import ROOT

# From the lowest to the highest. `api` is the mechanics: api/v1 and api/app.py stand above them.
FLOORS = (
    ("config", "errors"),
    ("values", "models", "queries"),
    ("schemas", "reads", "strict_json"),
    ("events",),
    ("jobs",),
    ("access", "catalog"),
    ("orders", "notify"),
    ("api",),
    ("api.v1",),
    ("api.app",),
    ("tasks",),
    ("wsgi",),
    ("gunicorn.conf",),
)
API = next(number for number, floor in enumerate(FLOORS) if "api" in floor)
FLASK_BELOW_API = {("models", "flask_sqlalchemy"), ("schemas", "flask_marshmallow")}
BESIDE = ("dev", "tests", "bench", "migrations")  # not part of what runs
OWN = {part.partition(".")[0] for floor in FLOORS for part in floor}

Sources = Mapping[str, str]  # module name: source


def project() -> Sources:
    """The modules that run in production."""
    files = [*ROOT.glob("*.py"), *(f for package in packages() for f in package.rglob("*.py"))]
    return {name_of(file): file.read_text() for file in files if file.name != "__init__.py"}


def packages() -> list[Path]:
    """The folders of production code at the top of the checkout."""
    return [init.parent for init in ROOT.glob("*/__init__.py") if init.parent.name not in BESIDE]


def name_of(file: Path) -> str:
    """The module's name: `catalog/formats/flat.py` is `catalog.formats.flat`."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def floor_of(module: str) -> int | None:
    """The floor on which the longest matching prefix stands."""
    found = [
        (len(part), number)
        for number, floor in enumerate(FLOORS)
        for part in floor
        if module == part or module.startswith(f"{part}.")
    ]
    return max(found)[1] if found else None


def imported(source: str, modules: Sources) -> Iterator[str]:
    """What a source imports, as full names: `from jobs import queue` is `jobs.queue`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in modules else base


def faults(modules: Sources) -> list[str]:
    """Every breach of the rules, each with its module."""
    return sorted({*_cycles(modules), *(f for name in modules for f in _faults_of(name, modules))})


def _faults_of(module: str, modules: Sources) -> Iterator[str]:
    floor = floor_of(module)
    if floor is None:
        yield f"{module} stands on no floor"
        return
    for target in imported(modules[module], modules):
        top = target.partition(".")[0]
        above = floor_of(target) if top in OWN else None
        if above is not None and above > floor:
            yield f"{module} imports {target}, which stands above it"
        if top in BESIDE or target.startswith("."):
            yield f"{module} imports {target or '.'}"
        if top.startswith("flask") and floor < API and (module, top) not in FLASK_BELOW_API:
            yield f"{module} imports {target} below api/"
    for function in ast.walk(ast.parse(modules[module])):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and any(
            isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function)
        ):
            yield f"{module} imports inside {getattr(function, 'name', 'a lambda')}()"


def _cycles(modules: Sources) -> Iterator[str]:
    graph = {name: {*imported(source, modules)} & {*modules} for name, source in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "a cycle: " + " -> ".join(reversed(error.args[1]))


def test_the_code_keeps_to_the_floors() -> None:
    modules = project()

    assert {"config", "models", "api.app", "api.v1.products", "catalog.products"} <= modules.keys()
    assert faults(modules) == []


@pytest.mark.parametrize(
    ("modules", "fault"),
    [
        ({"models": "import schemas", "schemas": ""}, "models imports schemas, which stands above"),
        ({"jobs.a": "from catalog import x", "catalog.x": ""}, "jobs.a imports catalog.x, which"),
        ({"jobs.a": "from catalog.x import f", "catalog.x": ""}, "jobs.a imports catalog.x, which"),
        ({"jobs.a": "from catalog import f"}, "jobs.a imports catalog, which"),
        ({"api.auth": "from api.v1 import jobs", "api.v1.jobs": ""}, "api.auth imports api.v1."),
        ({"api.v1.x": "from api.app import f", "api.app": ""}, "api.v1.x imports api.app, which"),
        ({"catalog.x": "import tasks", "tasks": ""}, "catalog.x imports tasks, which"),
        ({"catalog.x": "from flask import g"}, "catalog.x imports flask below api/"),
        ({"jobs.x": "import flask_migrate"}, "jobs.x imports flask_migrate below api/"),
        ({"schemas": "import flask_sqlalchemy"}, "schemas imports flask_sqlalchemy below api/"),
        ({"jobs.x": "def f():\n    import json"}, "jobs.x imports inside f()"),
        ({"jobs.x": "class C:\n  async def f(self):\n    import json"}, "jobs.x imports inside f"),
        ({"api.x": "from tests.stage import ADMIN"}, "api.x imports tests.stage"),
        ({"api.x": "from dev import services"}, "api.x imports dev"),
        ({"api.x": "from . import auth"}, "api.x imports ."),
        ({"helpers": ""}, "helpers stands on no floor"),
        (
            {"jobs.a": "import jobs.b", "jobs.b": "from jobs import a"},
            "a cycle: jobs.",
        ),
    ],
)
def test_the_check_finds(modules: Sources, fault: str) -> None:
    found = faults(modules)

    assert len(found) == 1, found
    assert found[0].startswith(fault)


def test_the_check_lets_imports_go_down() -> None:
    modules = {
        "config": "import os",
        "models": "from flask_sqlalchemy import SQLAlchemy\nfrom config import settings",
        "jobs.queue": "from models import db",
        "api.auth": "from flask import g\nfrom jobs import queue",
        "api.v1.jobs": "from api import auth",
        "tasks": "import api.app",
        "api.app": "from api.v1 import jobs",
    }

    assert faults(modules) == []


def test_every_module_says_what_it_is_for() -> None:
    beside = [file for folder in BESIDE for file in (ROOT / folder).rglob("*.py")]
    modules = {**project(), **{name_of(f): f.read_text() for f in beside if f.stem != "__init__"}}

    silent = [name for name, source in modules.items() if not ast.get_docstring(ast.parse(source))]

    assert silent == []


def test_every_package_file_is_empty() -> None:
    files = [
        *(file for package in packages() for file in package.rglob("__init__.py")),
        *(file for folder in BESIDE for file in (ROOT / folder).rglob("__init__.py")),
    ]

    assert [str(file.relative_to(ROOT)) for file in files if file.read_text()] == []
