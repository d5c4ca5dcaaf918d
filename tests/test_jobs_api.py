"""`/api/v1/jobs`: jobs listed, canceled, retried, and their result files."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from catalog.tasks import import_catalogue
from jobs import queue
from jobs.files import CHUNK_BYTES, append, create, declare_whole
from jobs.running import LeaseLost, RunningJob, Step, claim
from models import Job, StoredFile, db
from schemas import JobSchema
from tests.keyring import client_with, made_key
from tests.racing import race
from tests.statements import statements

JOBS = "/api/v1/jobs"


def enqueued(session: Session, kind: str = "import", **fields: Any) -> int:
    job = queue.enqueue(session, import_catalogue, kind)
    session.execute(update(Job).where(Job.id == job.id).values(fields or {"kind": kind}))
    session.commit()
    return job.id


def ended(session: Session, status: str = "succeeded", **fields: Any) -> int:
    return enqueued(session, status=status, finished_at=func.now(), **fields)


def started(session: Session) -> RunningJob:
    job = claim(enqueued(session))
    session.commit()
    assert job is not None
    return RunningJob(job)


def listed(client: FlaskClient, query: str = "") -> list[int]:
    response = client.get(f"{JOBS}?{query}")
    assert response.status_code == 200, response.text
    return [job["id"] for job in response.get_json()["data"]]


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.get_json()["code"]


# --- lists ------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_in_pages_both_ways(
    session: Session, admin: FlaskClient
) -> None:
    ids = [enqueued(session) for _ in range(5)][::-1]

    first = admin.get(f"{JOBS}?limit=2").get_json()
    second = admin.get(first["next"]).get_json()
    third = admin.get(second["next"]).get_json()
    back = admin.get(third["prev"]).get_json()

    pages = [[job["id"] for job in page["data"]] for page in (first, second, third, back)]
    assert pages == [ids[:2], ids[2:4], ids[4:], ids[2:4]]
    assert (first["prev"], third["next"]) == (None, None)
    assert first["data"][0] == admin.get(f"{JOBS}/{ids[0]}").get_json()


def test_jobs_are_filtered(session: Session, admin: FlaskClient) -> None:
    old = datetime(2026, 1, 2, tzinfo=UTC)
    done = ended(session, created_at=old)
    failed = ended(session, "failed", kind="export", created_at=old + timedelta(days=1))
    waiting = enqueued(session)

    assert listed(admin, "kind=export") == [failed]
    assert listed(admin, "status=queued") == [waiting]
    assert listed(admin, "status[in]=failed,succeeded") == [failed, done]
    assert listed(admin, "status[in]=failed,succeeded&kind=import") == [done]
    assert listed(admin, "created_at[lt]=2026-01-03T00:00:00Z") == [done]
    assert listed(admin, "created_at[lte]=2026-01-03T00:00:00Z") == [failed, done]
    assert listed(admin, "created_at[gt]=2026-01-03T00:00:00Z") == [waiting]
    assert listed(admin, "created_at[gte]=2026-01-03T00:00:00Z") == [waiting, failed]
    assert listed(admin, "kind=digest") == []


def test_filters_stay_with_the_pages(session: Session, admin: FlaskClient) -> None:
    ids = [ended(session) for _ in range(3)][::-1]
    enqueued(session)

    first = admin.get(f"{JOBS}?limit=2&status=succeeded").get_json()

    assert [job["id"] for job in first["data"]] == ids[:2]
    assert [job["id"] for job in admin.get(first["next"]).get_json()["data"]] == ids[2:]


@pytest.mark.parametrize(
    "query", ["status=done", "status[in]=queued,done", "created_at[gt]=today", "kind=", "task=x"]
)
def test_a_bad_filter_is_named(admin: FlaskClient, query: str) -> None:
    problem = admin.get(f"{JOBS}?{query}")

    assert problem.status_code == 400
    assert problem.get_json()["errors"][0]["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [("get", "", "jobs:read"), ("post", "/{}/cancel", "jobs:write"),
     ("post", "/{}/retry", "jobs:write"), ("get", "/{}/result", "jobs:read")],
)  # fmt: skip
def test_each_needs_its_scope(
    app: Flask, session: Session, admin: FlaskClient, method: str, path: str, scope: str
) -> None:
    url = JOBS + path.format(enqueued(session))
    other = ({"jobs:read", "jobs:write"} - {scope}).pop()

    without = client_with(app, made_key(admin, other)).open(url, method=method)
    with_it = client_with(app, made_key(admin, scope)).open(url, method=method)

    assert without.status_code == 403
    assert with_it.status_code in (200, 409)


# --- how long it will take --------------------------------------------------------------------


def shown(**fields: Any) -> Any:
    pace = {"pace_since": datetime.now(UTC) - timedelta(seconds=10), "pace_from": 100}
    progress = {"total": 1000, "processed": 300}
    job = Job(**{"status": "running", "progress": progress, "attempt": 2, **pace, **fields})
    return JobSchema(only=["eta_seconds"]).dump(job)["eta_seconds"]


def test_the_time_left_is_told_from_the_rate_of_this_attempt() -> None:
    assert shown() == 35  # 200 rows in 10 s, 700 are left
    assert shown(progress={"total": 1000, "processed": 1000}) == 0


@pytest.mark.parametrize(
    "fields",
    [{"status": "queued"}, {"status": "succeeded"}, {"pace_since": None, "pace_from": None},
     {"progress": {"total": 1000, "processed": 100}}, {"progress": {"processed": 300}},
     {"progress": {}}],
)  # fmt: skip
def test_nothing_is_said_where_nothing_is_known(fields: Any) -> None:
    assert shown(**fields) is None


def test_the_clock_starts_anew_with_each_attempt(session: Session, admin: FlaskClient) -> None:
    job = started(session)
    job.step(lambda _: Step({"total": 50, "processed": 0}), checkpoint={"a": 1})
    before = admin.get(f"{JOBS}/{job.id}").get_json()["eta_seconds"]
    job.step(lambda _: Step({"total": 50, "processed": 10}), checkpoint={"a": 2})
    during = admin.get(f"{JOBS}/{job.id}").get_json()["eta_seconds"]
    queue.cancel(session, job.id)
    queue.retry(session, job.id)
    claim(job.id)
    session.commit()
    after = admin.get(f"{JOBS}/{job.id}").get_json()["eta_seconds"]

    assert (before, after) == (None, None)
    assert during is not None
    assert 0 <= during < 5


# --- cancel and retry -------------------------------------------------------------------------


def test_a_job_is_canceled_and_goes_on_after_a_retry(session: Session, admin: FlaskClient) -> None:
    job = started(session)
    job.step(lambda _: Step({"processed": 3}), checkpoint={"groups": 3})
    url = f"{JOBS}/{job.id}"

    canceled = admin.post(admin.get(url).get_json()["links"]["cancel"])
    again = admin.post(canceled.get_json()["links"]["retry"])

    assert canceled.status_code == 200
    assert canceled.get_json()["status"] == "canceled"
    assert canceled.get_json()["progress"]["processed"] == 3
    assert canceled.get_json()["finished_at"] is not None
    assert again.status_code == 202
    assert again.headers["Location"].endswith(url)
    assert again.headers["Retry-After"] == "1"
    assert again.get_json()["status"] == "queued"
    assert queue.find(job.id).checkpoint == {"before": {"groups": 3}}


def test_what_cannot_be_done_is_refused_with_the_reason(
    session: Session, admin: FlaskClient
) -> None:
    done, waiting = ended(session), enqueued(session)
    expired = StoredFile(size_bytes=1, expired_at=func.now())
    session.add(expired)
    session.flush()
    old = ended(session, "failed", file_id=expired.id)

    assert code_of(admin.post(f"{JOBS}/{done}/cancel")) == (409, "job_finished")
    assert code_of(admin.post(f"{JOBS}/{done}/retry")) == (409, "nothing_to_retry")
    assert code_of(admin.post(f"{JOBS}/{waiting}/retry")) == (409, "job_not_finished")
    assert code_of(admin.post(f"{JOBS}/{old}/retry")) == (410, "file_expired")
    assert code_of(admin.post(f"{JOBS}/0/cancel")) == (404, "job_not_found")
    assert code_of(admin.post(f"{JOBS}/{2**70}/retry")) == (404, "job_not_found")


def test_links_say_what_can_be_done(session: Session, admin: FlaskClient) -> None:
    def links(job_id: int) -> set[str]:
        return set(admin.get(f"{JOBS}/{job_id}").get_json()["links"]) - {"self", "errors"}

    assert links(enqueued(session)) == {"cancel"}
    assert links(started(session).id) == {"cancel"}
    assert links(ended(session)) == set()
    assert links(ended(session, "failed")) == {"retry"}
    assert links(ended(session, progress={"failed": 1})) == {"retry"}
    assert links(exported(session, b"x")) == {"result"}


def test_of_two_retries_at_once_one_counts(app: Flask, session: Session) -> None:
    job_id = ended(session, "failed")
    retry = lambda client: client.post(f"{JOBS}/{job_id}/retry")  # noqa: E731

    lock = "SELECT id FROM jobs WHERE id = %s FOR UPDATE"
    answers = race(app, lock, (job_id,), retry, retry)

    assert [answer.status_code for answer in answers] == [202, 409]
    assert answers[1].get_json()["code"] == "job_not_finished"
    assert queue.find(job_id).status == "queued"


def test_a_cancel_during_a_step_leaves_no_trace_of_the_step(
    session: Session, admin: FlaskClient
) -> None:
    job = started(session)

    def work(session: Session) -> Step:
        session.add(StoredFile(filename="effect"))
        session.flush()
        with ThreadPoolExecutor(1) as beside:
            answer = beside.submit(admin.post, f"{JOBS}/{job.id}/cancel").result(5)
        assert answer.status_code == 200
        return Step({"processed": 1})

    with pytest.raises(LeaseLost):
        job.step(work, checkpoint={"a": 1})

    assert queue.find(job.id).progress == {}
    assert session.scalar(select(func.count()).select_from(StoredFile)) == 0


def test_ten_deliveries_at_once_are_one_attempt(app: Flask, session: Session) -> None:
    job_id = enqueued(session)

    def deliver(_: int) -> bool:
        with app.app_context():
            job = claim(job_id)
            db.session.commit()
            return job is not None

    with ThreadPoolExecutor(3) as workers:
        claims = list(workers.map(deliver, range(10)))

    assert claims.count(True) == 1
    assert queue.find(job_id).attempt == 1


def test_a_repeated_retry_with_an_idempotency_key_is_one(
    session: Session, admin: FlaskClient
) -> None:
    url = f"{JOBS}/{ended(session, 'failed')}/retry"
    key = {"Idempotency-Key": url}

    first, second = (admin.post(url, headers=key) for _ in range(2))

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["Idempotent-Replayed"] == "true"


# --- result files -----------------------------------------------------------------------------

CONTENT = bytes(range(256)) * (CHUNK_BYTES // 256) + b"the second chunk"
SIZE = len(CONTENT)


def exported(session: Session, content: bytes, **fields: Any) -> int:
    file_id = create(session)
    append(session, file_id, content)
    declare_whole(session, file_id, "products.csv", "text/csv")
    return ended(session, kind="export", result_file_id=file_id, **fields)


@pytest.fixture
def result(session: Session) -> str:
    """The address of a file of two chunks."""
    return f"{JOBS}/{exported(session, CONTENT)}/result"


def test_a_result_is_downloaded_whole(admin: FlaskClient, result: str) -> None:
    response = admin.get(result)

    assert (response.status_code, response.data) == (200, CONTENT)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == "attachment; filename=products.csv"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Length"] == str(SIZE)
    head = admin.head(result)
    assert (head.status_code, head.data) == (200, b"")
    for name in ("Content-Length", "ETag", "Content-Disposition", "Accept-Ranges"):
        assert head.headers[name] == response.headers[name]


@pytest.mark.parametrize(
    ("sent", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=10-20", 10, 20),
        (f"bytes={CHUNK_BYTES - 5}-{CHUNK_BYTES + 5}", CHUNK_BYTES - 5, CHUNK_BYTES + 5),
        (f"bytes={CHUNK_BYTES}-", CHUNK_BYTES, SIZE - 1),
        (f"bytes={SIZE - 1}-{SIZE + 99}", SIZE - 1, SIZE - 1),
        ("bytes=-7", SIZE - 7, SIZE - 1),
    ],
)
def test_a_part_is_downloaded(
    admin: FlaskClient, result: str, sent: str, first: int, last: int
) -> None:
    response = admin.get(result, headers={"Range": sent})

    assert response.status_code == 206
    assert response.data == CONTENT[first : last + 1]
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert response.headers["Content-Length"] == str(last + 1 - first)


@pytest.mark.parametrize(
    "sent",
    ["bytes=0-1,5-6", "lines=1-2", "bytes=", "bytes=a-b", "bytes", "bytes=--1", "",
     f"bytes={'9' * 5000}-", f"bytes=-{SIZE}", f"bytes=-{SIZE * 2}"],
)  # fmt: skip
def test_what_is_no_single_range_or_all_there_is_gives_the_whole(
    admin: FlaskClient, result: str, sent: str
) -> None:
    response = admin.get(result, headers={"Range": sent})

    assert (response.status_code, response.data) == (200, CONTENT)


@pytest.mark.parametrize("sent", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(
    admin: FlaskClient, result: str, sent: str
) -> None:
    response = admin.get(result, headers={"Range": sent})

    assert code_of(response) == (416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_download_goes_on_only_with_the_same_file(admin: FlaskClient, result: str) -> None:
    tag = admin.head(result).headers["ETag"]
    part = partial(admin.get, result)

    same = part(headers={"Range": "bytes=5-", "If-Range": tag})
    other = part(headers={"Range": "bytes=5-", "If-Range": '"other"'})
    dated = part(headers={"Range": "bytes=5-", "If-Range": "Sat, 21 Nov 2026 09:30:00 GMT"})
    held = part(headers={"If-None-Match": tag})

    assert (same.status_code, same.data) == (206, CONTENT[5:])
    assert (other.status_code, other.data) == (200, CONTENT)
    assert (dated.status_code, dated.data) == (200, CONTENT)
    assert (held.status_code, held.data) == (304, b"")


def test_a_head_knows_no_ranges(admin: FlaskClient, result: str) -> None:
    assert admin.head(result, headers={"Range": "bytes=5-"}).status_code == 200


def test_an_empty_file_is_a_file(session: Session, admin: FlaskClient) -> None:
    url = f"{JOBS}/{exported(session, b'')}/result"

    for headers in ({}, {"Range": "bytes=0-"}):
        response = admin.get(url, headers=headers)
        assert (response.status_code, response.data) == (200, b"")


def test_where_there_is_no_file_the_reason_is_told(session: Session, admin: FlaskClient) -> None:
    def answer(job_id: int) -> Any:
        return admin.get(f"{JOBS}/{job_id}/result")

    running = answer(started(session).id)
    old = exported(session, CONTENT)
    session.execute(update(StoredFile).values(expired_at=func.now()))
    session.commit()

    assert code_of(running) == (409, "job_not_finished")
    assert running.headers["Retry-After"] == "1"
    assert code_of(answer(ended(session))) == (404, "no_result_file")
    assert code_of(answer(exported(session, b"half", status="failed"))) == (404, "no_result_file")
    assert code_of(answer(old)) == (410, "file_expired")
    assert code_of(answer(0)) == (404, "job_not_found")


def test_a_slow_download_holds_one_chunk_and_no_connection(
    app: Flask, session: Session, admin: FlaskClient, result: str
) -> None:
    session.rollback()
    with app.app_context(), statements() as sent:
        response = admin.get(result, buffered=False)
        pieces = response.iter_encoded()
        next(iter(pieces))
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of a QueuePool
        chunks = [each for each in sent if "file_chunks" in each.sql]
        assert len(chunks) == 1
        response.close()
