"""Packed rows in every model type of the table: no text sees another, and each is computed as if it stood alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from acclimate.errors import ModelError
from acclimate.models.attention import BY_ALL, BY_EARLIER, BY_LATER, can_pack, separate_segments
from acclimate.models.families import ONE_TEXT_A_ROW, PACKING, Family, family, model_types_of, sees_padding
from tests.models.tiny import MODEL_TYPES, PAD, VOCABULARY, tiny_config, tiny_model

HEADS: dict[Family, str] = {
    "encoder": "AutoModelForMaskedLM",
    "decoder": "AutoModelForCausalLM",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
}
# One model type for each way of keeping texts apart: SDPA with a window, eager, an eager attention of the registry, the
# mask as argument (twice), Bloom's bias, relative positions, replaced positions.
MECHANISMS = ("modernbert", "mpnet", "gemma2", "deberta-v2", "xlm", "bloom", "llama", "t5", "bart")
# peft 0.21 asks for a property by its old name.
PEFT_WARNS = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

FIRST, SECOND, OTHER = torch.randint(5, 120, (3, 1, 13), generator=torch.Generator().manual_seed(1))
SEGMENTS = torch.tensor([[0] * 13 + [1] * 13])
POSITIONS = torch.arange(13).repeat(2)[None]
PADDING = torch.full((1, 4), PAD)
PADDED_SEGMENTS = torch.tensor([[0] * 13 + [1] * 13 + [-1] * 4])


def tiny(model_type: str, **changes: Any) -> PreTrainedModel:
    return tiny_model(model_type, HEADS[family(tiny_config(model_type))], **changes)


def prepared(model_type: str, **changes: Any) -> PreTrainedModel:
    model = tiny(model_type, **changes)
    separate_segments(model)
    return model


def inputs(model: PreTrainedModel, *texts: torch.Tensor) -> dict[str, torch.Tensor]:
    """A row of texts; in an encoder-decoder they are its targets as well, backwards."""
    row = {"input_ids": torch.cat(texts, 1)}
    if model.config.is_encoder_decoder:
        row["decoder_input_ids"] = torch.cat([text.flip(1) for text in texts], 1)
    return row


def segments(model: PreTrainedModel, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"segment_ids": ids, **({"decoder_segment_ids": ids} if model.config.is_encoder_decoder else {})}


def test_every_model_type_is_tried() -> None:
    assert set(MODEL_TYPES) == PACKING.keys() | ONE_TEXT_A_ROW.keys()
    assert not PACKING.keys() & ONE_TEXT_A_ROW.keys()


@pytest.mark.parametrize("model_type", sorted(PACKING))
def test_segments_are_kept_apart(model_type: str) -> None:
    model = tiny(model_type)
    with torch.no_grad():
        alone = [model(**inputs(model, ids)).logits for ids in (FIRST, SECOND)]
        separate_segments(model)
        packed, changed = (
            model(**inputs(model, FIRST, other, PADDING), **segments(model, PADDED_SEGMENTS)).logits
            for other in (SECOND, OTHER)
        )
        assert torch.equal(model(**inputs(model, FIRST)).logits, alone[0])  # and it goes on as before
    assert torch.equal(packed[:, :13], changed[:, :13])
    assert not torch.isclose(packed[:, 13:26], changed[:, 13:26], atol=1e-2).all(-1).any()
    assert torch.allclose(packed[:, :13], alone[0], atol=1e-4)
    assert torch.allclose(packed[:, 13:26], alone[1], atol=1e-4)
    assert packed.isfinite().all()


@pytest.mark.parametrize("model_type", sorted(MODEL_TYPES))
@pytest.mark.parametrize("length", [12, 13])
def test_padding_is_not_seen_in_rows_of_one_text(model_type: str, length: int) -> None:
    """But in the types that are known for it, in which one length or the other shows it."""
    model = prepared(model_type) if model_type in PACKING else tiny(model_type)
    text = FIRST[:, :length]
    batch = {**inputs(model, text), "input_ids": torch.cat([text, PADDING], 1)}
    with torch.no_grad():
        alone = model(**inputs(model, text)).logits
        padded = model(**batch, attention_mask=torch.tensor([[1] * length + [0] * 4])).logits[:, :length]
    assert torch.allclose(padded, alone, atol=1e-4) != sees_padding(model.config)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [("deberta-v2", {"conv_kernel_size": 3}), ("longt5", {"encoder_attention_type": "transient-global"})],
)
def test_padding_is_not_seen_in_their_variants(model_type: str, changes: dict[str, Any]) -> None:
    model = tiny(model_type, **changes)
    batch = {**inputs(model, FIRST), "input_ids": torch.cat([FIRST, PADDING], 1)}
    with torch.no_grad():
        alone = model(**inputs(model, FIRST)).logits
        padded = model(**batch, attention_mask=torch.tensor([[1] * 13 + [0] * 4])).logits[:, :13]
    assert not sees_padding(model.config)
    assert torch.allclose(padded, alone, atol=1e-4)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "modernbert", "gemma2"])
def test_windows_are_kept(model_type: str) -> None:
    """A text of 26 tokens in two packs: the one of a model with a window of 8 differs from that without."""
    sliding = {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 0}
    changes: dict[str, dict[str, Any]] = {
        "llama": {},
        "qwen2": {**sliding, "layer_types": ["sliding_attention", "full_attention"]},
        "modernbert": {},
        "gemma2": {},
    }
    model = tiny(model_type, **changes[model_type])
    long = torch.cat([SECOND, OTHER], 1)
    ids = torch.cat([FIRST, long], 1)
    with torch.no_grad():
        alone = model(input_ids=long).logits
        separate_segments(model)
        packed = model(input_ids=ids, segment_ids=torch.tensor([[0] * 13 + [1] * 26])).logits
        if model_type in ("qwen2", "gemma2"):
            model.config.sliding_window = 26
            wide = model(input_ids=ids, segment_ids=torch.tensor([[0] * 13 + [1] * 26])).logits
            assert not torch.allclose(wide[:, 13:], packed[:, 13:], atol=1e-2)
    assert torch.allclose(packed[:, 13:], alone, atol=1e-4)


def test_positions_that_are_given_are_taken() -> None:
    """Positions that go on along the row are not those that begin anew, which are the default."""
    model = prepared("roberta")
    batch = {**inputs(model, FIRST, SECOND), "segment_ids": SEGMENTS}
    with torch.no_grad():
        default = model(**batch).logits
        assert torch.equal(model(**batch, position_ids=POSITIONS).logits, default)
        along = model(**batch, position_ids=torch.arange(26)[None]).logits
    assert torch.equal(along[:, :13], default[:, :13])
    assert not torch.allclose(along[:, 13:], default[:, 13:], atol=1e-2)


@pytest.mark.parametrize("model_type", sorted(set(model_types_of("encoder-decoder")) & PACKING.keys()))
@pytest.mark.parametrize("lengths", [(17, 9), (7, 5)])
def test_a_decoder_sees_the_text_of_its_own_number(model_type: str, lengths: tuple[int, int]) -> None:
    """Also where both sides are by chance of one length, 13 + 13 + 4 and 17 + 9 + 4, but cut elsewhere."""
    model = tiny(model_type)
    numbers = torch.Generator().manual_seed(2)
    targets = [torch.randint(5, VOCABULARY, (1, length), generator=numbers) for length in lengths]
    other_target = torch.randint(5, VOCABULARY, (1, lengths[0]), generator=numbers)
    decoder_segments = torch.tensor([[0] * lengths[0] + [1] * lengths[1] + [-1] * 4])
    with torch.no_grad():
        alone = [
            model(input_ids=source, decoder_input_ids=target).logits
            for source, target in zip([FIRST, SECOND], targets, strict=True)
        ]
        separate_segments(model)

        def packed(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(
                input_ids=torch.cat([source, SECOND, PADDING], 1),
                segment_ids=PADDED_SEGMENTS,
                decoder_input_ids=torch.cat([target, targets[1], PADDING], 1),
                decoder_segment_ids=decoder_segments,
            ).logits
            return logits

        both = packed(FIRST, targets[0])
        changes = [packed(OTHER, targets[0]), packed(FIRST, other_target)]
    first, second = slice(0, lengths[0]), slice(lengths[0], sum(lengths))
    assert torch.allclose(both[:, first], alone[0], atol=1e-4)
    assert torch.allclose(both[:, second], alone[1], atol=1e-4)
    for changed in changes:
        assert torch.equal(changed[:, second], both[:, second])
        assert not torch.isclose(changed[:, first], both[:, first], atol=1e-3).all(-1).any()
    assert both.isfinite().all()


def test_a_text_without_a_target_and_a_target_without_a_text() -> None:
    """Their attention would have empty rows, were padding not a segment of its own."""
    model = prepared("t5")
    with torch.no_grad():
        logits = model(
            input_ids=torch.cat([FIRST, SECOND], 1),
            segment_ids=SEGMENTS,
            decoder_input_ids=torch.cat([FIRST, SECOND], 1),
            decoder_segment_ids=torch.tensor([[1] * 13 + [7] * 13]),
        ).logits
    assert logits.isfinite().all()


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_labels_are_shifted_within_their_texts(model_type: str) -> None:
    model = tiny(model_type)
    with torch.no_grad():
        alone = model(input_ids=SECOND, labels=OTHER).logits
        separate_segments(model)
        packed = model(
            input_ids=torch.cat([FIRST, SECOND], 1),
            segment_ids=SEGMENTS,
            labels=torch.cat([FIRST, OTHER], 1),
            decoder_segment_ids=SEGMENTS,
        ).logits
    assert torch.allclose(packed[:, 13:], alone, atol=1e-4)


def test_labels_need_a_start_token() -> None:
    model = prepared("mbart", decoder_start_token_id=None)
    with pytest.raises(ModelError, match="decoder_input_ids"):
        model(input_ids=FIRST, labels=FIRST, **segments(model, SEGMENTS[:, :13]))


def test_one_side_of_an_encoder_decoder_is_not_enough() -> None:
    model = prepared("t5")
    with pytest.raises(ModelError, match="decoder_segment_ids"):
        model(**inputs(model, FIRST, SECOND), segment_ids=SEGMENTS)


@pytest.mark.parametrize("model_type", ["bloom", "gpt2", "gemma2", "t5", "bart"])
def test_generation_is_as_before(model_type: str) -> None:
    model = tiny(model_type)
    mask = torch.ones_like(FIRST)
    arguments = {"input_ids": FIRST, "attention_mask": mask, "max_new_tokens": 6, "do_sample": False}
    before = model.generate(**arguments)
    separate_segments(model)
    model(**inputs(model, FIRST, SECOND), **segments(model, SEGMENTS))
    assert torch.equal(model.generate(**arguments), before)


def test_packed_rows_are_not_cached_unless_asked() -> None:
    model = prepared("llama")
    assert model(input_ids=FIRST).past_key_values is not None
    assert model(input_ids=FIRST, segment_ids=SEGMENTS[:, :13]).past_key_values is None
    asked = model(input_ids=torch.cat([FIRST, SECOND], 1), segment_ids=SEGMENTS, use_cache=True)
    assert asked.past_key_values is not None
    with torch.no_grad():
        assert torch.allclose(asked.logits[:, 13:], model(input_ids=SECOND).logits, atol=1e-4)


def test_without_segments_the_model_is_as_before() -> None:
    model = tiny("bert")
    mask = torch.tensor([[1] * 10 + [0] * 3])
    with torch.no_grad():
        before = model(input_ids=FIRST, attention_mask=mask).logits
        separate_segments(model)
        after = model(input_ids=FIRST, attention_mask=mask).logits
        # Segments of one batch are forgotten by the next, even when the forward fails.
        with pytest.raises(IndexError):
            model(input_ids=torch.full((1, 13), 10_000), segment_ids=SEGMENTS[:, :13])
        again = model(input_ids=FIRST, attention_mask=mask).logits
    assert torch.equal(before[:, :10], after[:, :10])
    assert torch.equal(after, again)


def test_twice_is_harmless_and_a_copy_is_its_own() -> None:
    model = prepared("roberta")
    separate_segments(model)
    batch = {**inputs(model, FIRST, SECOND), "segment_ids": SEGMENTS}
    with torch.no_grad():
        once = prepared("roberta")(**batch).logits
        assert torch.equal(model(**batch).logits, once)
        other = copy.deepcopy(model)
        other.roberta.embeddings.word_embeddings.weight.mul_(2)
        assert not torch.allclose(other(**batch).logits, once)
        assert torch.equal(model(**batch).logits, once)


@pytest.mark.parametrize("inner", ["bert", "xlm", "t5"])
def test_models_do_not_disturb_each_other(inner: str) -> None:
    """One runs within the forward of another, packed and not, and the other goes on with its own segments."""
    outer, guest = prepared("roberta"), prepared(inner)
    batch = {**inputs(outer, FIRST, SECOND), "segment_ids": SEGMENTS}
    packed = {**inputs(guest, FIRST, SECOND), **segments(guest, torch.tensor([[0] * 20 + [1] * 6]))}
    with torch.no_grad():
        expected = [outer(**batch).logits, guest(**packed).logits, guest(**inputs(guest, FIRST)).logits]
        seen = []

        def run_guest(module: torch.nn.Module, args: Any) -> None:
            seen.extend([guest(**packed).logits, guest(**inputs(guest, FIRST)).logits])

        # RoBERTa's mask is made after its embeddings are.
        outer.roberta.embeddings.register_forward_pre_hook(run_guest)
        assert torch.equal(outer(**batch).logits, expected[0])
    assert torch.equal(seen[0], expected[1])
    assert torch.equal(seen[1], expected[2])


@pytest.mark.parametrize("model_type", MECHANISMS)
def test_gradients_flow_as_in_separate_rows(model_type: str) -> None:
    """With the layers computed anew in the backward as well, when the forward is long over and its segments gone."""
    model = prepared(model_type)

    def gradients(batch: dict[str, torch.Tensor], first: slice) -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(**batch).logits[:, first].logsumexp(-1).sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    alone = gradients(inputs(model, SECOND), slice(None))
    packed_row = {**inputs(model, FIRST, SECOND), **segments(model, SEGMENTS)}
    ours = gradients(packed_row, slice(13, None))
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in ("dropout", "attention_dropout"):  # of functional dropout
        for module in model.modules():
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    results = [ours]
    if model.supports_gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        results.append(gradients(packed_row, slice(13, None)))
    for result in results:
        assert result.keys() == alone.keys()
        for name, gradient in alone.items():
            scale = gradient.abs().max().clamp(min=1.0)
            assert (result[name] - gradient).abs().max() <= 2e-4 * scale, name


@pytest.mark.parametrize("model_type", MECHANISMS)
def test_bf16_autocast(model_type: str) -> None:
    """Nothing leaks, and a text's logits are as near to those that it has alone as bf16 allows."""
    model = tiny(model_type)
    with torch.no_grad():
        exact = model(**inputs(model, SECOND)).logits
        with torch.autocast("cpu", torch.bfloat16):
            alone = model(**inputs(model, SECOND)).logits.float()
            separate_segments(model)
            packed, changed = (
                model(**inputs(model, other, SECOND, PADDING), **segments(model, PADDED_SEGMENTS)).logits.float()
                for other in (FIRST, OTHER)
            )
    assert torch.equal(packed[:, 13:26], changed[:, 13:26])
    assert packed.isfinite().all()
    error = (alone - exact).abs().mean()
    assert (packed[:, 13:26] - exact).abs().mean() < 1.5 * error


