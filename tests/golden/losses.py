"""Ten steps of a tiny model by each objective: fixed seeds, a fixed synthetic corpus, the CPU, fp32 and one thread."""

from __future__ import annotations

import dataclasses
import json
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from acclimate.models.families import family
from acclimate.models.generators import GeneratorAndDiscriminator, new_generator
from acclimate.objectives import resolve_objective
from acclimate.objectives.base import Objective
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.tokens.tokenizers import Frame
from tests.models.tiny import tiny_config, tiny_model
from tests.objectives.checks import chain, learn
from tests.objectives.tiny import (
    BOS,
    EOS,
    MASK,
    PAD,
    blank_vocabulary,
    decoder_vocabulary,
    memory_store,
    t5_vocabulary,
    ul2_vocabulary,
    vocabulary,
)

FILE = Path(__file__).with_name("losses.json")
STEPS = 10

# The model type and the auto class that each objective is shown with; a variant has the objective's name before it.
MODELS: dict[str, tuple[str, str]] = {
    "mlm": ("bert", "AutoModelForMaskedLM"),
    "mlm_nsp": ("bert", "AutoModelForPreTraining"),
    "mlm_sop": ("albert", "AutoModelForPreTraining"),
    "rtd": ("electra", "AutoModelForPreTraining"),
    "clm": ("llama", "AutoModelForCausalLM"),
    "prefix_lm": ("llama", "AutoModelForCausalLM"),
    "prefix_lm encoder": ("bert", "AutoModelForMaskedLM"),
    "prefix_lm blank_infilling": ("llama", "AutoModelForCausalLM"),
    "mntp": ("llama", "AutoModelForCausalLM"),
    "span_denoising": ("t5", "AutoModelForSeq2SeqLM"),
    "span_denoising ul2": ("t5", "AutoModelForSeq2SeqLM"),
    "text_infilling": ("bart", "AutoModelForSeq2SeqLM"),
    "mass": ("bart", "AutoModelForSeq2SeqLM"),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "prefix_lm blank_infilling": {"variant": "blank_infilling"},
    "span_denoising ul2": {"mixture": "ul2"},
}
_DECODER = dataclasses.replace(decoder_vocabulary(), mask_id=MASK)
_T5 = dataclasses.replace(t5_vocabulary(), mask_id=MASK)
_VOCABULARIES: dict[str, Vocabulary] = {
    "llama": _DECODER,
    "t5": _T5,
    "bart": dataclasses.replace(_T5, frame=Frame((BOS,), (EOS,)), decoder_start_id=EOS),
}
_VARIANT_VOCABULARIES: dict[str, Vocabulary] = {
    "prefix_lm blank_infilling": blank_vocabulary(),
    "span_denoising ul2": ul2_vocabulary(120, num_sentinels=20),
}
# Weights of an ordinary size; T5's are.
_OPTIONS: dict[str, dict[str, Any]] = {
    "t5": {"decoder_start_token_id": PAD, "eos_token_id": EOS},
    "bart": {"decoder_start_token_id": EOS, "bos_token_id": BOS, "eos_token_id": EOS, "init_std": 0.02},
}


def here() -> dict[str, str]:
    """What losses depend on in the last digits: the processor and what torch uses of it, and torch itself."""
    return {
        "cpu": _cpu_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def losses() -> dict[str, list[float]]:
    """{objective: the loss of each of ten steps}."""
    return {name: losses_of(name) for name in MODELS}


def losses_of(name: str) -> list[float]:
    """The loss of each of ten steps: dropout on, two micro-batches a step, texts packed where the objective packs."""
    model_type, auto_class = MODELS[name]
    objective, settings = resolve_objective(name.split()[0], VARIANTS.get(name, {}), family(tiny_config(model_type)))
    subject = objective(settings, known_vocabulary(name), max_length=32, seed=1)
    store: Any = memory_store(chain(30))
    plan = subject.plan(store, isolate="document", packed=subject.packs)
    with _one_thread(), tempfile.TemporaryDirectory() as folder:
        model = _model(subject, model_type, auto_class)
        return learn(subject, store, plan, model, Path(folder), max_steps=STEPS, gradient_accumulation_steps=2)


def known_vocabulary(name: str) -> Vocabulary:
    """The vocabulary that an objective is shown with."""
    return _VARIANT_VOCABULARIES.get(name) or _VOCABULARIES.get(MODELS[name][0], vocabulary())


def _model(subject: Objective, model_type: str, auto_class: str) -> Any:
    options = _OPTIONS.get(model_type, {"initializer_range": 0.02})
    model = tiny_model(model_type, auto_class, pad_token_id=PAD, **options)
    if subject.head != "replaced-token-detection":
        return model
    torch.manual_seed(1)
    return GeneratorAndDiscriminator(new_generator(model, {}), model)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums over threads differ with their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write(content: dict[str, Any]) -> None:
    """Write the file of losses."""
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read() -> dict[str, Any]:
    """The file of losses."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content
