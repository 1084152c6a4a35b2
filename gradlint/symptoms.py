"""Answers `gradlint rule`: the list of rules, one rule's page, or the pages that fit an error message."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from gradlint.errors import UsageError, did_you_mean
from gradlint.registry import rules
from gradlint.rule import Rule

SYMPTOM_WEIGHT, TITLE_WEIGHT, TEXT_WEIGHT = 4.0, 2.0, 1.0
"""How much a word counts: in what users see, in a rule's name and message, elsewhere on its page."""

PAIR_BONUS = 2.0
"""Two words that follow each other in both texts count this many times a single one."""

SATURATION = 1.5
"""How soon repeating a word stops to help (k1 of BM25, Robertson and Zaragoza 2009, section 3.2)."""

WORTH_SHOWING = 0.35
"""Rules below this share of the best one's score are not shown."""

MOST_SHOWN = 5
LEAST_SCORE = 4.0

_WORD = re.compile(r"[a-z0-9_]+|[^\W\d_a-z]", re.UNICODE)
_SECTION = re.compile(r"^(Bad|Fixed|Good|Also|Symptoms):", re.MULTILINE)
_STOP_WORDS = """
a an the of to in is are was be it its this that and or for on with my does do did not no but as at by from i you so if
can could should would which what why when how where one has have had will
"""
_STOP = frozenset(_STOP_WORDS.split())


def answer(words: str, color: bool = False) -> str:
    """The text for the words behind `gradlint rule`; raises `UsageError` when nothing fits."""
    if not words.strip():
        return "".join(f"{rule.code}  {rule.severity.value:<8} {rule.name:<28} {_sentence(rule)}\n" for rule in rules())
    named = [rule for rule in rules() if words.strip().lower() in (rule.code.lower(), rule.name)]
    if named:
        return painted(named[0]) if color else page(named[0])
    found = search(words)
    if not found:
        known = [word for rule in rules() for word in (rule.code, rule.name)]
        raise UsageError(f'no rule\'s page speaks of "{words}"{did_you_mean(words, known)}')
    return "".join(map(_hit, found))


def page(rule: type[Rule]) -> str:
    """A rule's page as text."""
    return f"{rule.code} {rule.name} ({rule.severity.value})\n\n{rule.page.strip()}\n"


def painted(rule: type[Rule]) -> str:
    """A rule's page for a terminal: its fences highlighted, its headings bold."""
    import io

    from rich.console import Console
    from rich.markdown import Markdown

    body = re.sub(r"^ {4}", "", rule.page.strip(), flags=re.MULTILINE)
    text = f"# {rule.code} {rule.name} ({rule.severity.value})\n\n" + _SECTION.sub(r"**\1:**", body)
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system="standard").print(Markdown(text))
    return out.getvalue()


def _hit(rule: type[Rule]) -> str:
    return f"{rule.code} {rule.name}: {_sentence(rule)}\n"


def _sentence(rule: type[Rule]) -> str:
    return textwrap.shorten(rule.page.strip().partition("\n\n")[0], 400)


def search(words: str) -> tuple[type[Rule], ...]:
    """The rules whose pages fit an error message or a question, the best one first; none when nothing fits."""
    query = _terms(words)
    scores = {entry.rule: entry.score(query) for entry in _index()}
    best = max(scores.values(), default=0.0)
    ranked = sorted(scores, key=lambda rule: (-scores[rule], rule.code))
    return tuple(rule for rule in ranked[:MOST_SHOWN] if scores[rule] >= max(LEAST_SCORE, WORTH_SHOWING * best))


@dataclass(frozen=True)
class _Entry:
    """A rule with the weight of every term on its page, already multiplied by the term's rarity."""

    rule: type[Rule]
    weights: dict[str, float]

    def score(self, query: Iterable[str]) -> float:
        """The sum over the distinct terms of a query."""
        return sum(self.weights.get(term, 0.0) for term in set(query))


@cache
def _index() -> tuple[_Entry, ...]:
    """BM25 over the pages, without a length norm: pages are of one kind."""
    counts = {rule: _counts(rule) for rule in rules()}
    seen = Counter(term for terms in counts.values() for term in terms)
    total = len(counts)

    def weight(term: str, count: float) -> float:
        rarity = math.log(1 + (total - seen[term] + 0.5) / (seen[term] + 0.5))
        pair = PAIR_BONUS if " " in term else 1.0
        return pair * rarity * count * (SATURATION + 1) / (count + SATURATION)

    return tuple(_Entry(rule, {t: weight(t, n) for t, n in terms.items()}) for rule, terms in counts.items())


def _counts(rule: type[Rule]) -> dict[str, float]:
    symptoms = _symptoms(rule.page)
    title = f"{rule.name.replace('-', ' ')} {rule.message} {_sentence(rule)}"
    found: Counter[str] = Counter()
    for text, weight in ((symptoms, SYMPTOM_WEIGHT), (title, TITLE_WEIGHT), (_prose(rule.page), TEXT_WEIGHT)):
        for term in _terms(text):
            found[term] += weight  # type: ignore[assignment]
    return dict(found)


def _symptoms(text: str) -> str:
    """The text of the section *Symptoms*, which is the last one of a page."""
    return re.split(r"^Symptoms:", text, maxsplit=1, flags=re.MULTILINE)[-1] if "\nSymptoms:" in text else ""


def _prose(text: str) -> str:
    return _SECTION.split(text, maxsplit=1)[0]


def _terms(text: str) -> list[str]:
    """Single words, and pairs of words that follow each other."""
    words = [stem for word in _WORD.findall(text.lower()) if (stem := _stem(word)) not in _STOP]
    return words + [f"{first} {second}" for first, second in itertools.pairwise(words)]


def _stem(word: str) -> str:
    """Plural and singular alike; words of programs, with an underscore, stay as they are."""
    if len(word) <= len("loss") or "_" in word or word.endswith("ss"):
        return word
    return word.removesuffix("s")
