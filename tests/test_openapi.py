"""`/openapi.json`: valid, complete, and true where it can be held against the server."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import errors
import values
from api.openapi.faults import FAULTS
from api.openapi.notes import FIELDS
from api.openapi.problems import PROBLEMS
from api.openapi.routes import routes
from schemas import VariantFields
from tests.processes import ROOT
from tests.stage import created

JSON = dict[str, Any]
METHODS = ("get", "put", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document(migrated: Flask) -> JSON:
    """The document, as it is served."""
    served: JSON = migrated.test_client().get("/openapi.json").get_json()
    return served


def operations(document: JSON) -> Iterator[tuple[str, JSON]]:
    """Each operation with its name for people."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def validator(document: JSON, schema: JSON) -> Draft202012Validator:
    """What holds a value against a schema of the document, formats left out."""
    return Draft202012Validator({**schema, "components": document["components"]})


def component(document: JSON, name: str) -> Draft202012Validator:
    """The same for one of its components."""
    return validator(document, {"$ref": f"#/components/schemas/{name}"})


# --- form -------------------------------------------------------------------------------------


def test_the_document_is_openapi_3_1(document: JSON) -> None:
    validate(document)

    assert document["openapi"].startswith("3.1.")
    assert document["info"]["license"]["identifier"] == "MIT"


