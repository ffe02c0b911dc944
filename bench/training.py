"""Training: tokens per second, share of the GEMM peak, peak memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import figures
from acclimate.hardware import has_fast_bf16
from cases import ABLATIONS, VARIANTS, Case, cases, tuned_candidates
from hardware import peak
from materials import MODELS, Sources
from measured import measure

Report = Mapping[str, Any]
NO_DROPOUT = {
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "t5": {"dropout_rate": 0.0},
}


@dataclass(frozen=True)
class Setup:
    """How everything is measured.

    Attributes:
        tell: hears what is being done.
        limit: documents of the corpus that are used; None for all.
        rounds, steps: how often each side runs, and how many steps are timed, where it is not what the case says.
    """

    device: str
    threads: int
    quick: bool
    sources: Sources
    hardware: Mapping[str, Any]
    tell: Callable[[str], None]
    limit: int | None = None
    rounds: int | None = None
    steps: int | None = None

    def cases(self) -> list[Case]:
        """The cases to run."""
        found = cases(self.device, self.quick)
        if self.rounds:
            found = [replace(case, rounds=self.rounds) for case in found]
        if self.steps:
            found = [replace(case, steps=self.steps, warmup=min(case.warmup, self.steps)) for case in found]
        return found

    def measure(self, job: str, **arguments: Any) -> Report:
        return measure(job, threads=self.threads, **arguments)

    def prepare(self, model: str) -> dict[str, str]:
        """The folders that a model is trained from; raises RuntimeError where they cannot be made."""
        places = {
            name: str(path) if (path := getattr(self.sources, name)) else None for name in ("corpus", "tokenizer")
        }
        made = self.measure("prepare", model=model, limit=self.limit, **places)
        if "failed" in made:
            raise RuntimeError(f"{model} cannot be made ready: {made['failed']}")
        return dict(made)


@dataclass(frozen=True)
class Contestant:
    """One way of training a case: a peer's script or a variant of ours, and what it is told."""

    name: str
    side: str
    settings: Mapping[str, Any]
    overrides: Mapping[str, Any]


def results(setup: Setup, only: Sequence[str]) -> list[figures.Row]:
    """The rows of all cases; `only` names some."""
    rows: list[figures.Row] = []
    for case in setup.cases():
        if not only or case.name in only:
            rows += case_results(case, setup)
    return rows


def case_results(case: Case, setup: Setup) -> list[figures.Row]:
    try:
        folders = setup.prepare(case.model)
    except RuntimeError as error:
        return [figures.row(f"{case.name}: tokens/s, against plain", [], [], "tokens/s", f"not measured: {error}")]
    tuned, tried = tune(case, folders, setup)
    runs = run_all(contestants(case, folders, tuned, setup), case, setup)
    return Comparison(case, runs, tried, setup).rows()


# ---- running ---------------------------------------------------------------------------------------------------------


def probe_settings(device: str) -> dict[str, Any]:
    return {"block": 10 if device == "cuda" else 1}


def has_dropout(case: Case) -> bool:
    """Whether the model's own configuration has dropout; decoders and ModernBERT have none."""
    return MODELS[case.model].config.get("model_type") in NO_DROPOUT


