"""The rules for single values: what is taken, in which form it is stored, and what is refused."""

import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import values
from errors import Fault
from tests.processes import ROOT

Rule = Callable[[Any], Any]


@pytest.mark.parametrize("rule", [values.money, values.weight_grams])
def test_a_negative_zero_is_zero(rule: Any) -> None:
    assert not str(rule("-0.0")).startswith("-")


@pytest.mark.parametrize(
    ("rule", "sent", "stored"),
    [
        (values.money, "19.9", Decimal("19.90")),
        (values.money, "0", Decimal("0.00")),
        (values.money, "007", Decimal("7.00")),
        (values.money, "1.5000", Decimal("1.50")),
        (values.money, "999999999999.99", Decimal("999999999999.99")),
        (values.weight_grams, "453.59237", Decimal("453.592")),
        (values.weight_grams, "0", Decimal("0.000")),
        (values.stock, 0, 0),
        (values.stock, -3, -3),
        (values.stock, "-12", -12),
        (values.stock, 2**31 - 1, 2**31 - 1),
        (values.label, "  Tee  ", "Tee"),
        (values.label, "Cafe\u0301", "Café"),
        (values.label, "x" * 255, "x" * 255),
        (values.name, "n" * 512, "n" * 512),
        (values.handle, " cà-phê ", "cà-phê"),
        (values.handle, "phê\u0303 ™ 🎁", "phễ ™ 🎁"),
        (values.handle, "2024", "2024"),
        (values.description, "<p>a\r\n\tb</p> ", "<p>a\r\n\tb</p> "),
        (values.description, "", ""),
        (values.url, "HTTPS://cdn.example/a%20b", "HTTPS://cdn.example/a%20b"),
    ],
)
def test_a_good_value_is_brought_into_its_stored_form(rule: Rule, sent: Any, stored: Any) -> None:
    found = rule(sent)

    assert found == stored
    assert str(found) == str(stored)  # Decimal("1.5") and Decimal("1.50") are equal


@pytest.mark.parametrize(
    ("rule", "sent", "code"),
    [
        *((values.money, sent, "not_a_number") for sent in ("", " 1", "1 ", "+1", "1.", ".5")),
        *((values.money, sent, "not_a_number") for sent in ("1e2", "NaN", "Infinity", "-inf")),
        *((values.money, sent, "not_a_number") for sent in ("1,50", "1_000", "0x10", "$5", "1\n")),
        *((values.money, sent, "not_a_number") for sent in ("\u0661\u0662", "５", "9" * 41)),
        (values.money, "-0.01", "negative"),
        (values.money, "1000000000000", "too_large"),
        (values.money, "0.001", "too_many_decimals"),
        (values.weight_grams, "-1", "negative"),
        (values.weight_grams, "1000000000", "too_large"),
        (values.weight_grams, "heavy", "not_a_number"),
        (values.stock, 2**31, "too_large"),
        (values.stock, -(2**31), "too_large"),
        *((values.stock, sent, "not_an_integer") for sent in ("1.0", "", "many", "٣", "9" * 13)),
        (values.label, 5, "not_text"),
        (values.label, None, "not_text"),
        (values.label, " \u3000 ", "blank"),
        (values.label, "x" * 256, "too_long"),
        (values.label, "a\nb", "control_character"),
        (values.label, "a\x85b", "control_character"),
        (values.label, "a\u2028b", "control_character"),
        (values.label, "a\0b", "nul_character"),
        (values.label, "a\ud800b", "lone_surrogate"),
        (values.name, "n" * 513, "too_long"),
        (values.handle, "a/b", "slash_in_handle"),
        (values.handle, "h" * 256, "too_long"),
        (values.description, "a\0", "nul_character"),
        (values.description, "x" * (512 * 1024 + 1), "too_long"),
        *((values.url, sent, "not_a_url") for sent in ("cdn.example/a", "ftp://a/b", "http:///a")),
        *((values.url, sent, "not_a_url") for sent in ("javascript:alert(1)", "http://a b")),
        (values.url, "https://a/" + "x" * 2048, "too_long"),
    ],
)
def test_a_bad_value_is_refused_with_a_stable_code(rule: Rule, sent: Any, code: str) -> None:
    with pytest.raises(Fault) as refused:
        rule(sent)

    assert refused.value.code == code


def test_length_counts_the_composed_characters() -> None:
    assert values.label("e\u0301" * 255) == "é" * 255


@pytest.mark.parametrize(
    ("name", "handle"),
    [
        ("Blue Tee  (XL)", "blue-tee-xl"),
        ("100% Wolle", "100-wolle"),
        ("snake_case", "snake-case"),
        ("Cà phê sữa đá", "cà-phê-sữa-đá"),
        ("Cafe\u0301", "café"),
        ("Кружка", "кружка"),
        ("日本 茶", "日本-茶"),
        ("हिन्दी चाय", "हिन्दी-चाय"),
        ("Tea™ 🎁", "tea"),
        ("🎁", "product"),
        ("", "product"),
        ("x" * 400, "x" * 243),  # leaves room for a number behind it
    ],
)
def test_a_handle_is_derived_from_letters_and_digits(name: str, handle: str) -> None:
    assert values.handle_from(name) == handle


@pytest.mark.parametrize(
    ("currency", "sent", "printed"),
    [
        ("JPY", "1250", "1250"),
        ("JPY", "1250.0", "1250"),
        ("JPY", "1250.5", "too_many_decimals"),
        ("KWD", "1.2", "1.200"),
        ("KWD", "1.2345", "too_many_decimals"),
    ],
)
def test_the_decimals_are_those_of_the_shops_currency(
    currency: str, sent: str, printed: str
) -> None:
    program = f"""
import errors, values
try:
    print(values.money({sent!r}))
except errors.Fault as fault:
    print(fault.code)
"""
    environment = {**os.environ, "SHOP_CURRENCY": currency}

    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    assert run.stdout.strip() == printed
