"""What went in: the ledger as a flow from sources to training tokens, and the same as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from acclimate.reporting.facts import Facts
from acclimate.reporting.html import join, paragraph, shortened, table
from acclimate.reporting.sections.common import LONGEST_NAME, missing, short_path
from acclimate.reporting.svg.base import figure
from acclimate.reporting.svg.flow import Flow, Node, draw_flow
from acclimate.reporting.words import Words

# Nodes of a column; the smaller ones are told together.
MOST_SOURCES = 8
MOST_REASONS = 7
# There are some two dozen reasons.
MOST_LINES = 60


def render(facts: Facts, words: Words) -> Markup:
    """The flow, what was dropped and why, and what rows were made."""
    if facts.corpus is None:
        return join([missing("missing_corpus", facts, words), _rows(facts, words)])
    flow = flow_of(facts, words)
    flow.check()
    ledger = facts.corpus["ledger"]
    return join(
        [
            figure(lambda width: draw_flow(flow, words, id_="flow", width=width), words("flow_unit")),
            _sums(ledger, words),
            _rows(facts, words),
            _counts(facts, words),
            _reasons(ledger, words),
        ]
    )


def flow_of(facts: Facts, words: Words) -> Flow:
    """The ledger as nodes and links; characters that came in by mending text are a source of their own."""
    assert facts.corpus is not None
    ledgers = _ledgers(facts, words)
    reasons = _main_reasons(facts.corpus["ledger"]["reasons"], words)
    rest = words("flow_other_reasons")
    first: dict[tuple[int, int], int] = {}
    for place, (_, ledger) in enumerate(ledgers):
        first[place, 0] = ledger["characters"]["kept"]
        for reason, counts in ledger["reasons"].items():
            at = 1 + (reasons.index(reason) if reason in reasons else reasons.index(rest))
            first[place, at] = first.get((place, at), 0) + counts["characters"]
    splits = facts.corpus["splits"]
    ends = {"train": splits["train"]["characters"], "held_out": splits["held_out"]["characters"]}
    kept = Node(words("flow_kept"), facts.corpus["ledger"]["characters"]["kept"])
    lost = [
        Node(_reason(reason, words) if reason != rest else rest, _arriving(first, place), lost=True)
        for place, reason in enumerate(reasons, start=1)
    ]
    return Flow(
        sources=[Node(name, _leaving(first, place)) for place, (name, _) in enumerate(ledgers)],
        middle=[kept, *lost],
        ends=[Node(words(f"flow_{name}"), size, _tokens(facts, name, words)) for name, size in ends.items()],
        first=first,
        second={(0, place): size for place, size in enumerate(ends.values())},
    )


def _leaving(links: Mapping[tuple[int, int], int], place: int) -> int:
    return sum(size for (start, _), size in links.items() if start == place)


def _arriving(links: Mapping[tuple[int, int], int], place: int) -> int:
    return sum(size for (_, end), size in links.items() if end == place)


def _tokens(facts: Facts, split: str, words: Words) -> str:
    tokens = facts.number("tokens", split, "text")
    return "" if tokens is None else words("num_tokens", number=words.integer(tokens))


def _ledgers(facts: Facts, words: Words) -> list[tuple[str, Mapping[str, Any]]]:
    """(name, ledger) of each source, the largest first and the smallest together; all in one for an older corpus."""
    corpus = facts.corpus
    assert corpus is not None
    by_source = corpus.get("ledger_by_source")
    if not by_source:
        return [(words("flow_all"), corpus["ledger"])]
    named = [(shortened(name or _only_source(corpus, words), LONGEST_NAME), it) for name, it in by_source.items()]
    named.sort(key=lambda entry: (-entry[1]["characters"]["in"], entry[0]))
    if len(named) <= MOST_SOURCES:
        return named
    kept, rest = named[: MOST_SOURCES - 1], named[MOST_SOURCES - 1 :]
    return [*kept, (words("flow_other_sources", number=len(rest)), _together([ledger for _, ledger in rest]))]


def _only_source(corpus: Mapping[str, Any], words: Words) -> str:
    """A corpus of one source has no name for it; its address has one."""
    sources = corpus.get("settings", {}).get("sources") or [{}]
    place = next((sources[0].get(key) for key in ("path", "git", "dataset") if sources[0].get(key)), None)
    return short_path(place) if place else words("flow_all")


def _together(ledgers: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    reasons: dict[str, dict[str, int]] = {}
    for ledger in ledgers:
        for reason, counts in ledger["reasons"].items():
            total = reasons.setdefault(reason, {"characters": 0})
            total["characters"] += counts["characters"]
    kinds = ("in", "added", "kept", "dropped")
    return {
        "characters": {kind: sum(ledger["characters"][kind] for ledger in ledgers) for kind in kinds},
        "reasons": reasons,
    }


def _main_reasons(reasons: Mapping[str, Mapping[str, int]], words: Words) -> list[str]:
    """The reasons that cost characters, the dearest first; the last place is for all others, where there are more."""
    costly = [name for name, counts in reasons.items() if counts["characters"]]
    costly.sort(key=lambda name: (-reasons[name]["characters"], name))
    if len(costly) <= MOST_REASONS:
        return costly
    return [*costly[: MOST_REASONS - 1], words("flow_other_reasons")]


def _reason(name: str, words: Words) -> str:
    return words.get(f"reason_{name}") or shortened(name.replace("_", " "), LONGEST_NAME)


def _sums(ledger: Mapping[str, Any], words: Words) -> Markup:
    """The sums in a sentence: in + added = kept + dropped."""
    return paragraph(words("flow_sums", **{key: words.integer(size) for key, size in ledger["characters"].items()}))


def _rows(facts: Facts, words: Words) -> Markup | None:
    rows, padding = facts.number("tokens", "rows"), facts.number("tokens", "padding_share")
    if rows is None or padding is None:
        return None
    told = words(
        "rows_told",
        rows=words.integer(rows),
        length=words.integer(facts.number("recipe", "max_length")),
        tokens=words.integer(facts.number("tokens", "train", "text")),
        padding=words.percent(padding, 2),
    )
    share = facts.number("replay", "share")
    replay = None if share is None else words("replay_told", share=words.percent(share, 0))
    return paragraph(words("gap").join(filter(None, (told, replay))))


def _counts(facts: Facts, words: Words) -> Markup:
    assert facts.corpus is not None
    ledger, splits = facts.corpus["ledger"], facts.corpus["splits"]
    documents, characters = ledger["documents"], ledger["characters"]
    entries = [
        (words("flow_in"), documents["in"], characters["in"], None),
        (words("flow_added"), None, characters["added"], None),
        (words("flow_kept"), documents["kept"], characters["kept"], None),
        (words("flow_dropped"), documents["dropped"], characters["dropped"], None),
        *(
            (
                words(f"flow_{name}"),
                splits[name]["documents"],
                splits[name]["characters"],
                facts.number("tokens", name, "text"),
            )
            for name in ("train", "held_out")
        ),
    ]
    rows = [[name, *("" if value is None else words.integer(value) for value in values)] for name, *values in entries]
    head = ["", words("documents"), words("characters"), words("tokens")]
    return table(head, rows, caption=words("flow_table"))


def _reasons(ledger: Mapping[str, Any], words: Words) -> Markup | None:
    reasons = ledger["reasons"]
    if not reasons:
        return None
    order = sorted(reasons, key=lambda name: (-reasons[name]["characters"], name))[:MOST_LINES]
    rows = [
        [_reason(name, words), words.integer(reasons[name]["documents"]), words.integer(reasons[name]["characters"])]
        for name in order
    ]
    return table([words("reason"), words("documents"), words("characters")], rows, caption=words("reasons_table"))
