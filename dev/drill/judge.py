"""The end of a drill: a table of what was done and what came of it; each promise, kept or not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dev.drill.load import Asked

POSTGRESQL_MOST, REDIS_MOST, DYNO_MEGABYTES = 19, 18, 512
EXIT_SECONDS, BOOT_SECONDS, RELEASE_SECONDS = 25, 3, 3
ANSWERS_SECONDS, JOBS_SECONDS = 10, 90
_EXPECTED = {*range(200, 300), 304, 409}  # 409: the same request is being done

Window = tuple[float, float]


@dataclass
class Act:
    """One thing that was done: how long it took, and what was seen meanwhile."""

    title: str
    seconds: float
    asked: Sequence[Asked]
    answers_after: float  # seconds until a write was acknowledged again
    jobs_after: float  # seconds until jobs in hand had gone on, and a new one had ended
    exits: Sequence[float]
    most: dict[str, int]

    @property
    def server_errors(self) -> int:
        """Answers of 5xx."""
        return sum(1 for each in self.asked if each.status is not None and each.status >= 500)

    @property
    def cut_off(self) -> int:
        """Requests that were never answered."""
        return sum(1 for each in self.asked if each.status is None)


@dataclass
class Report:
    """All that a drill has found."""

    acts: list[Act] = field(default_factory=list)
    asked: Sequence[Asked] = ()  # in all of them, before and after
    boot_seconds: float = 0.0  # of a web dyno, before there was any load
    release_seconds: float = 0.0  # on an up-to-date database, likewise
    postgresql_down: list[Window] = field(default_factory=list)
    web_killed: list[Window] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # whatever else went wrong

    def broken(self, patience: float = 1.0) -> list[str]:
        """The promises that were not kept; `patience` times as long may a start take."""
        return [f"{what}: {found}" for what, found, kept in self.promises(patience) if not kept]

    def promises(self, patience: float = 1.0) -> Iterator[tuple[str, str, bool]]:
        """Each promise with what was found, and whether it was kept."""
        yield "No acknowledged write is lost, nothing done twice", *_none(self.lost)
        yield (
            "No 5xx while PostgreSQL is up; while it is down, 503 with Retry-After",
            *_none([*self._unexcused_errors()]),
        )
        yield (
            "No request is cut off, but by a SIGKILL of its dyno",
            *_none([*self._unexcused_cuts()]),
        )
        yield "No other answer than was asked for", *_none([*self._unexpected()])
        yield _most("Dynos exit after SIGTERM", EXIT_SECONDS, self._exits(), "s")
        boot, release = BOOT_SECONDS * patience, RELEASE_SECONDS * patience
        yield _most("Boot to first answer", boot, [self.boot_seconds], "s")
        yield _most("Release on an up-to-date database", release, [self.release_seconds], "s")
        answers = [act.answers_after for act in self.acts]
        yield _most("Writes go on after", ANSWERS_SECONDS, answers, "s")
        jobs = [act.jobs_after for act in self.acts]
        yield _most("Jobs go on after", JOBS_SECONDS, jobs, "s")
        for what, name, most, unit in (
            ("PostgreSQL", "postgresql", POSTGRESQL_MOST, "connections"),
            ("Redis", "redis", REDIS_MOST, "connections"),
            ("A web dyno", "web", DYNO_MEGABYTES, "MB"),
            ("A worker dyno", "worker", DYNO_MEGABYTES, "MB"),
        ):
            yield _most(what, most, [act.most.get(name, 0) for act in self.acts], unit)
        yield "Nothing else went wrong", *_none(self.faults)

    def _exits(self) -> list[float]:
        return [seconds for act in self.acts for seconds in act.exits]

    def _unexcused_errors(self) -> Iterator[str]:
        for each in self.asked:
            if each.status is not None and each.status >= 500:
                fair = each.status == 503 and each.retry_after
                if not (fair and _within(each, self.postgresql_down)):
                    yield f"{each.what} {each.status}"

    def _unexcused_cuts(self) -> Iterator[str]:
        for each in self.asked:
            if each.status is None and not _within(each, self.web_killed):
                yield each.what

    def _unexpected(self) -> Iterator[str]:
        for each in self.asked:
            if each.status in range(100, 500) and each.status not in _EXPECTED:
                yield f"{each.what} {each.status}"

    def _sum(self) -> Act:
        """All acts as one: their sums, or the most that was seen."""
        most: Counter[str] = Counter()
        for act in self.acts:
            most |= Counter(act.most)
        return Act(
            "in all",
            sum(act.seconds for act in self.acts),
            self.asked,
            max(act.answers_after for act in self.acts),
            max(act.jobs_after for act in self.acts),
            self._exits(),
            most,
        )

    def __str__(self) -> str:
        """The table, and under it the promises."""
        heads = ("", "s", "requests", "5xx", "cut", "writes", "jobs", "exit", "PG", "Redis")
        rows = [(*heads, "web MB", "worker MB"), *map(_row, self.acts), _row(self._sum())]
        first = max(len(row[0]) for row in rows)
        lines = [row[0].ljust(first) + "".join(cell.rjust(10) for cell in row[1:]) for row in rows]
        lines += ["", "writes, jobs: seconds until they went on; exit: of the slowest dyno", ""]
        for what, found, kept in self.promises():
            lines.append(f"{'kept  ' if kept else 'BROKEN'}  {what}: {found}")
        return "\n".join(lines)


def _row(act: Act) -> tuple[str, ...]:
    most = [str(act.most.get(what, 0)) for what in ("postgresql", "redis", "web", "worker")]
    return (
        act.title,
        f"{act.seconds:.1f}",
        *(str(count) for count in (len(act.asked), act.server_errors, act.cut_off)),
        f"{act.answers_after:.1f}",
        f"{act.jobs_after:.1f}",
        f"{max(act.exits, default=0):.1f}",
        *most,
    )


def _within(asked: Asked, windows: Sequence[Window]) -> bool:
    return any(asked.began <= end and asked.ended >= begin for begin, end in windows)


def _none(found: Sequence[str]) -> tuple[str, bool]:
    shown = "; ".join(found[:5])
    return (f"{len(found)}: {shown}" if found else "0"), not found


def _most(what: str, most: float, found: Sequence[float], unit: str) -> tuple[str, str, bool]:
    """Nothing seen is no proof."""
    highest = max(found, default=0)
    return f"{what}, at most {most:g} {unit}", f"{highest:.3g}", 0 < highest <= most
