"""`Idempotency-Key`: a POST that is repeated takes effect once, and is answered alike."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
from flask import Flask, Response, request
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from api import operations
from api.app import create_app
from api.operations import Answer, operation
from config import settings
from errors import Conflict, Forbidden
from models import FileChunk, IdempotentAnswer, Job, Product, StoredFile, db
from tests.keyring import KEYS, client_with, made_key
from tests.stage import ADMIN, WAKEUPS, created

URL = "/api/v1/products"
IMPORTS = "/api/v1/imports"
TEE = {"name": "Tee"}


@pytest.fixture(autouse=True)
def _no_answers(app: Flask) -> None:
    with app.app_context():
        db.session.execute(text("TRUNCATE idempotent_answers"))
        db.session.commit()


def keyed(key: str = "order 66") -> dict[str, str]:
    return {"Idempotency-Key": key}


def replayed(response: TestResponse | httpx.Response) -> bool:
    """Whether the answer is one that was given before."""
    return response.headers.get("Idempotent-Replayed") == "true"


def count(session: Session, table: Any) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


# --- replaying --------------------------------------------------------------------------------


def test_a_repeat_has_no_effect_and_the_first_answer(admin: FlaskClient, session: Session) -> None:
    first = admin.post(URL, json=TEE, headers=keyed())
    again = admin.post(URL, json=TEE, headers=keyed(), base_url="https://other.example")

    assert (first.status_code, replayed(first)) == (201, False)
    assert (again.status_code, replayed(again)) == (201, True)
    assert again.data == first.data
    for name in ("Location", "ETag", "Content-Type", "Content-Length"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert count(session, Product) == 1


def test_without_the_header_every_request_is_a_new_one(
    admin: FlaskClient, session: Session
) -> None:
    for _ in range(2):
        admin.post(URL, json=TEE)

    assert (count(session, Product), count(session, IdempotentAnswer)) == (2, 0)


@pytest.mark.parametrize(
    ("sent", "same"),
    [("abc", '"abc"'), ('a"b', r'"a\"b"'), ("a\\b", r'"a\\b"'), ("a b, c", '"a b, c"'),
     ("x" * 255, f'"{"x" * 255}"')],
    ids=["quoted", "quote", "backslash", "space", "long"],
)  # fmt: skip
def test_a_key_may_be_bare_or_quoted(admin: FlaskClient, sent: str, same: str) -> None:
    first = admin.post(URL, json=TEE, headers=keyed(sent))
    again = admin.post(URL, json=TEE, headers=keyed(same))

    assert (first.status_code, again.status_code, replayed(again)) == (201, 201, True)


@pytest.mark.parametrize("changed", ["body", "query"])
def test_the_same_key_with_something_else_is_refused(
    admin: FlaskClient, session: Session, changed: str
) -> None:
    file = {"content_type": "text/csv", "headers": keyed()}
    admin.post(IMPORTS, data=b"handle\n", **file)

    if changed == "body":
        other = admin.post(IMPORTS, data=b"handle,name\n", **file)
    else:
        other = admin.post(f"{IMPORTS}?format=native", data=b"handle\n", **file)

    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_key_reused")
    assert not replayed(other)
    assert (count(session, Job), count(session, StoredFile)) == (1, 1)


def test_a_key_counts_for_one_caller_at_one_address(app: Flask, admin: FlaskClient) -> None:
    other = client_with(app, made_key(admin, "products:write"))

    answers = [
        admin.post(URL, json=TEE, headers=keyed()),
        other.post(URL, json=TEE, headers=keyed()),
        admin.post(KEYS, json={"name": "x", "scopes": ["jobs:read"]}, headers=keyed()),
    ]

    assert [(answer.status_code, replayed(answer)) for answer in answers] == [(201, False)] * 3
    assert answers[0].get_json()["handle"] != answers[1].get_json()["handle"]


def test_other_methods_do_not_heed_it(admin: FlaskClient) -> None:
    url = f"{URL}/{created(admin)['id']}"

    names = [
        admin.patch(url, json={"name": name}, headers=keyed()).get_json()["name"]
        for name in ("Lungo", "Ristretto")
    ]

    assert names == ["Lungo", "Ristretto"]


def test_an_answer_is_kept_for_a_day(admin: FlaskClient, session: Session) -> None:
    def age(hours: float) -> None:
        session.execute(
            text("UPDATE idempotent_answers SET created_at = now() - make_interval(secs => :s)"),
            {"s": hours * 3600},
        )
        session.commit()

    first = admin.post(URL, json=TEE, headers=keyed())
    age(23.9)
    within = admin.post(URL, json=TEE, headers=keyed())
    age(24.1)
    beyond = admin.post(URL, json={"name": "Mug"}, headers=keyed())
    again = admin.post(URL, json={"name": "Mug"}, headers=keyed())

    assert within.data == first.data
    assert (beyond.status_code, replayed(beyond)) == (201, False)
    assert beyond.get_json()["name"] == "Mug"
    assert (again.data, replayed(again)) == (beyond.data, True)


def test_expired_answers_are_cleared_away_a_few_at_a_time(
    admin: FlaskClient, session: Session
) -> None:
    session.execute(
        text(
            "INSERT INTO idempotent_answers"
            " SELECT sha256(n::text::bytea), sha256(''), 200, '{}', '',"
            "  now() - n * interval '1 hour' FROM generate_series(1, 60) n"
        )
    )
    session.commit()

    left = []
    for number in range(5):
        admin.post(URL, json=TEE, headers=keyed(str(number)))
        session.rollback()
        left.append(count(session, IdempotentAnswer))

    assert left == [51, 42, 33, 27, 28]  # the 23 younger ones and the new ones stay


# --- what is kept -----------------------------------------------------------------------------


def test_a_refusal_is_an_answer_too(admin: FlaskClient, session: Session) -> None:
    url = f"{URL}/{created(admin, handle='tee')['id']}"

    first = admin.post(URL, json={**TEE, "handle": "tee"}, headers=keyed())
    admin.delete(url)  # now it would be possible
    again = admin.post(URL, json={**TEE, "handle": "tee"}, headers=keyed())

    assert (first.status_code, first.get_json()["code"]) == (409, "handle_taken")
    assert (again.status_code, again.data, replayed(again)) == (409, first.data, True)
    assert again.headers["Content-Type"] == "application/problem+json"
    assert count(session, Product) == 1


def test_invalid_fields_are_refused_again(admin: FlaskClient) -> None:
    answers = [admin.post(URL, json={"name": " "}, headers=keyed()) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert [replayed(answer) for answer in answers] == [False, True]


@pytest.mark.parametrize(
    ("body", "query"), [(b'{"name":', ""), (b"\xff", ""), (b"{}", "?colour=red")]
)
def test_what_was_not_understood_is_not_kept(
    admin: FlaskClient, session: Session, body: bytes, query: str
) -> None:
    bad = admin.post(URL + query, data=body, content_type="application/json", headers=keyed())
    good = admin.post(URL, json=TEE, headers=keyed())

    assert bad.status_code == 400
    assert (good.status_code, replayed(good)) == (201, False)
    assert count(session, IdempotentAnswer) == 1


def test_a_secret_is_shown_to_the_first_request_alone(admin: FlaskClient) -> None:
    body = {"name": "Till", "scopes": ["jobs:read"]}

    first, again = (admin.post(KEYS, json=body, headers=keyed()) for _ in range(2))

    assert (first.status_code, again.status_code, replayed(again)) == (201, 201, True)
    assert first.get_json()["key"].startswith("pushcart_")
    assert again.get_json() == {**first.get_json(), "key": None}
    assert again.headers["Location"] == first.headers["Location"]


# --- views of the tests' own: slow, failing, refusing -----------------------------------------


class Workshop:
    """A second app with a POST whose outcome a test decides; it makes a product, too."""

    def __init__(self) -> None:
        self.app = create_app()
        self.runs = 0
        self.outcome: Callable[[], None] = lambda: None

        @self.app.post("/work")
        @operation("products:write", answers={201: Answer("Done.")})
        def work() -> Response:
            self.runs += 1
            db.session.add(Product(handle=f"made-{self.runs}", name="Made"))
            db.session.flush()
            self.outcome()
            return Response(str(self.runs), 201)

        @self.app.post("/visit")
        @operation("products:write", visitors=True, answers={200: Answer("Hello.")})
        def visit() -> Response:
            return Response(request.remote_addr)

        operations.init_app(self.app)

    def ask(self, path: str = "/work", **options: Any) -> TestResponse:
        """Send a POST with the same Idempotency-Key."""
        headers = {**ADMIN, **keyed()}
        return self.app.test_client().post(path, **{"headers": headers, **options})


@pytest.fixture
def workshop(app: Flask) -> Iterator[Workshop]:
    made = Workshop()
    yield made
    with made.app.app_context():
        db.session.remove()
        db.engine.dispose()


def fail(error: Exception) -> Callable[[], None]:
    def outcome() -> None:
        raise error

    return outcome


def cut_connection() -> None:
    db.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def time_out() -> None:
    db.session.execute(text("SET LOCAL statement_timeout = 20"))
    db.session.execute(text("SELECT pg_sleep(5)"))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(fail(ZeroDivisionError()), 500), (time_out, 503), (cut_connection, 503)],
    ids=["a bug", "a timeout", "a lost connection"],
)
def test_a_fault_of_ours_is_not_kept_and_leaves_nothing(
    workshop: Workshop, session: Session, outcome: Callable[[], None], status: int
) -> None:
    workshop.outcome = outcome
    failed = workshop.ask()
    between = count(session, Product), count(session, IdempotentAnswer)
    session.rollback()

    workshop.outcome = lambda: None
    repeated, again = workshop.ask(), workshop.ask()

    assert (failed.status_code, between) == (status, (0, 0))
    assert (repeated.status_code, repeated.text, replayed(repeated)) == (201, "2", False)
    assert (again.text, replayed(again), workshop.runs) == ("2", True, 2)
    assert count(session, Product) == 1


def test_a_refusal_undoes_what_the_view_had_done(workshop: Workshop, session: Session) -> None:
    workshop.outcome = fail(Conflict("Not like this."))

    first, again = workshop.ask(), workshop.ask()

    assert (first.status_code, again.status_code, replayed(again)) == (409, 409, True)
    assert (workshop.runs, count(session, Product)) == (1, 0)


def test_a_missing_permission_is_not_kept(workshop: Workshop) -> None:
    workshop.outcome = fail(Forbidden("Not yet."))
    refused = workshop.ask()
    workshop.outcome = lambda: None

    allowed = workshop.ask()

    assert (refused.status_code, allowed.status_code, replayed(allowed)) == (403, 201, False)


def test_there_is_no_effect_without_its_answer(workshop: Workshop, session: Session) -> None:
    session.execute(text("CREATE RULE broken AS ON INSERT TO idempotent_answers DO INSTEAD"
                         " SELECT 1/0"))  # fmt: skip
    session.commit()
    try:
        failed = workshop.ask()
    finally:
        session.execute(text("DROP RULE broken ON idempotent_answers"))
        session.commit()

    assert failed.status_code == 500
    assert (workshop.runs, count(session, Product)) == (1, 0)


def test_while_the_first_runs_another_is_told_to_wait(workshop: Workshop, session: Session) -> None:
    runs, may_end = threading.Event(), threading.Event()

    def slowly() -> None:
        runs.set()
        assert may_end.wait(10)

    workshop.outcome = slowly
    with ThreadPoolExecutor() as beside:
        first = beside.submit(workshop.ask)
        assert runs.wait(10)
        second = workshop.ask()
        may_end.set()
        first.result(10)
        third = workshop.ask()

    assert (second.status_code, second.get_json()["code"]) == (409, "idempotency_in_progress")
    assert second.headers["Retry-After"] == "1"
    assert (first.result().text, third.text, replayed(third)) == ("1", "1", True)
    assert (workshop.runs, count(session, Product)) == (1, 1)


def test_who_comes_in_between_a_refusal_and_its_keeping_was_first(
    workshop: Workshop, session: Session
) -> None:
    """The refused request gives up its lock; here another one runs to its end just then."""
    others: list[TestResponse] = []

    def refused_meanwhile_another_succeeds() -> None:
        workshop.outcome = lambda: None
        db.session.rollback()
        others.append(workshop.ask())
        raise Conflict("Too late.")

    workshop.outcome = refused_meanwhile_another_succeeds
    refused = workshop.ask()

    assert (others[0].status_code, replayed(others[0])) == (201, False)
    assert (refused.status_code, refused.text, replayed(refused)) == (201, "2", True)
    assert count(session, Product) == 1


def test_visitors_are_told_apart_by_their_address(workshop: Workshop) -> None:
    def visit(address: str) -> TestResponse:
        place = {"REMOTE_ADDR": address}
        return workshop.ask("/visit", headers=keyed(), environ_overrides=place)

    answers = [visit(address) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]

    assert [answer.text for answer in answers] == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    assert [replayed(answer) for answer in answers] == [False, False, True]


# --- uploads ----------------------------------------------------------------------------------


def upload(admin: FlaskClient, content: bytes, boundary: str | None = None) -> TestResponse:
    """Send a file, as the body or as a form."""
    if boundary is None:
        return admin.post(IMPORTS, data=content, content_type="text/csv", headers=keyed())
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    return admin.post(
        IMPORTS,
        data=head.encode() + content + f"\r\n--{boundary}--\r\n".encode(),
        content_type=f"multipart/form-data; boundary={boundary}",
        headers=keyed(),
    )


@pytest.mark.parametrize("boundaries", [(None, None), ("first", "second")])
@pytest.mark.parametrize("size", [10, 1_500_000])
def test_a_file_sent_twice_is_one_job_and_one_file(
    admin: FlaskClient, session: Session, boundaries: tuple[str | None, ...], size: int
) -> None:
    broker = redis.Redis.from_url(settings.redis_url)
    broker.delete(WAKEUPS)
    first, again = (upload(admin, b"x" * size, boundary) for boundary in boundaries)

    assert (first.status_code, again.status_code) == (202, 202)
    assert (replayed(first), replayed(again)) == (False, True)
    assert again.data == first.data
    assert (again.headers["Location"], again.headers["Retry-After"]) == (
        first.headers["Location"], "1"
    )  # fmt: skip
    assert (count(session, Job), count(session, StoredFile)) == (1, 1)
    stored = session.scalar(select(func.sum(func.length(FileChunk.content))))
    assert (stored, broker.llen(WAKEUPS)) == (size, 1)
    broker.delete(WAKEUPS)
    broker.close()


def test_a_file_that_was_refused_may_be_sent_better(admin: FlaskClient, session: Session) -> None:
    empty = upload(admin, b"")
    good = upload(admin, b"handle\n")

    assert (empty.status_code, good.status_code, replayed(good)) == (422, 202, False)
    assert count(session, StoredFile) == 1