def test_alibi_of_a_late_text_is_exact_in_bf16() -> None:
    """Slope x position of the row would be known only to within 4 at position 1,000."""
    model = tiny("bloom")
    early, late = torch.randint(5, 120, (2, 1, 1000), generator=torch.Generator().manual_seed(2))
    late = late[:, :13]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        alone = model(input_ids=late).logits.float()
        separate_segments(model)
        packed = model(
            input_ids=torch.cat([early, late], 1), segment_ids=torch.tensor([[0] * 1000 + [1] * 13])
        ).logits.float()
    assert (packed[:, 1000:] - alone).abs().max() < 0.2


@pytest.mark.parametrize("model_type", MECHANISMS)
def test_no_name_of_ours_is_saved(model_type: str, tmp_path: Path) -> None:
    model = prepared(model_type)
    model.save_pretrained(tmp_path)
    for path in tmp_path.glob("*.json"):
        assert "acclimate" not in path.read_text(), path.name
    auto = getattr(transformers, HEADS[family(model.config)])
    again = auto.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        ours, theirs = (each(**inputs(each, FIRST)).logits for each in (model, again))
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        *((name, {}) for name in sorted(ONE_TEXT_A_ROW)),
        ("deberta-v2", {"conv_kernel_size": 3}),
        ("roformer", {"rotary_value": True}),
    ],
)
def test_models_that_mix_texts_are_refused(model_type: str, changes: dict[str, Any]) -> None:
    model = tiny(model_type, **changes)
    assert not can_pack(model)
    with pytest.raises(ModelError, match=model_type):
        separate_segments(model)