def test_it_is_not_sent_again_unchanged(client: FlaskClient) -> None:
    tag = client.get("/openapi.json").headers["ETag"]

    assert client.get("/openapi.json", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.skipif(
    shutil.which("redocly") is None, reason="redocly is not installed: npm install -g @redocly/cli"
)
def test_a_public_linter_finds_nothing(document: JSON, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))

    done = subprocess.run(
        ["redocly", "lint", "--extends=recommended-strict", file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


# --- completeness -----------------------------------------------------------------------------


def test_every_route_is_documented_with_each_of_its_methods(
    migrated: Flask, document: JSON
) -> None:
    routed = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in migrated.url_map.iter_rules()
        if not rule.endpoint.endswith("static")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    described = {
        (path, method)
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }
    assert described == routed
    assert len(routed) > 10


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(document: JSON) -> None:
    found = dict(operations(document))

    assert [n for n, op in found.items() if not op["summary"] or not op["description"]] == []
    names = [op["operationId"] for op in found.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+[A-Za-z]*", name) for name in names)
    tags = {tag for op in found.values() for tag in op["tags"]}
    assert tags == {tag["name"] for tag in document["tags"]}


def test_every_declared_parameter_and_header_is_described(migrated: Flask, document: JSON) -> None:
    for route in routes(migrated):
        item = document["paths"][route.path]
        described = [resolved(document, p) for p in item[route.method]["parameters"]]
        named = {(p["in"], p["name"]) for p in described}

        declared = route.operation
        assert named == {
            *(("path", name) for name in route.variables),
            *(("query", name) for name in declared.query),
            *(("header", name) for name in ("X-Request-ID", *declared.headers)),
        }, route
        assert all(p["description"] for p in described)
        for status, answer in declared.answers.items():
            headers = item[route.method]["responses"][str(status)]["headers"]
            assert {"X-Request-ID", *answer.headers} <= set(headers)


def resolved(document: JSON, part: JSON) -> JSON:
    """What a reference refers to."""
    found: JSON = part
    if "$ref" in part:
        found = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return found


def test_every_error_that_can_reach_a_client_is_described() -> None:
    classes = {
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.PushcartError)
    }
    only_in_jobs = {errors.Unreadable}

    described = {problem.status for problem in PROBLEMS}
    assert {error.status for error in classes - only_in_jobs} <= described


def calls() -> Iterator[ast.Call]:
    """Every call in the source that may make an error of a request."""
    of_files = ROOT / "catalog" / "formats"  # whose codes are those of jobs and their rows
    for folder in (".", "api", "access", "catalog", "jobs", "notify", "orders"):
        for path in (ROOT / folder).glob("*.py" if folder == "." else "**/*.py"):
            if of_files not in path.parents and "openapi" not in path.parts:
                tree = ast.parse(path.read_text())
                yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def words(nodes: Iterable[ast.expr]) -> Iterator[str]:
    """The constants among them that may be codes."""
    for node in nodes:
        if isinstance(node, ast.Constant) and re.fullmatch("[a-z_]+", str(node.value)):
            yield str(node.value)


def test_every_code_of_a_problem_is_described() -> None:
    described = {problem.code for problem in PROBLEMS}

    given = {
        code
        for call in calls()
        if ast.unparse(call.func) != "_object"  # a schema with a property of that name
        for code in words(keyword.value for keyword in call.keywords if keyword.arg == "code")
    }

    assert len(given) > 10
    assert given - described == set()


def test_every_code_of_a_fault_is_described() -> None:
    makers = {"Fault", "FieldFault", "invalid", "_bad_parameter"}

    given = {
        code
        for call in calls()
        if ast.unparse(call.func).rpartition(".")[2] in makers
        for code in list(words(call.args))[:1]
    }

    assert given == set(FAULTS)


def test_what_is_said_of_fields_is_said_of_fields_that_there_are() -> None:
    unknown = {
        f"{schema.__name__}.{name}"
        for schema, notes in FIELDS.items()
        for name in notes
        if name not in {**schema().fields, **VariantFields().fields}
    }

    assert unknown == set()


# --- truth ------------------------------------------------------------------------------------


def test_every_example_is_as_its_schema_wants_it(document: JSON) -> None:
    checked = 0
    for name, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media_type, content in [
            kind for body in bodies for kind in body.get("content", {}).items()
        ]:
            shown = [
                resolved(document, example)["value"]
                for example in content.get("examples", {}).values()
            ]
            shown += [content["example"]] if "example" in content else []
            assert shown, f"{name} {media_type}"
            for example in shown:
                found = [*validator(document, content["schema"]).iter_errors(example)]
                assert found == [], f"{name} {media_type}: {found[0].message}"
                checked += 1
    assert checked > 50


def test_the_example_of_a_product_is_what_the_server_makes_of_the_example_sent(
    admin: FlaskClient, document: JSON
) -> None:
    operation = document["paths"]["/api/v1/products"]["post"]
    sent = operation["requestBody"]["content"]["application/json"]["examples"]["with_variants"]
    shown = operation["responses"]["201"]["content"]["application/json"]["example"]

    made = created(admin, **sent["value"])

    assert without_chance(made) == without_chance(shown)


def without_chance(product: JSON) -> JSON:
    """A product without ids and times."""
    chance = ("id", "created_at", "updated_at")
    kept = {name: value for name, value in product.items() if name not in chance}
    return {**kept, "variants": [{**variant, "id": 0} for variant in product["variants"]]}


def test_a_product_has_the_fields_that_are_described_and_no_others(
    admin: FlaskClient, document: JSON
) -> None:
    product = created(admin, images=[{"url": "https://example.com/a"}])

    for name, part in (
        ("Product", product),
        ("Variant", product["variants"][0]),
        ("Image", product["images"][0]),
    ):
        assert set(document["components"]["schemas"][name]["properties"]) == set(part)
        assert [*component(document, name).iter_errors(part)] == []


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("name", ["Tee", " Tee\n", "™", "a b"], ["", " ", "a\tb", "a\u2028b", "x" * 513, None]),
        ("handle", ["a b", "日本茶", None], ["a/b", "a\nb", "x" * 256]),
        ("price", ["0", "1.5", "007.50", "1.500", 1, 1.25, 0], ["1e2", "-1", "1.", ".5", "1.255"]),
        ("price", [], [1.255, -1, 10**12, "", True]),
        ("weight_grams", ["0.0001", 453.592], ["1e2", -1, 10**9]),
        ("stock", [-5, 2**31 - 1, None], ["5", 1.5, 2**31, True]),
        ("status", ["draft"], ["sold", None]),
        ("tags", [[], ["a"]], [[""], ["x"] * 251, None]),
        ("images", [[{"url": "HTTP://x"}]], [[{}], [{"url": "ftp://x"}], [{"url": "http://"}]]),
        ("metadata", [{"a": [None, 1.5]}], [{"a\0": 1}, [], None]),
        ("backorder", [True], [0, "yes", None]),
        ("variants", [[{"options": {"Size": "M"}}]], [[{"options": {"": "M"}}], [{"size": 1}], {}]),
    ],
)  # fmt: skip
def test_schema_and_server_agree_on_what_may_be_sent(
    admin: FlaskClient, document: JSON, field: str, good: list[Any], bad: list[Any]
) -> None:
    schema = component(document, "ProductInput")

    for value, is_good in [*((v, True) for v in good), *((v, False) for v in bad)]:
        sent = {"name": "Tee", field: value}
        assert schema.is_valid(sent) == is_good, value
        accepted = admin.post("/api/v1/products", json=sent).status_code == 201
        assert accepted == is_good, value


def test_every_rule_of_a_single_value_has_a_schema() -> None:
    assert all("type" in shape for shape in values.SHAPES.values())


# --- HEAD and OPTIONS -------------------------------------------------------------------------


def test_head_is_answered_wherever_get_is(admin: FlaskClient, document: JSON) -> None:
    product = created(admin)
    for path, item in document["paths"].items():
        url = path.replace("{ref}", str(product["id"]))
        if "get" in item and "{" not in url:
            got, head = admin.get(url), admin.head(url)
            assert (head.status_code, head.data) == (got.status_code, b"")
            if url != "/metrics":  # which counts the one before it
                assert head.content_length == got.content_length


def test_options_names_the_methods_without_a_key(client: FlaskClient) -> None:
    response = client.options("/api/v1/products")

    assert response.status_code == 200
    assert response.allow.as_set() == {"get", "head", "options", "post"}
