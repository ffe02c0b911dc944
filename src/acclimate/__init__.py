"""acclimate: acclimate a language model to your documents.

Every verb of the command line is a function of the same name and arguments: `acclimate pretrain` is
`acclimate.pretrain(...)`. They are imported when first used, so that `import acclimate` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.corpus import Corpus, CorpusSettings, SourceSettings, build_corpus, open_corpus
    from acclimate.evaluation.evaluate import evaluate
    from acclimate.evaluation.results import Evaluation
    from acclimate.inference.detect import Detection, detect, load_detector
    from acclimate.inference.fill import fill, fill_blanks, load_filler
    from acclimate.inference.generate import generate, load_generator
    from acclimate.inference.judge_pair import Verdict, judge_pair, load_pair_judge
    from acclimate.inference.score import Scores, load_scorer, score
    from acclimate.interop.collator import MaskingCollator
    from acclimate.interop.examples import Examples, prepare
    from acclimate.interop.making import examples_for
    from acclimate.interop.trainer import ObjectiveTrainerMixin
    from acclimate.jobs.demo import demo
    from acclimate.jobs.inspect_batch import Inspection, count_exposure, inspect_batch
    from acclimate.jobs.objectives import ObjectiveTable, list_objectives
    from acclimate.jobs.pretrain import Run, pretrain
    from acclimate.jobs.recipes import Recipe, load_recipe
    from acclimate.jobs.report import report
    from acclimate.jobs.run import RunResult, run
    from acclimate.models.directed import load_directed
    from acclimate.scoring.generator import Generated
    from acclimate.scoring.spans import SpanCandidate
    from acclimate.training.stream import StreamSampler

__version__ = "0.1.0"

_HOMES = {
    "Corpus": "acclimate.corpus",
    "CorpusSettings": "acclimate.corpus",
    "SourceSettings": "acclimate.corpus",
    "build_corpus": "acclimate.corpus",
    "open_corpus": "acclimate.corpus",
    "Evaluation": "acclimate.evaluation.results",
    "evaluate": "acclimate.evaluation.evaluate",
    "fill": "acclimate.inference.fill",
    "load_filler": "acclimate.inference.fill",
    "fill_blanks": "acclimate.inference.fill",
    "SpanCandidate": "acclimate.scoring.spans",
    "Generated": "acclimate.scoring.generator",
    "generate": "acclimate.inference.generate",
    "load_generator": "acclimate.inference.generate",
    "judge_pair": "acclimate.inference.judge_pair",
    "Verdict": "acclimate.inference.judge_pair",
    "load_pair_judge": "acclimate.inference.judge_pair",
    "detect": "acclimate.inference.detect",
    "Detection": "acclimate.inference.detect",
    "load_detector": "acclimate.inference.detect",
    "score": "acclimate.inference.score",
    "Scores": "acclimate.inference.score",
    "load_scorer": "acclimate.inference.score",
    "MaskingCollator": "acclimate.interop.collator",
    "Examples": "acclimate.interop.examples",
    "examples_for": "acclimate.interop.making",
    "prepare": "acclimate.interop.examples",
    "ObjectiveTrainerMixin": "acclimate.interop.trainer",
    "demo": "acclimate.jobs.demo",
    "Inspection": "acclimate.jobs.inspect_batch",
    "count_exposure": "acclimate.jobs.inspect_batch",
    "inspect_batch": "acclimate.jobs.inspect_batch",
    "ObjectiveTable": "acclimate.jobs.objectives",
    "list_objectives": "acclimate.jobs.objectives",
    "Run": "acclimate.jobs.pretrain",
    "pretrain": "acclimate.jobs.pretrain",
    "Recipe": "acclimate.jobs.recipes",
    "load_recipe": "acclimate.jobs.recipes",
    "report": "acclimate.jobs.report",
    "RunResult": "acclimate.jobs.run",
    "run": "acclimate.jobs.run",
    "StreamSampler": "acclimate.training.stream",
    "load_directed": "acclimate.models.directed",
}

__all__ = [
    "Corpus",
    "CorpusSettings",
    "Detection",
    "Evaluation",
    "Examples",
    "Generated",
    "Inspection",
    "MaskingCollator",
    "ObjectiveTable",
    "ObjectiveTrainerMixin",
    "Recipe",
    "Run",
    "RunResult",
    "Scores",
    "SourceSettings",
    "StreamSampler",
    "SpanCandidate",
    "Verdict",
    "__version__",
    "build_corpus",
    "count_exposure",
    "demo",
    "detect",
    "evaluate",
    "examples_for",
    "fill",
    "fill_blanks",
    "generate",
    "inspect_batch",
    "judge_pair",
    "list_objectives",
    "load_detector",
    "load_directed",
    "load_filler",
    "load_generator",
    "load_pair_judge",
    "load_recipe",
    "load_scorer",
    "open_corpus",
    "prepare",
    "pretrain",
    "report",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
