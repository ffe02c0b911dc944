"""Generate: what `transformers` generates, with the user's own text, exact scores and no surprises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.inference.generate import generate, load_generator, to_json
from acclimate.models.adapters import add_adapter
from acclimate.models.settings import AdapterSettings
from acclimate.scoring.generator import Generated, Generator
from acclimate.scoring.sampling import generation_fields
from tests.models.tiny import VOCABULARY, tiny_model

PROMPTS = ["Once upon a time", "Lily", "The big red dog was very happy and"]


@pytest.fixture(scope="module")
def stories(shared_data: Path) -> Generator:
    """A Llama of 260 thousand parameters that writes stories; its tokenizer has no padding token."""
    return load_generator(shared_data / "checkpoints" / "stories260K")


def one(generator: Generator, prompt: str, **settings: Any) -> Generated:
    generated = generate(generator, prompt, **settings)
    assert isinstance(generated, Generated)
    return generated


def words(*, eos: bool = True, pad: bool = True) -> PreTrainedTokenizerFast:
    """As many words as the tiny models have tokens; `<s>`, `<pad>`, `</s>` are 0, 1, 2; a text is `<s> … </s>`."""
    names = ["<s>", "<pad>", "</s>", "<unk>", *(f"w{index}" for index in range(4, VOCABULARY))]
    backend = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    named = {"bos_token": "<s>", "unk_token": "<unk>"}
    named |= {"eos_token": "</s>"} if eos else {}
    named |= {"pad_token": "<pad>"} if pad else {}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named)


def tiny(model_type: str, **named: Any) -> Generator:
    auto_class = "AutoModelForSeq2SeqLM" if model_type in ("t5", "bart") else "AutoModelForCausalLM"
    return Generator(tiny_model(model_type, auto_class), words(**named))


# ---- what is generated ----------------------------------------------------------------------------------------------


def test_a_story_is_written(stories: Generator) -> None:
    (found,) = one(stories, "Once upon a time", max_new_tokens=40).continuations
    assert found.continuation.startswith(", there was a little girl named Lily. She loved to play")
    assert found.text == "Once upon a time" + found.continuation
    assert found.num_tokens == 40 and found.stopped == "length"
    assert -1 < found.score < 0  # it is sure of its stories


def test_a_texts_own_blank_is_kept(stories: Generator) -> None:
    assert one(stories, "Lily went to", max_new_tokens=3).continuations[0].text.startswith("Lily went to the ")


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "opt", "bloom", "bart", "t5"])
def test_greedy_tokens_are_those_of_a_loop_of_argmax(model_type: str) -> None:
    generator = tiny(model_type)
    prompt = [0, 20, 30, 40]  # `<s>` and three words; an encoder gets `</s>` behind them, a decoder does not
    model, expected = generator.model, []
    with torch.no_grad():
        for _ in range(6):
            if generator.is_encoder_decoder:
                start = model.config.decoder_start_token_id
                logits = model(
                    input_ids=torch.tensor([[*prompt, 2]]), decoder_input_ids=torch.tensor([[start, *expected]])
                ).logits
            else:
                logits = model(input_ids=torch.tensor([[*prompt, *expected]])).logits
            expected.append(int(logits[0, -1].argmax()))
    if model.generation_config.forced_eos_token_id is not None:  # BART's last token is always `</s>`
        expected[-1] = 2
    if 2 in expected:
        expected = expected[: expected.index(2) + 1]
    (found,) = one(generator, "w20 w30 w40", max_new_tokens=6, do_sample=False).continuations
    assert found.num_tokens == len(expected)
    shown = " ".join(f"w{token}" if token > 3 else "<unk>" for token in expected if token > 3)
    assert found.continuation.split() == shown.split()


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "opt", "bloom", "bart", "t5"])
@pytest.mark.parametrize("settings", [{}, {"repetition_penalty": 1.5}, {"max_length": 9}])
def test_a_batch_gives_what_single_prompts_give(model_type: str, settings: dict[str, Any]) -> None:
    # Padding is the EOS here, which a repetition penalty would make less likely.
    generator = tiny(model_type, pad=False)
    prompts = ["w20 w30 w40 w50", "w7", "w9 w11"]
    together = generate(generator, prompts, **settings)
    assert isinstance(together, list)
    for prompt, generated in zip(prompts, together, strict=True):
        alone = one(generator, prompt, **settings)
        assert alone.continuations[0].continuation == generated.continuations[0].continuation
        assert alone.continuations[0].score == pytest.approx(generated.continuations[0].score, rel=1e-4)


def test_a_batch_of_stories(stories: Generator) -> None:
    together = generate(stories, PROMPTS, max_new_tokens=20)
    assert together == [one(stories, prompt, max_new_tokens=20) for prompt in PROMPTS]


# ---- scores ---------------------------------------------------------------------------------------------------------


def test_the_score_is_the_mean_log_probability(stories: Generator) -> None:
    generated = one(stories, "Lily had a", max_new_tokens=5, do_sample=True, num_return_sequences=4, temperature=1.5)
    for found in generated.continuations:
        ids = stories.tokenizer(found.text, return_tensors="pt")["input_ids"]
        prompt_length = len(stories.tokenizer("Lily had a")["input_ids"])
        if ids.shape[1] != prompt_length + 5:
            continue  # drawn tokens that the tokenizer would not have chosen for this text
        with torch.no_grad():
            log_probabilities = stories.model(input_ids=ids).logits.log_softmax(-1)[0]
        picked = [float(log_probabilities[place - 1, ids[0, place]]) for place in range(prompt_length, ids.shape[1])]
        assert found.score == pytest.approx(sum(picked) / 5, rel=1e-4)
    scores = [found.score for found in generated.continuations]
    assert scores == sorted(scores, reverse=True) and len(scores) > 1


def test_the_end_counts_and_is_not_shown() -> None:
    # A model that says `</s>` whatever comes, with logit 3 against 0 of 119 others: log p = 3 - log(e³ + 119).
    generator = tiny("gpt2")
    with torch.no_grad():
        for parameter in generator.model.parameters():
            parameter.zero_()
        generator.model.transformer.ln_f.bias[:] = 1.0
        generator.model.transformer.wte.weight[2] = 3.0 / 32
    (found,) = one(generator, "w5").continuations
    assert (found.continuation, found.num_tokens, found.stopped) == ("", 1, "eos")
    assert found.score == pytest.approx(3 - float(torch.tensor(3.0).exp().add(119).log()), abs=1e-5)


def test_equal_texts_are_given_once(stories: Generator) -> None:
    generated = one(
        stories, "Once upon a time, there was a", do_sample=True, num_return_sequences=20, max_new_tokens=1, top_k=3
    )
    texts = [found.text for found in generated.continuations]
    assert len(set(texts)) == len(texts) <= 3
    assert generated.num_duplicates == 20 - len(texts)


def test_the_seed_repeats_and_the_callers_chance_is_left_alone(stories: Generator) -> None:
    def draw(seed: int) -> Any:
        return to_json(one(stories, "Tom", do_sample=True, max_new_tokens=12, seed=seed))

    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert draw(1) == draw(1) != draw(2)
    assert torch.equal(state, torch.get_rng_state())
    assert to_json(one(stories, "Tom", do_sample=True, max_new_tokens=12)) == draw(42)


# ---- texts ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chinese() -> Generator:
    """A decoder over a BERT vocabulary, as Chinese GPT-2 models have; it says 地, 人, 。, kube, ##rnetes in turn."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "天", "地", "人", "。", "kube", "##rnetes", "node"]
    backend = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = GPT2Config(vocab_size=len(pieces), n_embd=8, n_layer=1, n_head=1, n_positions=16)
    return Generator(GPT2LMHeadModel(config), tokenizer)