def test_segments_of_another_shape_are_refused() -> None:
    model = prepared("bert")
    with pytest.raises(ModelError, match=r"`input_ids` of shape \(1, 13\) came with segments of shape \(1, 26\)"):
        model(input_ids=FIRST, segment_ids=SEGMENTS)


def test_rows_whose_length_the_model_changes_are_refused() -> None:
    """As prompt tuning would, whose model gets embeddings instead of ids."""
    model = prepared("llama")
    with pytest.raises(ModelError, match="packing: false"):
        model(inputs_embeds=torch.zeros(1, 30, 32), segment_ids=SEGMENTS, position_ids=torch.arange(30)[None])


@PEFT_WARNS
@pytest.mark.parametrize("model_type", ["bert", "deberta-v2", "bloom", "t5"])
@pytest.mark.parametrize("before", [True, False])
def test_adapters(model_type: str, before: bool) -> None:
    """LoRA around a model that is prepared, before it gets the adapters or after, trains on packed rows."""
    peft = pytest.importorskip("peft")
    model = tiny(model_type)
    if before:
        separate_segments(model)
    targets = {"bert": ["query"], "deberta-v2": ["query_proj"], "bloom": ["query_key_value"], "t5": ["q"]}
    task = {"bloom": "CAUSAL_LM", "t5": "SEQ_2_SEQ_LM"}.get(model_type)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(target_modules=targets[model_type], init_lora_weights=False, task_type=task)
    ).eval()
    assert can_pack(adapted)
    separate_segments(adapted)
    alone = adapted(**inputs(model, SECOND)).logits
    packed = adapted(**inputs(model, FIRST, SECOND), **segments(model, SEGMENTS)).logits
    assert torch.allclose(packed[:, 13:], alone, atol=1e-4)
    packed.sum().backward()
    trained = {name for name, parameter in adapted.named_parameters() if parameter.grad is not None}
    assert trained and all("lora_" in name for name in trained)


