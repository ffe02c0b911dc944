"""The headline's loss by source, by length and by document."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.corpus import Corpus
from acclimate.evaluation.results import Breakdown, Group
from acclimate.evaluation.units import SourceNames, unit_name
from acclimate.scoring.bootstrap import mean_difference
from acclimate.scoring.score import UnitScores
from acclimate.tokens.store import TokenStore

# With fewer units than this there is nothing to draw from.
FEWEST_UNITS = 5
# Bounds of the lengths of a document, in tokens.
LENGTHS = (128, 512, 2048)
MOST_SOURCES = 20
MOST_DOCUMENTS = 10
# A document of fewer targets has a loss of little meaning.
LEAST_TARGETS = 10


@dataclass(frozen=True)
class UnitFacts:
    """What is known of a unit: its name, its source and its tokens."""

    name: str
    source: str
    num_tokens: int


def unit_facts(corpus: Corpus, store: TokenStore) -> list[UnitFacts]:
    """The units of a token store, by their numbers."""
    sources = SourceNames(corpus)
    names: list[list[str]] = [[] for _ in range(len(store.groups))]
    for document, group in zip(store.document_ids, store.document_groups.tolist(), strict=True):
        names[group].append(document)
    return [
        UnitFacts(unit_name(own), sources.of(own[0]), int(end - start))
        for own, (start, end) in zip(names, store.groups.tolist(), strict=True)
    ]


def break_down(before: UnitScores, after: UnitScores, facts: Sequence[UnitFacts], resamples: int) -> Breakdown:
    """The loss of groups of units before and after.

    Args:
        before, after: by unit.
        facts: of the units, by their numbers.
    """
    own = [facts[number] for number in after.units.tolist()]
    sources = _groups([fact.source for fact in own], before, after, resamples)
    sources.sort(key=lambda group: -group.num_targets)
    lengths = _groups([int(np.searchsorted(LENGTHS, fact.num_tokens)) for fact in own], before, after, resamples)
    return Breakdown(
        # One group alone would say again what the whole says.
        source=tuple(sources[:MOST_SOURCES]) if len(sources) > 1 else (),
        length=tuple(lengths) if len(lengths) > 1 else (),
        document=_documents(own, before, after),
    )


def _groups(keys: Sequence[Hashable], before: UnitScores, after: UnitScores, resamples: int) -> list[Group]:
    members: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    ordered: Mapping[Hashable, list[int]] = dict(sorted(members.items(), key=lambda item: str(item[0])))
    groups = (_group(_name(key), chosen, before, after, resamples) for key, chosen in ordered.items())
    return [group for group in groups if group is not None]


def _name(key: Hashable) -> str:
    if not isinstance(key, int):
        return str(key)
    bounds = [1, *(bound + 1 for bound in LENGTHS)]
    return f"{bounds[key]}–{LENGTHS[key]} tokens" if key < len(LENGTHS) else f"> {LENGTHS[-1]} tokens"


def _group(name: str, chosen: Sequence[int], before: UnitScores, after: UnitScores, resamples: int) -> Group | None:
    counts = before.counts[chosen]
    total = float(counts.sum())
    if not total:
        return None
    differences = after.losses[chosen] - before.losses[chosen]
    return Group(
        name=name,
        num_targets=int(total),
        num_units=len(chosen),
        before=float(before.losses[chosen].sum() / total),
        after=float(after.losses[chosen].sum() / total),
        difference=mean_difference(differences, counts, resamples=resamples) if len(chosen) >= FEWEST_UNITS else None,
    )


def _documents(facts: Sequence[UnitFacts], before: UnitScores, after: UnitScores) -> tuple[Group, ...]:
    """Those that gained most, and those that lost most; none is in both lists."""
    counts = before.counts
    enough = np.flatnonzero(counts >= LEAST_TARGETS)
    change = (after.losses[enough] - before.losses[enough]) / counts[enough]
    order = enough[np.argsort(change, kind="stable")].tolist()
    better = [index for index in order if after.losses[index] < before.losses[index]][:MOST_DOCUMENTS]
    worse = [index for index in order if after.losses[index] > before.losses[index]][-MOST_DOCUMENTS:]
    groups = (_group(facts[index].name, [index], before, after, 0) for index in [*better, *worse])
    return tuple(group for group in groups if group is not None)