@pytest.mark.parametrize(
    ("prompt", "ids", "expected"),
    [
        ("天", [5, 6, 7], "地人。"),
        ("天", [5, 8, 9, 6], "地kubernetes人"),
        ("A Node", [10, 8, 9], " node kubernetes"),
        ("A Node ", [10, 8, 9], "node kubernetes"),
        ("A Kube", [9, 10, 3], "rnetes node"),
    ],
)
def test_blanks_stand_where_the_text_has_them(chinese: Generator, prompt: str, ids: list[int], expected: str) -> None:
    assert chinese._decode_behind(prompt, ids) == expected


def test_a_separator_ends_texts_where_there_is_no_eos(chinese: Generator) -> None:
    assert chinese.eos_ids == [3] and chinese.pad_id == 0


def test_a_prompt_is_framed_as_in_training(stories: Generator, chinese: Generator) -> None:
    config = stories.model.generation_config
    config = type(config)(max_new_tokens=4)
    bos = stories.tokenizer.bos_token_id
    read = stories._read(1, "Lily", 1, config)
    assert read.ids == tuple(stories.tokenizer("Lily")["input_ids"]) and read.ids[0] == bos
    assert stories._read(1, "<s>Lily", 1, config).ids.count(bos) == 1  # not twice
    assert chinese._read(1, "天", 1, config).ids == (2, 4)  # `[CLS] 天`: no `[SEP]`, which would end it
    assert tiny("t5")._read(1, "w5", 1, config).ids == (0, 5, 2)  # an encoder reads the whole frame


