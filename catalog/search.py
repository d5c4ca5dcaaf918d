"""Search: what of a product it looks at, which products `q` means, and how well each fits.

SKUs and handles come first, then names, then whatever else holds all of the words, the last of
them as a beginning. Only where nothing does, small typing errors are forgiven, except in
descriptions: instead of each word its nearest ones in the catalogue's vocabulary are looked for.
Case and accents count nowhere: products and queries are folded alike, by PostgreSQL.
"""

import re
from dataclasses import dataclass

from catalog.filters import Bind
from values import handle_from

# The best of so many hits of each kind are ranked: ranking reads every hit, and a common word
# has hundreds of thousands. A list in the order of a `sort` ranks nothing and finds them all.
RANKED_HITS = 500
_MOST_IDS = 10_000  # that a list in the order of a `sort` takes from one kind of hit
_SPELLED_WORDS = 8  # that are compared letter by letter
_NEAREST_WORDS = 8  # that each of them may stand for
_DESCRIPTION_LIMIT = 50_000  # characters that are searched: a tsvector holds 1 MB
_MARKUP = "<[^>]*>|&#?[A-Za-z0-9]+;"  # HTML's tags, and entities such as `&nbsp;`
_WORD = re.compile(r"[^\W_]+")
_DIGIT = re.compile(r"[0-9]")
_TOO_SHORT = re.compile(r"[A-Za-z0-9]|[0-9]{2}")  # to be the beginning of a word
# ASCII's, by number, so that no driver takes one of them for the mark of a parameter.
_PUNCTUATION = r"[\u0021-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007e]+"


def _folded(text: str) -> str:
    # Without its punctuation a text has no hyphenated words, hosts or paths, which PostgreSQL
    # would index as a whole: `T-Shirt` is found by `shirt`, `A/B` by `b`. `translate` would take
    # several times as long.
    return f"regexp_replace(unaccent({text}), '{_PUNCTUATION}', ' ', 'g')"


def _words(text: str) -> str:
    return f"to_tsvector('simple', {_folded(text)})"


def columns(source: str) -> str:
    """A subquery of one row: the search columns of the product in `source`, a relation."""
    title = _words(f"concat_ws(' ', {source}.name, {source}.handle)")
    labels = _words(f"concat_ws(' ', {source}.vendor, {source}.category, {source}.tags)")
    text = f"regexp_replace({source}.description, '{_MARKUP}', ' ', 'g')"
    prose = _words(f"left({text}, {_DESCRIPTION_LIMIT})")
    return (
        f"SELECT title AS search_title, setweight(title, 'A') || setweight({labels}, 'B')"
        f" || coalesce({prose}, '') AS search_words"
        f" FROM (SELECT {title} AS title OFFSET 0) t"  # which keeps it from being made twice
    )


@dataclass(frozen=True, slots=True)
class Search:
    """What `q` means; `forgiving` of small typing errors, for when nothing is found without."""

    q: str
    forgiving: bool = False

    def condition(self, bind: Bind) -> str:
        """The SQL that holds for each product `p` that is found."""
        if self.forgiving:
            return f"p.id = ANY(ARRAY({_OF_ANY_STEP.format(self._steps(bind), _MOST_IDS)}))"
        skus = _OF_SKU.format(self._sku_begins(bind), _MOST_IDS)
        return (
            f"(p.search_words @@ {self._all_words(bind)} OR p.handle = ANY({self._handles(bind)})"
            f" OR p.id = ANY(ARRAY({skus})))"
        )

    def hits(self, where: str, bind: Bind, limit: int) -> str:
        """Common table expressions that end in `hits`: products' id and `rank`, the best lowest.

        `limit` is the most hits of each kind; `where` narrows down the products `p`.
        """
        if self.forgiving:
            found = _BY_STEPS.format(steps=self._steps(bind), where=where, limit=bind(limit))
        else:
            found = self._ranked(where, bind, bind(limit))
        return found + _HITS

    def _ranked(self, where: str, bind: Bind, limit: str) -> str:
        sku = f"CASE WHEN lower(s.sku) = lower({bind(self.q)}) THEN 3 ELSE 2 END"
        return _RANKED.format(
            words=self._all_words(bind),
            handles=self._handles(bind),
            sku_score=sku,
            sku_begins=self._sku_begins(bind),
            where=where,
            limit=limit,
        )

    def _steps(self, bind: Bind) -> str:
        # A lone letter is like every word that begins with it, and a code is no word.
        words = [word for word in _WORD.findall(self.q.lower()) if len(word) > 1][:_SPELLED_WORDS]
        spelled = [word for word in words if not _DIGIT.search(word)]
        codes = " ".join(word for word in words if _DIGIT.search(word))
        as_they_are = f" && plainto_tsquery('simple', {_folded(bind(codes))})" if codes else ""
        asked = [f"({n}, unaccent({bind(word)}))" for n, word in enumerate(spelled)]
        return _STEPS.format(
            asked=", ".join(asked) or "(0, NULL::text)",
            number=len(asked),
            nearest=_NEAREST_WORDS,
            codes=as_they_are,
        )

    def _all_words(self, bind: Bind) -> str:
        """A tsquery of all words, the last as a beginning; NULL, which finds nothing, of none."""
        parsed = f"plainto_tsquery('simple', {_folded(bind(self.q))})"
        last = _WORD.findall(self.q)[-1:]
        # One ASCII letter begins a tenth of all words, two digits one of ninety numbers, of which
        # handles and names are full: they would read as much of the index.
        begins = "''" if not last or _TOO_SHORT.fullmatch(last[0]) else "':*'"
        return f"(nullif({parsed}::text, '') || {begins})::tsquery"

    def _handles(self, bind: Bind) -> str:
        # From signs alone `handle_from` makes a handle that says nothing of them.
        derived = [handle_from(self.q)] if _WORD.search(self.q) else []
        return bind(sorted({self.q, self.q.lower(), *derived}))

    def _sku_begins(self, bind: Bind) -> str:
        escaped = re.sub(r"([\\%_])", r"\\\1", self.q)
        return f"lower(s.sku) LIKE lower({bind(escaped + '%')})"