def tune(case: Case, folders: Mapping[str, str], setup: Setup) -> tuple[dict[str, Any], str]:
    """The fastest of the candidates for the best-tuned peer, and what was found, by one short run of each."""
    candidates = tuned_candidates(setup.device)
    if setup.device == "cpu" and setup.quick:
        name = "bf16" if has_fast_bf16(on_cpu=True) else "fp32"
        return candidates[name], f"tuned in {name}, by the CPU's instructions"
    speeds: dict[str, float] = {}
    told = []
    for name, training in candidates.items():
        setup.tell(f"{case.name}: trying {name} for the best-tuned peer")
        short = replace(case, warmup=min(case.warmup, 10), steps=max(2, case.steps // 5))
        contestant = Contestant(name, "tuned", short.settings(folders, setup.device, training), {})
        report = train(contestant, setup)
        if "failed" in report:
            told.append(f"{name} failed ({report['failed']})")
        else:
            speeds[name] = tokens_per_second(report, short)
            told.append(f"{name} {figures.number(speeds[name])}")
    if not speeds:
        return {}, f"tuned: {', '.join(told)}"
    best = max(speeds, key=lambda name: speeds[name])
    return candidates[best], f"tuned in {best}; tokens/s of short runs: {', '.join(told)}"


def contestants(case: Case, folders: Mapping[str, str], tuned: Mapping[str, Any], setup: Setup) -> list[Contestant]:
    def told(**training: Any) -> dict[str, Any]:
        return case.settings(folders, setup.device, training)

    found = [Contestant("plain", "plain", told(), {}), Contestant("tuned", "tuned", told(**tuned), {})]
    variants = ["ours"]
    if has_dropout(case):
        variants += ["no dropout"]
    if has_dropout(case) and not setup.quick:
        off = {**told(**tuned), "config": NO_DROPOUT[MODELS[case.model].config["model_type"]]}
        found.append(Contestant("tuned, no dropout", "tuned", off, {}))
    return found + [Contestant(name, "ours", told(), VARIANTS[name]) for name in variants]


def run_all(found: Sequence[Contestant], case: Case, setup: Setup) -> dict[str, list[Report]]:
    """The reports of each contestant: all of them in turn, so many rounds. One that fails is not tried again."""
    runs: dict[str, list[Report]] = {contestant.name: [] for contestant in found}
    for number in range(case.rounds):
        for contestant in found:
            if any("failed" in report for report in runs[contestant.name]):
                continue
            report = train(contestant, setup)
            runs[contestant.name].append(report)
            speed = report.get("failed") or f"{tokens_per_second(report, case):,.0f} tokens/s"
            setup.tell(f"{case.name}, round {number + 1} of {case.rounds}: {contestant.name}: {speed}")
    return runs


def train(contestant: Contestant, setup: Setup) -> Report:
    probe = probe_settings(setup.device)
    settings = dict(contestant.settings)
    if contestant.side == "ours":
        return setup.measure("train_ours", settings=settings, overrides=dict(contestant.overrides), probe=probe)
    return setup.measure("train_peer", script=contestant.side, settings=settings, probe=probe)


def tokens_per_second(report: Report, case: Case) -> float:
    """Tokens of a mean step by the median time of the steps after warm-up; padding is not counted."""
    return float(report["tokens_per_step"]) / step_seconds(report, case.warmup)


def step_seconds(report: Report, warmup: int) -> float:
    seconds = report["seconds"][-(-warmup // report["block"]) :]
    return statistics.median(seconds)


# ---- comparing -------------------------------------------------------------------------------------------------------


class Comparison:
    """The rows of one case, from the reports of its contestants."""

    def __init__(self, case: Case, runs: Mapping[str, Sequence[Report]], tried: str, setup: Setup) -> None:
        self.case = case
        self.runs = runs
        self.tried = tried
        self.setup = setup

    def rows(self) -> list[figures.Row]:
        speed, memory = self.speed, self.memory
        equal = "both with the configuration's dropout" if has_dropout(self.case) else "neither has dropout"
        tuned = f"{equal}; {self.tried}"
        rows = [
            speed("against plain", "plain", "ours", equal),
            speed("against tuned, equal dropout", "tuned", "ours", tuned),
        ]
        if has_dropout(self.case):
            rows += [
                speed("against tuned, ours without dropout", "tuned", "no dropout", self.tried),
            ]
            if "tuned, no dropout" in self.runs:
                rows.append(speed("against tuned, both without dropout", "tuned, no dropout", "no dropout", self.tried))
        if MODELS[self.case.model].objective != "span_denoising":
            rows.append(self.utilisation())
        whole = (
            "GPU memory allocated" if self.setup.device == "cuda" else "resident memory of the process, libraries too"
        )
        beyond = "less weights, gradients, optimizer state" + ("" if self.setup.device == "cuda" else " and libraries")
        rows += [
            memory("peak memory beyond weights, gradients and optimizer", "beyond", beyond),
            memory("peak memory", "peak", whole),
        ]
        if self.case.name == "bert-small":
            rows.append(self._row("seconds from the start of the process to the end of the first step", "plain", "ours",
                                  "s", lambda report: report["first_step"], "ours: tokens stored before"))  # fmt: skip
        return rows

    def speed(self, what: str, peer: str, ours: str, note: str = "") -> figures.Row:
        def of(report: Report) -> float:
            return tokens_per_second(report, self.case)

        return self._row(f"tokens/s, {what}", peer, ours, "tokens/s", of, note)

    def memory(self, what: str, part: str, note: str) -> figures.Row:
        return self._row(what, "plain", "ours", "MiB", lambda report: report["memory"][part] / 2**20, note)

    def utilisation(self) -> figures.Row:
        best = peak(self.setup.hardware)
        basis = "by its data sheet" if self.setup.hardware["data_sheet_peak"] else "measured"

        def of(report: Report) -> float:
            return flops_per_second(report, self.case) / best

        note = f"of {best / 1e12:.3g} TFLOP/s, {basis}; FLOPs: 6 x body weights a token, head at predicted positions"
        return self._row("share of the GEMM peak", "tuned", "ours", "", of, note)

    def _row(self, what: str, peer: str, ours: str, unit: str, of: Callable[[Report], float], note: str) -> figures.Row:
        failures = [
            f"{name} not measured: {report['failed']}"
            for name in (peer, ours)
            for report in self.runs.get(name, ())
            if "failed" in report
        ]
        measured = [
            [of(report) for report in self.runs.get(name, ()) if "failed" not in report] for name in (peer, ours)
        ]
        notes = [part for part in (note, self.setup.sources.note, *failures) if part]
        return figures.row(f"{self.case.name}: {what}", *measured, unit, "; ".join(notes))


def flops_per_second(report: Report, case: Case) -> float:
    from acclimate.models.flops import LinearWeights, training_flops

    predicted = MODELS[case.model].predicted_share
    tokens = report["tokens_per_step"]
    needed = training_flops(LinearWeights(**report["weights"]), tokens, predicted * tokens)
    return needed / step_seconds(report, case.warmup)


# ---- ablation --------------------------------------------------------------------------------------------------------


def ablation(setup: Setup, only: Sequence[str]) -> list[figures.Row]:
    """What each idea gives: ours without it stands where the peer stands. In the first case, or the one named."""
    (case, *_) = [case for case in setup.cases() if not only or case.name in only]
    folders = setup.prepare(case.model)
    settings = case.settings(folders, setup.device, {})
    found = {"ours": Contestant("ours", "ours", settings, {})}
    for idea, overrides in ABLATIONS.items():
        found[f"without {idea}"] = Contestant(f"without {idea}", "ours", settings, overrides)
    comparison = Comparison(case, run_all(list(found.values()), case, setup), "", setup)
    rows = []
    for idea, overrides in ABLATIONS.items():
        note = f"peer: ours with {', '.join(f'{key}={value}' for key, value in overrides.items())}"
        without = f"without {idea}"
        speed = comparison.speed("", without, "ours", note)
        memory = comparison._row("", without, "ours", "MiB", lambda report: report["memory"]["beyond"] / 2**20, note)
        rows += [
            {**speed, "name": f"ablation, {case.name}: {idea}: tokens/s"},
            {**memory, "name": f"ablation, {case.name}: {idea}: peak memory beyond the needed"},
        ]
    return rows
