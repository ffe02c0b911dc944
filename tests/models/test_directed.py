"""Models that see as they were trained to: the logits of training, with padding and with a cache."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerFast

from acclimate.artifacts import write_manifest
from acclimate.errors import ModelError, RecipeError
from acclimate.models.attention import BY_ALL, BY_EARLIER, BY_LATER
from acclimate.models.directed import direct, load_directed, run_objective, sees_prefixes
from acclimate.models.families import PACKING, model_types_of
from acclimate.models.loading import prepare_for_packs, prepare_head
from acclimate.objectives import make_objective
from acclimate.objectives.base import pad
from tests.models.tiny import PAD, tiny_model
from tests.objectives.test_matrix import matrix_tokenizer
from tests.objectives.tiny import memory_store

DECODERS = [name for name in model_types_of("decoder") if name in PACKING and PACKING[name].positions != "alibi"]
TEXT = [0, 9, 50, 31, 77, 12, 40, 63, 25, 88, 19, 33]  # `<s>` and eleven words
OTHER = [0, 71, 14, 55]


def folder_of(path: Path, model_type: str, auto: str = "AutoModelForCausalLM", **objective: Any) -> Path:
    """A folder as a run leaves it."""
    kind = "encoder" if auto == "AutoModelForMaskedLM" else "decoder"
    tiny_model(model_type, auto).save_pretrained(path)
    matrix_tokenizer(kind).save_pretrained(path)
    if objective:
        name = objective.pop("name")
        write_manifest(path, "run", {"objective": {"name": name, "options": objective}})
    return path


def directed(model_type: str, way: Any) -> Any:
    model = tiny_model(model_type, "AutoModelForCausalLM")
    direct(model, way)
    return model


def batch_of(objective: Any) -> dict[str, torch.Tensor]:
    """One text of a packed row, alone."""
    store = memory_store([TEXT[1:]], joint=2)
    plan = objective.plan(store, isolate="document", packed=True)
    return objective.collate([objective.example(store, plan, 0)])


def logits_in(objective: Any, model: Any, batch: Any) -> torch.Tensor:
    """The logits by which an objective scores a batch."""
    seen = []
    prepare_head(model, sparse=False)
    hook = model.register_forward_hook(lambda module, args, output: seen.append(output.logits))
    with torch.inference_mode():
        objective.scores(model, batch)
    hook.remove()
    return seen[0]


# ---- as in training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "phi3", "gemma2"])
@pytest.mark.parametrize("name", ["mntp", "prefix_lm"])
def test_the_logits_of_training(name: str, model_type: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_type, name=name)
    tokenizer = matrix_tokenizer("decoder")
    objective = make_objective(name, {}, tokenizer, max_length=32, seed=5, family="decoder")
    batch = batch_of(objective)
    trained = tiny_model(model_type, "AutoModelForCausalLM")
    prepare_for_packs(trained)
    expected = logits_in(objective, trained, batch)

    model = load_directed(folder)
    prefix = int(batch["visibility"].eq(BY_ALL).sum())
    length = {} if name == "mntp" else {"prefix_length": prefix}
    with torch.inference_mode():
        torch.testing.assert_close(model(batch["input_ids"], **length).logits, expected)
        # Plain transformers sees left to right, which is something else.
        plain = AutoModelForCausalLM.from_pretrained(folder).eval()(batch["input_ids"]).logits
    if prefix > 1:
        assert not torch.allclose(plain, expected, atol=1e-3)
    assert name == "mntp" or 1 < prefix < len(TEXT)
    # The objective itself may be asked of the directed model.
    torch.testing.assert_close(logits_in(objective, model, batch), expected)


@pytest.mark.parametrize("model_type", DECODERS)
def test_padding_on_either_side_changes_nothing(model_type: str) -> None:
    both, prefix = directed(model_type, "both"), directed(model_type, "prefix")
    missing = len(TEXT) - len(OTHER)
    with torch.inference_mode():
        for side in ("right", "left"):
            fill, zeros = [PAD] * missing, [0] * missing
            padded = [*OTHER, *fill] if side == "right" else [*fill, *OTHER]
            mask = [1] * len(OTHER) + zeros if side == "right" else zeros + [1] * len(OTHER)
            inputs = {"input_ids": torch.tensor([TEXT, padded]), "attention_mask": torch.tensor([[1] * 12, mask])}
            own = slice(0, len(OTHER)) if side == "right" else slice(missing, None)
            for model, options in ((both, {}), (prefix, {"prefix_length": torch.tensor([5, 2])})):
                found = model(**inputs, **options).logits
                for row, tokens, place in ((0, TEXT, slice(None)), (1, OTHER, own)):
                    alone = {name: int(value[row]) for name, value in options.items()}
                    expected = model(torch.tensor([tokens]), **alone).logits[0]
                    torch.testing.assert_close(found[row, place], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model_type", DECODERS)
def test_who_sees_whom(model_type: str) -> None:
    """A changed token changes the logits of those that see it, and of no others."""
    for way, options, seen_by in (
        ("both", {}, lambda changed: set(range(12))),
        ("prefix", {}, lambda changed: set(range(12))),
        ("prefix", {"prefix_length": 6}, lambda changed: set(range(12)) if changed < 6 else set(range(changed, 12))),
    ):
        model = directed(model_type, way)
        with torch.inference_mode():
            before = model(torch.tensor([TEXT]), **options).logits[0]
            for changed in (3, 9):
                other = [*TEXT[:changed], 100, *TEXT[changed + 1 :]]
                after = model(torch.tensor([other]), **options).logits[0]
                differs = {int(place) for place in (before - after).abs().amax(-1).gt(1e-5).nonzero()}
                assert differs <= seen_by(changed)
                # Windows of 8 tokens do not reach everywhere at once; what is near is reached.
                assert {place for place in seen_by(changed) if abs(place - changed) < 4} <= differs


@pytest.mark.parametrize("model_type", DECODERS)
def test_generating_with_a_cache_is_what_whole_forwards_give(model_type: str) -> None:
    model = directed(model_type, "prefix")
    prompt = torch.tensor([TEXT[:10]])
    expected = prompt
    with torch.inference_mode():
        for _ in range(6):
            logits = model(expected, prefix_length=10).logits
            expected = torch.cat([expected, logits[:, -1:].argmax(-1)], dim=1)
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": PAD}
    mask = torch.ones_like(prompt)
    assert model.generate(prompt, attention_mask=mask, **settings).tolist() == expected.tolist()
    assert model.generate(prompt, attention_mask=mask, use_cache=False, **settings).tolist() == expected.tolist()
    plain = tiny_model(model_type, "AutoModelForCausalLM").generate(prompt, attention_mask=mask, **settings)
    assert (model.generate(prompt, attention_mask=mask, prefix_length=1, **settings) == plain).all()


def test_generating_for_padded_prompts_and_beams(tmp_path: Path) -> None:
    model = load_directed(folder_of(tmp_path, "llama", name="prefix_lm"))
    assert sees_prefixes(model)
    tokenizer = matrix_tokenizer("decoder")
    tokenizer.padding_side = "left"
    texts = ["w9 w50 w31 w77 w12", "w71 w14"]
    settings = {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 2, "eos_token_id": None}
    together = model.generate(**tokenizer(texts, return_tensors="pt", padding=True), **settings)
    for row, text in enumerate(texts):
        alone = model.generate(**tokenizer(text, return_tensors="pt"), **settings)
        assert together[2 * row : 2 * row + 2, -5:].tolist() == alone[:, -5:].tolist()
    # A prefix for each prompt is counted without its padding.
    lengths = torch.tensor([3, 2])
    together = model.generate(**tokenizer(texts, return_tensors="pt", padding=True), prefix_length=lengths, **settings)
    for row, text in enumerate(texts):
        alone = model.generate(**tokenizer(text, return_tensors="pt"), prefix_length=int(lengths[row]), **settings)
        assert together[2 * row : 2 * row + 2, -5:].tolist() == alone[:, -5:].tolist()


def test_embeddings_in_place_of_ids() -> None:
    model = directed("llama", "both")
    with torch.inference_mode():
        ids = torch.tensor([TEXT])
        embedded = model.get_input_embeddings()(ids)
        assert torch.equal(model(inputs_embeds=embedded).logits, model(ids).logits)


# ---- UniLM and blanks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["bert", "roberta", "deberta-v2"])
def test_an_encoder_sees_as_it_is_told(model_type: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_type, "AutoModelForMaskedLM", name="prefix_lm")
    model = load_directed(folder)
    tokenizer = matrix_tokenizer("encoder")
    objective = make_objective("prefix_lm", {}, tokenizer, max_length=32, seed=5, family="encoder")
    trained = tiny_model(model_type, "AutoModelForMaskedLM")
    prepare_for_packs(trained)
    store = memory_store([TEXT[1:]] * 12, joint=2)
    plan = objective.plan(store, isolate="document", packed=False)
    ways = set()
    for key in range(12):
        batch = objective.collate([objective.example(store, plan, key)])
        ways.add(tuple(batch["visibility"].unique().tolist()))
        expected = logits_in(objective, trained, batch)
        with torch.inference_mode():
            found = model(input_ids=batch["input_ids"], visibility=batch["visibility"]).logits
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert ways == {(BY_ALL,), (BY_LATER,), (BY_EARLIER,), (BY_ALL, BY_LATER)}
    # Padding, and without `visibility` what plain transformers computes.
    ids, zeros = torch.tensor([[*OTHER, PAD, PAD], TEXT[:6]]), [0, 0]
    mask = torch.tensor([[1, 1, 1, 1, *zeros], [1] * 6])
    with torch.inference_mode():
        plain = AutoModelForMaskedLM.from_pretrained(folder).eval()(input_ids=ids, attention_mask=mask).logits
        found = model(input_ids=ids, attention_mask=mask).logits
        torch.testing.assert_close(found[mask.bool()], plain[mask.bool()], rtol=1e-4, atol=1e-4)
        left_to_right = torch.full_like(ids, BY_LATER)
        found = model(input_ids=ids, attention_mask=mask, visibility=left_to_right).logits[0, :4]
        alone = model(input_ids=ids[:1, :4], visibility=left_to_right[:1, :4]).logits[0]
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)


def test_blanks_are_seen_both_ways_and_filled_in_behind(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "llama", name="prefix_lm", variant="blank_infilling")
    model = load_directed(folder)
    ids = torch.tensor([TEXT])
    part_b = torch.tensor([[90, 91]])
    at = torch.tensor([[3, 3]])
    with torch.inference_mode():
        first = model(ids, use_cache=True)
        # Positions that stand still are no beginning of another text: part B sees part A.
        visibility = torch.tensor([[BY_ALL] * 12 + [BY_LATER] * 2])
        whole = model(
            torch.cat([ids, part_b], 1),
            segment_ids=torch.zeros_like(visibility),
            position_ids=torch.cat([torch.arange(12)[None], at], 1),
            visibility=visibility,
        ).logits
        torch.testing.assert_close(first.logits, whole[:, :12], rtol=1e-4, atol=1e-4)
        behind = model(part_b, position_ids=at, past_key_values=first.past_key_values, use_cache=True).logits
        torch.testing.assert_close(behind, whole[:, 12:], rtol=1e-4, atol=1e-4)
    with pytest.raises(ModelError, match="fill_blanks"):
        model.generate(ids)


# ---- folders, and what is refused -----------------------------------------------------------------------------------


def test_folders_that_are_no_runs_need_an_objective(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "llama")
    assert run_objective(folder) is None
    with pytest.raises(ModelError, match="is no run of acclimate"):
        load_directed(folder)
    with pytest.raises(RecipeError, match="has no name"):
        load_directed(folder, objective={"variant": "blank_infilling"})
    ids = torch.tensor([TEXT])
    with torch.inference_mode():
        one = load_directed(folder, objective="mntp")(ids).logits
        other = load_directed(folder, objective={"name": "prefix_lm", "prefix_ratio": 0.5})(ids).logits
    torch.testing.assert_close(one, other)
    with pytest.raises(ModelError, match="`clm` sees as its architecture does"):
        load_directed(folder, objective="clm")


@pytest.mark.parametrize(
    ("model_type", "auto", "objective", "said"),
    [
        ("bloom", "AutoModelForCausalLM", "mntp", "grows with the distance"),
        ("bert", "AutoModelForMaskedLM", "mntp", "`mntp` is for decoders"),
        ("funnel", "AutoModelForMaskedLM", "prefix_lm", "'funnel' .* is none of them"),
        ("bart", "AutoModelForSeq2SeqLM", "prefix_lm", "'bart' .* is none of them"),
    ],
)
def test_models_that_cannot_be_told_are_refused(
    model_type: str, auto: str, objective: str, said: str, tmp_path: Path
) -> None:
    tiny_model(model_type, auto).save_pretrained(tmp_path)
    matrix_tokenizer("decoder").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=said):
        load_directed(tmp_path, objective=objective)


def test_caches_that_would_be_wrong_are_refused() -> None:
    ids = torch.tensor([TEXT])
    both = directed("llama", "both")
    with pytest.raises(ModelError, match="continues no text"):
        both.generate(ids)
    with pytest.raises(ModelError, match="the whole text at once"):
        both(ids, past_key_values=directed("llama", "prefix")(ids, use_cache=True).past_key_values)
    with pytest.raises(ModelError, match="`prefix_length` is for"):
        both(ids, prefix_length=3)
    with pytest.raises(ModelError, match=r"must be of shape \(1, 12\), not \(1, 1, 12, 12\)"):
        both(ids, attention_mask=torch.ones(1, 1, 12, 12))
    prefix = directed("llama", "prefix")
    with pytest.raises(ModelError, match="fixed length"):
        prefix.generate(ids, max_new_tokens=2, cache_implementation="static")
    with pytest.raises(ModelError, match="prefill_chunk_size"):
        prefix.generate(ids, max_new_tokens=2, prefill_chunk_size=5)
    # What was refused leaves nothing behind.
    assert prefix._prompt is None


def test_copies_and_what_is_saved(tmp_path: Path) -> None:
    model = load_directed(folder_of(tmp_path / "run", "llama", name="mntp"))
    copied = copy.deepcopy(model)
    ids = torch.tensor([TEXT])
    with torch.no_grad():
        copied.get_input_embeddings().weight.add_(torch.randn_like(copied.get_input_embeddings().weight))
    with torch.inference_mode():
        assert not torch.allclose(copied(ids).logits, model(ids).logits)
        model.save_pretrained(tmp_path / "saved")
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "run")
        assert torch.equal(again(ids).logits, plain(ids).logits)
    assert "acclimate" not in (tmp_path / "saved" / "config.json").read_text()


def test_adapters(tmp_path: Path) -> None:
    from acclimate.models.adapters import add_adapter
    from acclimate.models.settings import AdapterSettings

    tiny_model("llama", "AutoModelForCausalLM").save_pretrained(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    prepare_for_packs(base)
    trained = add_adapter(base, AdapterSettings(type="lora", r=4), "causal-lm", seed=0).eval()
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    run = tmp_path / "run"
    trained.save_pretrained(run)
    tokenizer: PreTrainedTokenizerFast = matrix_tokenizer("decoder")
    tokenizer.save_pretrained(run)
    write_manifest(run, "run", {"objective": {"name": "mntp", "options": {}}})
    ids = torch.tensor([TEXT])
    zeros = torch.zeros_like(ids)
    with torch.inference_mode():
        expected = trained(input_ids=ids, segment_ids=zeros, visibility=zeros).logits
        torch.testing.assert_close(load_directed(run)(ids).logits, expected)


def test_rows_of_padding_alone_do_no_harm() -> None:
    model = directed("llama", "both")
    ids = pad([np.array(TEXT), np.array([], dtype=np.int64)], PAD)
    with torch.inference_mode():
        found = model(ids, attention_mask=ids.ne(PAD).long()).logits
    assert bool(found.isfinite().all())
