"""What Schemathesis has to be told beyond the document, and one more check: that of problems."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

# What depends on other values, on what is stored, on the time of day, or on how a number is
# written: no schema can say it.
_BEYOND_A_SCHEMA = {
    "ambiguous_sku",
    "ambiguous_variant",  # the fields of one variant, sent for a product that has several
    "duplicate_item",
    "duplicate_name",  # names that are equal once they are composed (NFC)
    "duplicate_options",
    "event_not_found",
    "handle_taken",
    "idempotency_key_reused",
    "in_the_past",
    "invalid_endpoint",
    "inactive_variant",
    "named_twice",
    "no_price",
    "not_a_number",  # 1e-7: an exponent
    "not_an_integer",  # 5.0, which JSON Schema takes for one
    "not_tracked",
    "other_handle",
    "not_an_event",  # a number beyond 64 bits
    "private_address",
    "product_not_found",
    "read_only",
    "unknown_variant",
}

# Where an entry names a variant by its id or its SKU, and changes it by one of two fields.
_ONE_OF_TWO = ("/lines/", "/adjustments/")

schemathesis.serializer.alias(
    ["text/csv", "application/csv", "text/plain", "application/x-ndjson"],
    "application/octet-stream",
)


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Leave out the second media type of a patch: it is the same body, at the same cost."""
    return not (case.method == "PATCH" and case.media_type == "application/json")


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:
    """Tell the variants of a product apart by their options: few would be accepted by chance."""
    variants = body.get("variants") if isinstance(body, dict) else None
    if isinstance(variants, list) and all(isinstance(variant, dict) for variant in variants):
        distinct = {str(variant.get("options")): variant for variant in variants}
        return {**body, "variants": [*distinct.values()]}
    return body


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Accept a refusal for what no schema could say, and a 207 as a refusal of its items."""
    if isinstance(failure, AcceptedNegativeData) and response.status_code == 207:
        return all(item["status"] < 400 for item in response.json()["data"])
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()
    return not all(_is_beyond_a_schema(fault) for fault in problem.get("errors", [problem]))


def _is_beyond_a_schema(fault: dict[str, str]) -> bool:
    place = fault.get("pointer", "")
    if fault["code"] == "required":  # of a batch's item, if it means a new product
        return place.startswith(("/products/", *_ONE_OF_TWO))
    if fault["code"] == "both_at_once":
        return place.startswith(_ONE_OF_TWO)
    if fault["code"] == "unknown_field":  # which variant, of a product that is new
        return place.endswith("/id")
    # A cursor is signed, a mapping is JSON in a text, what stands between the commas of a list is
    # the server's to read, only writes read If-None-Match strictly, and to If-Match's pattern
    # Schemathesis makes a 0.
    parameter = fault.get("parameter", "")
    unsaid = parameter in ("after", "cursor", "mapping", "If-None-Match", "If-Match")
    return unsaid or parameter.endswith("[in]") or fault["code"] in _BEYOND_A_SCHEMA


@schemathesis.check
def problem_conformance(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """A problem has a code that is documented for its status, and the id of its header."""
    if response.status_code < 400 or response.status_code == 405:  # which no route documents
        return
    documented = case.operation.definition.raw["responses"].get(str(response.status_code))
    if documented is None:  # status_code_conformance says so
        return
    problem = response.json()
    codes = [*documented["content"]["application/problem+json"]["examples"]]
    assert problem["code"] in codes, f"{problem['code']} is none of {codes}"
    assert problem["status"] == response.status_code
    replayed = "idempotent-replayed" in response.headers  # with the id of the first time
    assert replayed or [problem["request_id"]] == response.headers["x-request-id"]
