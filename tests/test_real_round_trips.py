"""Real catalogues, imported, exported in every format and imported again: nothing changes.

The files lie outside the project, in ../shared/data; without them these tests are skipped.
"""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from catalog.formats.detection import WRITABLE
from tests.importing import Importer
from tests.stage import SHARED_DATA

FILES = sorted(
    str(path.relative_to(SHARED_DATA))
    for folder in ("shopify", "woocommerce")
    for path in SHARED_DATA.glob(f"*/{folder}/*")
    if path.suffix in (".csv", ".txt")
)


@pytest.mark.skipif(not FILES, reason="../shared/data is not beside the clone")
@pytest.mark.parametrize("name", FILES or ["none"])
def test_what_a_real_file_has_made_survives_every_format(
    app: Flask, admin: FlaskClient, name: str
) -> None:
    catalogue = Importer(app, admin)
    first = catalogue((SHARED_DATA / name).read_bytes())
    assert first["status"] == "succeeded", first["error"]

    for format_ in WRITABLE:
        exported = catalogue.export(format=format_)
        if not exported["file"]:  # no row was right, and NDJSON has no heading
            continue
        again = catalogue(exported["file"], dry_run="true")

        assert catalogue.result(again["id"]).decode() == "", format_
        assert again["errors"] == []
        assert again["progress"]["unchanged"] == exported["progress"]["processed"]
        assert again["result"]["format"] == format_