@PEFT_WARNS
def test_prompt_tuning_is_not_packed() -> None:
    peft = pytest.importorskip("peft")
    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    adapted = peft.get_peft_model(tiny("llama"), settings)
    assert not can_pack(adapted)
    with pytest.raises(ModelError):
        separate_segments(adapted)


# ---- who sees whom -----------------------------------------------------------------------------------------------

# Two texts and padding: 9 tokens, 5 and 2. Whether query q and key k are in one text.
LENGTHS = (9, 5, 2)
ROW = torch.randint(5, VOCABULARY, (sum(LENGTHS),), generator=torch.Generator().manual_seed(3))
ROW_SEGMENTS = torch.tensor([0] * 9 + [1] * 5 + [-1] * 2)
QUERY, KEY = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
SAME = ROW_SEGMENTS[:, None] == ROW_SEGMENTS[None, :]
# By whom a token is seen, and the pairs that come of it, by hand: prefixes of 4 tokens and of 2.
PREFIX = torch.tensor([BY_ALL] * 4 + [BY_LATER] * 5 + [BY_ALL] * 2 + [BY_LATER] * 5)
IN_PREFIX = torch.tensor([True] * 4 + [False] * 5 + [True] * 2 + [False] * 5)
DIRECTIONS: dict[str, tuple[torch.Tensor, torch.Tensor]] = {
    "both ways": (torch.full((16,), BY_ALL), SAME),
    "prefix": (PREFIX, SAME & ((KEY <= QUERY) | IN_PREFIX[None, :])),
    "left to right": (torch.full((16,), BY_LATER), SAME & (KEY <= QUERY)),
    "right to left": (torch.full((16,), BY_EARLIER), SAME & (KEY >= QUERY)),
}
CAN_BE_TOLD = sorted(name for name in PACKING if name not in model_types_of("encoder-decoder"))
DECODERS = sorted(set(model_types_of("decoder")) & PACKING.keys())


