"""Pipfile.lock: freed from the machine that made it, and read as requirements for pip.

Standard library only, because it runs before anything is installed. As a script it is a filter:
Pipenv's own lock goes in, the lock to commit comes out.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

Lock = dict[str, Any]


def portable(lock: Lock) -> Lock:
    """Leave out where the packages came from: each machine's pip settings decide that."""
    lock["_meta"]["sources"] = []
    for package in packages(lock).values():
        package.pop("index", None)
    return lock


def packages(lock: Lock) -> Lock:
    """Every package by name; what production pins wins over what development pins."""
    return {**lock["develop"], **lock["default"]}


def requirements(lock: Lock) -> Iterator[str]:
    """Yield one line for `pip install --require-hashes` per package."""
    for name, package in packages(lock).items():
        extras = ",".join(package.get("extras", []))
        marker = f" ; {package['markers']}" if "markers" in package else ""
        hashes = "".join(f" --hash={digest}" for digest in package["hashes"])
        yield f"{name}[{extras}]{package['version']}{marker}{hashes}\n"


if __name__ == "__main__":
    json.dump(portable(json.load(sys.stdin)), sys.stdout, indent=4, sort_keys=True)
    sys.stdout.write("\n")