def test_sentinels_are_read_and_shown() -> None:
    tokenizer = words()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_id_0>", "<extra_id_1>"]})
    model = tiny_model("t5", "AutoModelForSeq2SeqLM")
    model.resize_token_embeddings(len(tokenizer))
    generator = Generator(model, tokenizer)
    config = type(model.generation_config)(max_new_tokens=4)
    first = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    assert generator._read(1, "w5 <extra_id_0> w6", 1, config).ids == (0, 5, first, 6, 2)
    assert generator._decode_behind("", [first, 9, first + 1, 2]).split() == ["<extra_id_0>", "w9", "<extra_id_1>"]


# ---- refusals and limits --------------------------------------------------------------------------------------------


def test_positions_end_what_is_generated() -> None:
    generator = tiny("gpt2")  # 96 positions, one of them `<s>`'s
    (found,) = one(generator, "w5 " * 90, max_new_tokens=50, eos_token_id=119).continuations
    assert found.stopped == "positions" and found.num_tokens == 96 - 91
    with pytest.raises(DataError, match="has 96 tokens, and the model positions for 96 with the continuation"):
        one(generator, "w5 " * 95)
    with pytest.raises(DataError, match="prompt 2 has 97 tokens"):
        generate(generator, ["w5", "w5 " * 96])


def test_a_limit_shorter_than_the_prompt_is_told() -> None:
    with pytest.raises(DataError, match="has 4 tokens, which leaves no room in a `max_length` of 4"):
        one(tiny("gpt2"), "w5 w6 w7", max_length=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temprature": 1.0}, r"`temprature`: unknown; did you mean `temperature`\?"),
        ({"output_scores": True}, "`output_scores`: this is no setting"),
        ({"top_p": 0.9}, "`top_p`: .* add `do_sample=true`"),
        ({"num_return_sequences": 3}, r"`num_beams=3`"),
        ({"max_length": 9, "max_new_tokens": 9}, "give one of them"),
        ({"max_new_tokens": 0}, "expected a number of at least 1, got 0"),
        ({"do_sample": True, "temperature": -1.0}, "temperature"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        one(tiny("gpt2"), "w5", **settings)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        one(tiny("gpt2"), "w5", temprature=1, top_k=5)
    assert len(caught.value.problems) == 2


def test_the_settings_are_those_of_transformers() -> None:
    assert {"typical_p", "length_penalty", "bad_words_ids", "stop_strings"} <= set(generation_fields())


def test_other_fields_take_effect() -> None:
    generator = tiny("gpt2")
    (free,) = one(generator, "w5", max_new_tokens=1, eos_token_id=119).continuations
    said = generator.tokenizer(free.continuation, add_special_tokens=False)["input_ids"]
    (other,) = one(generator, "w5", max_new_tokens=1, eos_token_id=119, suppress_tokens=said).continuations
    assert other.continuation != free.continuation


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(DataError, match="the prompt is empty"):
        one(tiny("gpt2"), prompt)
    with pytest.raises(DataError, match="prompt 2 is empty"):
        generate(tiny("gpt2"), ["w5", prompt])
    with pytest.raises(DataError, match="no valid Unicode"):
        one(tiny("gpt2"), "a\ud800")
    with pytest.raises(DataError, match="there is no prompt"):
        generate(tiny("gpt2"), [])


def test_an_encoder_is_refused_with_what_fits(tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder family \(bert\).*acclimate fill"):
        load_generator(tiny_bert)


# ---- adapters -------------------------------------------------------------------------------------------------------


def test_a_folder_with_an_adapter_is_the_adapted_model(shared_data: Path, tmp_path: Path) -> None:
    base = shared_data / "checkpoints" / "stories260K"
    tokenizer = load_generator(base).tokenizer
    model = add_adapter(AutoModelForCausalLM.from_pretrained(base), AdapterSettings(), "causal-lm", seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (found,) = one(load_generator(tmp_path), "Lily", max_new_tokens=8).continuations
    reference = model.generate(**tokenizer("Lily", return_tensors="pt"), max_new_tokens=8, pad_token_id=2)
    assert found.text == tokenizer.decode(reference[0], skip_special_tokens=True)
    assert found.text != one(load_generator(base), "Lily", max_new_tokens=8).continuations[0].text