def dependence(model: PreTrainedModel, **fields: torch.Tensor) -> torch.Tensor:
    """[16, 16] whether the logits of a token (row) change with another's id (column): each row of a batch has one other
    token than the first."""
    rows = ROW.repeat(17, 1)
    places = torch.arange(16)
    rows[places + 1, places] = 5 + (ROW - 5 + 7) % (VOCABULARY - 5)
    with torch.no_grad():
        logits = model(input_ids=rows, **{name: field.expand(17, -1) for name, field in fields.items()}).logits
    return (logits[1:] - logits[:1]).abs().amax(-1).T > 1e-5


@pytest.mark.parametrize("model_type", CAN_BE_TOLD)
def test_a_token_is_seen_by_whom_the_batch_says(model_type: str) -> None:
    """The second layer of most types with a window sees all; types with windows alone are tried below, too."""
    model = prepared(model_type)
    for name, (visibility, expected) in DIRECTIONS.items():
        found = dependence(model, segment_ids=ROW_SEGMENTS, visibility=visibility)
        if model_type in ("mistral", "phi3"):
            expected = twice(expected & ((QUERY - KEY).abs() < 8))
        assert torch.equal(found[:14, :14], expected[:14, :14]), name
        assert not found[:14, 14:].any(), name


def twice(seen: torch.Tensor) -> torch.Tensor:
    """What is seen through two layers that each see the same."""
    return seen.float() @ seen.float() > 0


