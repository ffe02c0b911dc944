"""The scripts that people run today, with nothing of ours in them: `transformers.Trainer` and its stock collators.

- `plain`: as in the tutorials: each document truncated to `length` tokens, fp32, every other setting its default.
- `tuned`: the best that the same parts give: documents joined and cut into full rows, so that there is no padding, the
  fused optimizer, SDPA, no check for NaN after each step, bf16 and `torch.compile` where they are faster.

T5 has no stock collator: `SpanCorruption` is the rule of its paper, in numpy, as in `run_t5_mlm_flax.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer, TrainingArguments

from materials import AUTO_CLASSES


def plain(texts: Sequence[str], settings: Mapping[str, Any]) -> tuple[Trainer, CountingCollator]:
    """Truncation. See `trainer_of` for `settings`."""
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    rows = encode(texts, tokenizer, truncation=True, max_length=settings["length"])
    return trainer_of(rows, tokenizer, settings)


def tuned(texts: Sequence[str], settings: Mapping[str, Any]) -> tuple[Trainer, CountingCollator]:
    """Full rows. See `trainer_of` for `settings`."""
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    length = row_length(settings["length"]) if settings["objective"] == "span_denoising" else settings["length"]
    rows = chunks(encode(texts, tokenizer), length)
    best = {
        "optim": "adamw_torch_fused",
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": settings["device"] == "cuda",
        "dataloader_drop_last": True,
    }
    return trainer_of(rows, tokenizer, {**settings, "training": {**best, **settings["training"]}})


def encode(texts: Sequence[str], tokenizer: Any, **options: Any) -> list[np.ndarray]:
    """The ids of each text, as arrays: `datasets` would keep them in a file, lists of Python's numbers would count as
    the script's memory."""
    logging.getLogger("transformers.tokenization_utils_base").setLevel(logging.ERROR)  # "longer than 512 tokens"
    batches = (texts[start : start + 64] for start in range(0, len(texts), 64))
    return [np.array(ids) for batch in batches for ids in tokenizer(batch, **options)["input_ids"]]


def chunks(texts: Sequence[np.ndarray], length: int) -> list[np.ndarray]:
    """`group_texts` of `run_mlm.py`: all ids in one line, cut into full rows; the rest is dropped."""
    joined = np.concatenate(texts)
    return list(joined[: len(joined) // length * length].reshape(-1, length))


def trainer_of(
    rows: Sequence[np.ndarray], tokenizer: Any, settings: Mapping[str, Any]
) -> tuple[Trainer, CountingCollator]:
    """The Trainer of a script, and the collator that counts.

    Args:
        rows: ids of each example.
        settings: model (folder), objective, batch, length, device, output_dir; `training` (further TrainingArguments),
            `config` (fields of the model's configuration, such as dropout), `lora` (LoRA, or the whole model).
    """
    dataset = [{"input_ids": ids} for ids in rows]
    auto_class = getattr(transformers, AUTO_CLASSES[settings["objective"]])
    model = auto_class.from_pretrained(settings["model"], **settings["config"])
    if settings["lora"]:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    args = TrainingArguments(
        output_dir=settings["output_dir"],
        per_device_train_batch_size=settings["batch"],
        use_cpu=settings["device"] == "cpu",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **settings["training"],
    )
    args._n_gpu = min(args.n_gpu, 1)
    collator = CountingCollator(collator_of(settings["objective"], tokenizer), tokenizer.pad_token_id)
    return Trainer(model, args, train_dataset=dataset, data_collator=collator), collator


def collator_of(objective: str, tokenizer: Any) -> Any:
    if objective == "span_denoising":
        return SpanCorruption(tokenizer)
    return DataCollatorForLanguageModeling(tokenizer, mlm=objective == "mlm", mlm_probability=0.15)


class CountingCollator:
    """The stock collator, and how many tokens each of its batches had; padding is not counted."""

    def __init__(self, collator: Any, pad_id: int) -> None:
        self.collator = collator
        self.pad_id = pad_id
        self.tokens: list[int] = []

    def __call__(self, features: list[Any]) -> Any:
        batch = self.collator(features)
        self.tokens.append(int(batch["input_ids"].ne(self.pad_id).sum()))
        return batch


class SpanCorruption:
    """T5's span corruption (Raffel et al. 2020): 15 % of the tokens in spans of 3 on average."""

    def __init__(self, tokenizer: Any, density: float = 0.15, mean_span: float = 3.0) -> None:
        self.density, self.mean_span = density, mean_span
        self.pad_id, self.eos_id = tokenizer.pad_token_id, tokenizer.eos_token_id
        self.sentinels = np.array(tokenizer.convert_tokens_to_ids([f"<extra_id_{n}>" for n in range(100)]))
        self.rng = np.random.default_rng(0)

    def __call__(self, features: list[Any]) -> dict[str, torch.Tensor]:
        pairs = [self._corrupt(np.array(feature["input_ids"])) for feature in features]
        inputs = self._padded([ids for ids, _ in pairs], self.pad_id)
        labels = self._padded([ids for _, ids in pairs], -100)
        return {"input_ids": inputs, "attention_mask": inputs.ne(self.pad_id).long(), "labels": labels}

    def _corrupt(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        num_noise = min(max(round(len(ids) * self.density), 1), len(ids) - 1)
        num_spans = min(max(round(num_noise / self.mean_span), 1), num_noise, len(ids) - num_noise)
        kept, taken = (self._partition(total, num_spans) for total in (len(ids) - num_noise, num_noise))
        noise = np.repeat(np.arange(2 * num_spans) % 2 == 1, np.stack([kept, taken], axis=1).reshape(-1))
        return self._marked(ids, noise), self._marked(ids, ~noise)

    def _partition(self, total: int, parts: int) -> np.ndarray:
        cuts = np.sort(self.rng.permutation(total - 1)[: parts - 1]) + 1
        return np.diff(np.concatenate([[0], cuts, [total]]))

    def _marked(self, ids: np.ndarray, out: np.ndarray) -> np.ndarray:
        """The ids with a sentinel for each stretch that is out, and EOS."""
        starts = out & ~np.concatenate([[False], out[:-1]])
        marked = np.where(starts, self.sentinels[np.cumsum(starts) - 1], ids)
        return np.append(marked[~out | starts], self.eos_id)

    def _padded(self, arrays: Sequence[np.ndarray], fill: int) -> torch.Tensor:
        padded = np.full((len(arrays), max(map(len, arrays))), fill)
        for number, array in enumerate(arrays):
            padded[number, : len(array)] = array
        return torch.from_numpy(padded)


def row_length(inputs_length: int, density: float = 0.15, mean_span: float = 3.0) -> int:
    """The longest row whose corrupted input (what stays, a sentinel a span, EOS) fits into `inputs_length`."""

    def needed(length: int) -> int:
        num_noise = round(length * density)
        return length - num_noise + round(num_noise / mean_span) + 1

    length = inputs_length
    while needed(length + 1) <= inputs_length:
        length += 1
    return length
