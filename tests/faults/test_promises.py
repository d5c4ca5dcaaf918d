"""The page that says which test holds which promise names those that there are, and all of them."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE / "README.md").read_text()


def test_each_promise_names_a_test_and_each_test_is_named() -> None:
    _, _, *promises = [line for line in PAGE.splitlines() if line.startswith("|")]
    others = {"test_checker.py", "test_promises.py"}  # they need no process
    there = {
        name
        for path in HERE.glob("test_*.py")
        if path.name not in others
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }

    assert len(promises) > 7
    assert all(re.search(r"`test_\w+`", promise) for promise in promises)
    assert set(re.findall(r"`(test_\w+)`", PAGE)) == there