def _all_sliding(model_type: str) -> PreTrainedModel:
    changes: dict[str, dict[str, Any]] = {
        "gemma2": {"layer_types": ["sliding_attention"] * 2, "sliding_window": 4},
        "gemma3_text": {"layer_types": ["sliding_attention"] * 2, "sliding_window": 4},
        "gpt_neo": {"attention_types": [[["local"], 2]], "window_size": 4},
        "ministral": {"layer_types": ["sliding_attention"] * 2, "sliding_window": 4},
        "mistral": {"sliding_window": 4},
        "phi3": {"sliding_window": 4},
        # Half a window to either side: 2 tokens, and itself.
        "modernbert": {"layer_types": ["sliding_attention"] * 2, "num_hidden_layers": 2, "local_attention": 4},
    }
    return prepared(model_type, **changes[model_type])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "model_type", ["gemma2", "gemma3_text", "gpt_neo", "ministral", "mistral", "phi3", "modernbert"]
)
def test_windows_are_kept_in_every_direction(model_type: str, direction: str) -> None:
    """Two layers with a window of 4: a token and three on either side, as far as the direction lets it."""
    visibility, expected = DIRECTIONS[direction]
    reach = 2 if model_type == "modernbert" else 3
    found = dependence(_all_sliding(model_type), segment_ids=ROW_SEGMENTS, visibility=visibility)
    assert torch.equal(found[:14, :14], twice(expected & ((QUERY - KEY).abs() <= reach))[:14, :14])


@pytest.mark.parametrize("model_type", DECODERS)
def test_left_to_right_is_the_decoder_itself(model_type: str) -> None:
    """Packed rows that say `BY_LATER` of every token are those that say nothing, exactly."""
    model = prepared(model_type)
    batch = {"input_ids": ROW[None], "segment_ids": ROW_SEGMENTS[None]}
    with torch.no_grad():
        plain = model(**batch).logits
        assert torch.equal(model(**batch, visibility=torch.full((1, 16), BY_LATER)).logits, plain)
        assert not torch.allclose(model(**batch, visibility=PREFIX[None]).logits, plain, atol=1e-2)


@pytest.mark.parametrize("model_type", sorted(set(model_types_of("encoder")) & PACKING.keys()))
def test_both_ways_is_the_encoder_itself(model_type: str) -> None:
    model = prepared(model_type)
    batch = {"input_ids": ROW[None], "segment_ids": ROW_SEGMENTS[None]}
    with torch.no_grad():
        plain = model(**batch).logits
        assert torch.equal(model(**batch, visibility=torch.full((1, 16), BY_ALL)).logits, plain)


@pytest.mark.parametrize("model_type", DECODERS)
def test_positions_that_jump_divide_no_text(model_type: str) -> None:
    """As in blank infilling: 6 tokens seen by all; 3 more that stand at position 2, then 5 at position 4. Left to
    itself `transformers` takes each jump for the beginning of another text."""
    model = prepared(model_type)
    visibility = torch.tensor([BY_ALL] * 6 + [BY_LATER] * 10)
    positions = torch.tensor([*range(6), 2, 2, 2, 4, 4, 4, 4, 4, 0, 0])
    segments = torch.tensor([0] * 14 + [-1] * 2)
    found = dependence(model, segment_ids=segments, visibility=visibility, position_ids=positions)
    expected = (KEY < 6) | (KEY <= QUERY)
    if model_type in ("mistral", "phi3"):
        expected = twice(expected & ((QUERY - KEY).abs() < 8))
    assert torch.equal(found[:14, :14], expected[:14, :14])


def test_layers_with_a_causal_mask_of_their_own() -> None:
    """GPT-Neo's: a model prepared twice, or copied, is as the first, and without segments it is as it was."""
    model = prepared("gpt_neo")
    again = copy.deepcopy(model)
    separate_segments(again)
    batch = {"input_ids": ROW[None], "segment_ids": ROW_SEGMENTS[None], "visibility": PREFIX[None]}
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)
        assert torch.equal(again(input_ids=ROW[None]).logits, tiny("gpt_neo")(input_ids=ROW[None]).logits)