# As arrays, because the planner cannot know how few they are, and would read the table instead.
_OF_SKU = "SELECT s.product_id FROM variants s WHERE {} LIMIT {}"
# Each kind of hit is a branch of its own, because each is then one index scan, and is left out
# where there are enough better ones. A rank of its own grows with each word that begins like the
# last one; by 32 (rank / (rank + 1)) it stays below 1, and no kind of hit overtakes the next.
_RANKED = """asked AS MATERIALIZED (SELECT {words} AS words), exact AS MATERIALIZED (
    (SELECT p.id, 3 AS score FROM products p WHERE p.handle = ANY({handles}) AND {where})
    UNION ALL
    (SELECT p.id, {sku_score} FROM variants s JOIN products p ON p.id = s.product_id
    WHERE {sku_begins} AND {where} LIMIT {limit})
), better AS MATERIALIZED (
    SELECT * FROM exact
    UNION ALL
    (SELECT p.id, 1 + ts_rank(p.search_title, (SELECT words FROM asked), 32) FROM products p
    WHERE p.search_title @@ (SELECT words FROM asked) AND {where}
    AND (SELECT count(*) FROM exact) < {limit} LIMIT {limit})
), found AS (
    SELECT * FROM better
    UNION ALL
    (SELECT p.id, ts_rank(p.search_words, (SELECT words FROM asked), 32) FROM products p
    WHERE p.search_words @@ (SELECT words FROM asked) AND {where}
    AND (SELECT count(*) FROM better) < {limit} LIMIT {limit})
)"""
# All that is said of a product but its description; there is an index of it.
_LABELS = "ts_filter(p.search_words, '{{a,b}}')"
# Each step takes the next nearest word for each that is asked, beside those of the steps before:
# the first finds what is most alike, and the last all that is alike.
_STEPS = """asked (number, word) AS (VALUES {asked}), near AS MATERIALIZED (
    SELECT asked.number, nearest.* FROM asked CROSS JOIN LATERAL (
        SELECT quote_literal(v.word) AS word, similarity(v.word, asked.word) AS likeness,
            row_number() OVER (ORDER BY similarity(v.word, asked.word) DESC, v.word) AS place
        FROM vocabulary v WHERE v.word %% asked.word GROUP BY v.word ORDER BY place LIMIT {nearest}
    ) nearest
), steps AS MATERIALIZED (
    SELECT step, sum(likeness) AS likeness,
        string_agg(words, ' & ')::tsquery{codes} AS words
    FROM generate_series(1, (SELECT max(place) FROM near)) step CROSS JOIN LATERAL (
        SELECT '(' || string_agg(word, '|') || ')' AS words, min(likeness) AS likeness
        FROM near WHERE place <= step GROUP BY number
    ) each GROUP BY step HAVING count(*) = {number}
)"""
_OF_ANY_STEP = f"""WITH {{}} SELECT p.id FROM products p
    WHERE {_LABELS} @@ (SELECT words FROM steps ORDER BY step DESC LIMIT 1) LIMIT {{}}"""
_BY_STEPS = f"""{{steps}}, found AS (
    SELECT p.id, s.likeness AS score FROM (
        SELECT step, likeness, coalesce(words && !!lag(words) OVER (ORDER BY step), words) AS words
        FROM steps
    ) s CROSS JOIN LATERAL (
        SELECT p.id FROM products p WHERE {_LABELS} @@ s.words AND {{where}} LIMIT {{limit}}
    ) p ORDER BY s.step LIMIT {{limit}}
)"""
_HITS = """, hits AS (
    SELECT id, round(-max(score)::numeric, 6) AS rank FROM found GROUP BY id
)"""
