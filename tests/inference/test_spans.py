"""Fill gaps with spans: T5's sentinels, BART's whole texts, MASS's pieces and GLM's blanks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from acclimate.artifacts import write_manifest
from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.inference.fill import fill, fill_blanks, fill_each, load_filler, to_json
from acclimate.inference.generate import load_generator
from acclimate.inference.score import score
from acclimate.models.directed import direct, load_directed
from acclimate.objectives import make_objective
from acclimate.scoring import spans
from acclimate.scoring.beams import likeliest
from acclimate.scoring.blanks import BlankFiller
from acclimate.scoring.gaps import GapFinder, texts_between
from acclimate.scoring.generator import Generator
from acclimate.scoring.masks import MaskFiller
from acclimate.scoring.spans import MAX_SPAN, PieceFiller, SentinelFiller, SpanCandidate, TextFiller, spans_in
from acclimate.tokens.added import add_missing_tokens, blank_ids
from tests.models.tiny import tiny_model
from tests.objectives.test_matrix import matrix_tokenizer
from tests.objectives.tiny import memory_store

SEQ2SEQ, CAUSAL = "AutoModelForSeq2SeqLM", "AutoModelForCausalLM"
MASK = 4  # of `matrix_tokenizer`; `<s>`, `<pad>`, `</s>` are 0, 1, 2, the sentinels 119, 118, …


def run_folder(
    path: Path, model: Any, tokenizer: PreTrainedTokenizerFast, name: str, kind: str, **options: Any
) -> Path:
    """A folder as a run leaves it."""
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    recipe = {"max_length": 32, "isolate": "document", "adapter": None}
    objective = {"name": name, "options": options, "family": kind}
    content = {"status": "finished", "recipe": recipe, "objective": objective, "tokens": {"packed": False}}
    write_manifest(path, "run", content)
    return path


def bart_tokenizer() -> PreTrainedTokenizerFast:
    """As BART's: a text is `<s> … </s>`."""
    return matrix_tokenizer("encoder")


def log_probability(logits: torch.Tensor, ids: list[int]) -> float:
    """The mean log-probability of ids by the logits for each, [N, V]."""
    return float(logits.log_softmax(-1)[range(len(ids)), ids].mean())


# ---- gaps -----------------------------------------------------------------------------------------------------------


def test_the_blank_before_a_gap_belongs_to_what_is_missing(shared_data: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(shared_data / "tokenizers" / "gpt2")
    tokenizer, _ = add_missing_tokens(loaded, ["mask"])
    finder = GapFinder(tokenizer, "<mask>")
    ids, places = finder.ids("The <mask> sat on a [MASK].", "<mask>")
    # The words around the gaps have the ids that they have in the whole text, and no lone blank is left.
    assert tokenizer.convert_ids_to_tokens(ids) == ["The", "<mask>", "Ġsat", "Ġon", "Ġa", "<mask>", "."]
    assert places == [1, 5]


def test_texts_between_gaps() -> None:
    finder = GapFinder(matrix_tokenizer("encoder"), "<mask>")
    text = "w5 <mask> w6[MASK]"
    assert texts_between(text, finder.find(text)) == ["w5 ", " w6", ""]
    with pytest.raises(DataError, match="there is no <mask> in 'w5'"):
        finder.find("w5")


# ---- one token a mask: mntp -----------------------------------------------------------------------------------------


def test_mntp_tells_a_token_from_the_position_before_it(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, tiny_model("llama", CAUSAL), matrix_tokenizer("decoder"), "mntp", "decoder")
    filler = load_filler(folder)
    assert isinstance(filler, MaskFiller)
    first, second = filler.fill("w5 <mask> w7 [MASK] w9", top_k=3)
    with torch.inference_mode():
        # `<s> w5 <mask> w7 <mask> w9`, without an end: the masks stand at 2 and 4.
        logits = load_directed(folder)(torch.tensor([[0, 5, MASK, 7, MASK, 9]])).logits[0]
    for found, place in ((first, 1), (second, 3)):
        best = logits[place].softmax(-1).topk(3)
        assert [candidate.token for candidate in found] == best.indices.tolist()
        assert [candidate.score for candidate in found] == pytest.approx(best.values.tolist(), rel=1e-4)
    words = matrix_tokenizer("decoder").convert_ids_to_tokens([candidate.token for candidate in first])
    word = next(word for word in words if word.startswith("w"))
    assert f"w5 {word} w7 [MASK] w9" in {candidate.sequence for candidate in first}
    # A mask at the beginning is told from `<s>`.
    assert len(fill(folder, "<mask> w7", top_k=2)) == 2


def test_without_a_beginning_token_the_first_word_cannot_be_told() -> None:
    tokenizer = matrix_tokenizer("decoder")
    from tokenizers import processors

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    model = tiny_model("llama", CAUSAL)
    direct(model, "both")
    filler = MaskFiller(model, tokenizer, from_before=True)
    with pytest.raises(DataError, match="begins with a mask"):
        filler.fill("<mask> w5")
    assert filler.fill("w5 <mask>")


# ---- T5 -------------------------------------------------------------------------------------------------------------


def test_a_mask_is_the_next_sentinel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_model("t5", SEQ2SEQ), matrix_tokenizer("encoder-decoder")
    folder = run_folder(tmp_path, model, tokenizer, "span_denoising", "encoder-decoder")
    filler = load_filler(folder)
    assert isinstance(filler, SentinelFiller)
    asked = []

    def said(generator: Generator, ids: Any, **settings: Any) -> Any:
        asked.append((list(ids), settings["max_new_tokens"]))
        likeliest(generator, ids, **settings)
        # `<extra_id_0> w50 w51 <extra_id_1> w60 </s>`; of the second, the second span is missing; then the first again.
        return [([119, 50, 51, 118, 60, 2], -1.0), ([119, 52, 2], -2.0), ([119, 50, 51, 118, 60], -3.0)]

    monkeypatch.setattr(spans, "likeliest", said)
    found = filler.fill("w5 <mask> w7 <mask>", top_k=4)
    assert asked == [([5, 119, 7, 118, 2], 2 * (MAX_SPAN + 1) + 1)]
    assert found == [
        SpanCandidate(-1.0, ("w50 w51", "w60"), "w5 w50 w51 w7 w60"),
        SpanCandidate(-2.0, ("w52", ""), "w5 w52 w7 "),
    ]
    # Sentinels may be written as such.
    assert filler.fill("w5 <extra_id_0> w7 <extra_id_1>", top_k=4) == found
    assert asked[1] == asked[0]
    with pytest.raises(DataError, match="11 masks, and this tokenizer has 10 sentinels"):
        filler.fill("w5 " + "<mask> " * 11)


def test_the_score_is_that_of_the_decoder() -> None:
    model, tokenizer = tiny_model("t5", SEQ2SEQ), matrix_tokenizer("encoder-decoder")
    generator = Generator(model, tokenizer)
    found = likeliest(generator, [5, 119, 7, 2], max_new_tokens=4, num_beams=4)
    assert [mean for _, mean in found] == sorted((mean for _, mean in found), reverse=True)
    for ids, mean in found:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[5, 119, 7, 2]]), decoder_input_ids=torch.tensor([[1, *ids[:-1]]]))
        assert mean == pytest.approx(log_probability(logits.logits[0], ids), abs=1e-4)


def test_ul2_begins_with_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, added = add_missing_tokens(matrix_tokenizer("encoder-decoder"), ["modes"])
    assert added == ("[R]", "[S]", "[X]")
    model = tiny_model("t5", SEQ2SEQ)
    model.resize_token_embeddings(len(tokenizer))
    folder = run_folder(tmp_path, model, tokenizer, "span_denoising", "encoder-decoder", mixture="ul2")
    filler = load_filler(folder)
    assert isinstance(filler, SentinelFiller)
    asked = []
    monkeypatch.setattr(spans, "likeliest", lambda generator, ids, **settings: asked.append(list(ids)) or [])
    regular, extreme = tokenizer.convert_tokens_to_ids(["[R]", "[X]"])
    filler.fill("w5 <mask>")
    filler.fill("[X] w5 <mask>")
    assert asked == [[regular, 5, 119, 2], [extreme, 5, 119, 2]]


# ---- many texts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "filler_class", "kind"),
    [
        ("t5", SentinelFiller, "encoder-decoder"),
        ("longt5", SentinelFiller, "encoder-decoder"),
        ("bart", TextFiller, "encoder"),
    ],
)
def test_many_texts_are_filled_as_each_alone(model_type: str, filler_class: Any, kind: Any) -> None:
    filler = filler_class(tiny_model(model_type, SEQ2SEQ), matrix_tokenizer(kind))
    texts = [
        " ".join(["w5 <mask> w7", *(f"w{10 + number + place}" for place in range(number % 4))]) for number in range(9)
    ]
    texts += ["w5 <mask> w6 <mask>", "w5", "<mask> w8"]
    batches: list[int] = []
    inner = filler.generator.ids_of
    filler.generator.ids_of = lambda batch, config: batches.append(len(batch)) or inner(batch, config)
    together = list(filler.fill_each(texts, top_k=2, batch_size=4))
    assert sum(batches) == len(texts) - 1 > len(batches) and max(batches) <= 4
    for text, found in zip(texts, together, strict=True):
        if text == "w5":
            assert isinstance(found, DataError)
            continue
        alone = filler.fill(text, top_k=2)
        assert not isinstance(found, DataError)
        assert [(one.spans, one.sequence) for one in found] == [(one.spans, one.sequence) for one in alone]
        assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-5)


def test_fillers_of_one_text_at_a_time_go_on_behind_an_error() -> None:
    filler = PieceFiller(tiny_model("bart", SEQ2SEQ), bart_tokenizer())
    first, error, last = fill_each(filler, ["w5 <mask> w6", "<mask> w5 <mask>", "<mask> w6"], top_k=1)
    assert "one piece" in str(error)
    assert [first, last] == [fill(filler, text, top_k=1) for text in ("w5 <mask> w6", "<mask> w6")]


# ---- BART -----------------------------------------------------------------------------------------------------------


def test_bart_writes_out_the_whole_text(tmp_path: Path) -> None:
    model = tiny_model("bart", SEQ2SEQ)
    folder = run_folder(tmp_path, model, bart_tokenizer(), "text_infilling", "encoder-decoder")
    filler = load_filler(folder)
    assert isinstance(filler, TextFiller)
    found = filler.fill("w5 <mask> w7", top_k=3)
    assert 1 <= len(found) <= 3 and [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    # As in training: the encoder reads `<s> w5 <mask> w7 </s>`, the decoder is given `</s> <s>` and told the rest.
    objective = make_objective(
        "text_infilling", {}, bart_tokenizer(), max_length=32, seed=0, family="encoder-decoder", decoder_start_id=2
    )
    store = memory_store([[5, 9, 7]], joint=2)
    example = objective.example(store, objective.plan(store, isolate="document", packed=False), 0)
    assert example["decoder_input_ids"].tolist() == [2, 0, 5, 9, 7]
    assert example["labels"].tolist()[1:] == [5, 9, 7, 2]
    source = torch.tensor([[0, 5, MASK, 7, 2]])
    told, best_score = likeliest(filler.generator, source[0].tolist(), max_new_tokens=8, num_beams=4)[0]
    with torch.inference_mode():
        logits = model(input_ids=source, decoder_input_ids=torch.tensor([[2, 0, *told[:-1]]])).logits[0, 1:]
    assert best_score == pytest.approx(log_probability(logits, told), abs=1e-4)


def test_no_end_that_is_none_is_forced() -> None:
    """A new BART's configuration forces token 2 at the end of what is cut off, whatever token that is."""
    model = tiny_model("bart", SEQ2SEQ)
    model.generation_config.forced_eos_token_id = 77
    generator = Generator(model, bart_tokenizer())
    (generated,) = generator.generate(["w5 w6"], max_new_tokens=3, min_new_tokens=3)
    assert "w77" not in generated.continuations[0].continuation
    for ids, _ in likeliest(generator, [0, 5, 2], max_new_tokens=2, min_new_tokens=2, num_beams=4):
        assert ids[-1] != 77
    (generated,) = generator.generate(["w5 w6"], max_new_tokens=3, min_new_tokens=3, forced_eos_token_id=77)
    assert generated.continuations[0].continuation.endswith("w77")


def test_what_bart_put_into_the_gaps() -> None:
    assert spans_in("The cat sat on the mat.", ["The ", " sat on ", "."]) == ("cat", "the mat")
    assert spans_in("天地玄黄", ["天", "黄"]) == ("地玄",)
    assert spans_in("The  cat\nsat", ["The ", "sat"]) == ("cat",)
    assert spans_in("The sat", ["The ", " sat"]) == ("",)
    # Another text than the user's.
    assert spans_in("A cat sat.", ["The ", " sat."]) is None


# ---- MASS -----------------------------------------------------------------------------------------------------------


def test_mass_tells_one_piece_at_its_positions(tmp_path: Path) -> None:
    model = tiny_model("bart", SEQ2SEQ)
    folder = run_folder(tmp_path, model, bart_tokenizer(), "mass", "encoder-decoder")
    filler = load_filler(folder)
    assert isinstance(filler, PieceFiller)
    found = filler.fill("w5 w6 <mask> <mask> w9", top_k=3)
    best = found[0]
    assert best.spans is not None and len(best.spans) == 2
    # `<s> w5 w6 <mask> <mask> w9 </s>`: the piece stands at 3 and 4. The decoder has its start, a mask for each token
    # before the piece, and what it has told.
    source = torch.tensor([[0, 5, 6, MASK, MASK, 9, 2]])

    def mean(pair: tuple[int, int]) -> float:
        with torch.inference_mode():
            given = torch.tensor([[2, MASK, MASK, MASK, pair[0]]])
            logits = model(input_ids=source, decoder_input_ids=given).logits[0, 3:]
        return log_probability(logits, list(pair))

    vocabulary = bart_tokenizer().get_vocab()
    first, second = (vocabulary.get(span, -1) for span in best.spans)
    if first >= 5 and second >= 5:
        assert best.score == pytest.approx(mean((first, second)), abs=1e-4)
        assert best.sequence == f"w5 w6 {best.spans[0]} {best.spans[1]} w9"
    with pytest.raises(DataError, match="something between the masks"):
        filler.fill("w5 <mask> w6 <mask>")


# ---- blank infilling ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blanks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer, added = add_missing_tokens(matrix_tokenizer("decoder"), ["blanks"])
    assert added == ("<|startofpiece|>", "<|endofpiece|>")
    model = tiny_model("llama", CAUSAL)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    path = tmp_path_factory.mktemp("blanks")
    return run_folder(path, model, tokenizer, "prefix_lm", "decoder", variant="blank_infilling")


def part_b(spans: Any, places: list[int], start: int, end: int) -> tuple[list[int], list[int], list[int]]:
    """Inputs, labels and positions of part B, as training has them."""
    inputs = [token for span in spans for token in (start, *span)]
    labels = [token for span in spans for token in (*span, end)]
    positions = [place for span, place in zip(spans, places, strict=True) for _ in range(len(span) + 1)]
    return inputs, labels, positions


def test_blanks_have_the_scores_of_whole_forwards(blanks: Path) -> None:
    filler = load_filler(blanks)
    assert isinstance(filler, BlankFiller)
    ends = blank_ids(filler.tokenizer)
    assert ends is not None
    part_a, places = [0, 5, MASK, 7, 8, MASK, 9], [2, 5]
    beams = filler._search(part_a, places, 4)
    assert len(beams) >= 4 and len({beam.spans for beam in beams}) == len(beams)
    for beam in beams:
        assert len(beam.spans) == 2 and all(1 <= len(span) <= MAX_SPAN for span in beam.spans)
        inputs, labels, positions = part_b(beam.spans, places, *ends)
        ids = torch.tensor([[*part_a, *inputs]])
        with torch.inference_mode():
            logits = filler.model(
                ids,
                segment_ids=torch.zeros_like(ids),
                visibility=torch.tensor([[0] * len(part_a) + [1] * len(inputs)]),
                position_ids=torch.tensor([[*range(len(part_a)), *positions]]),
            ).logits[0, len(part_a) :]
        assert beam.score == pytest.approx(log_probability(logits, labels), abs=1e-4)


def test_the_fields_are_those_of_training(blanks: Path) -> None:
    """One text of training, its spans put into text order: the same ids, positions and labels as filling has."""
    tokenizer = load_filler(blanks).tokenizer
    options = {"variant": "blank_infilling", "noise_density": 0.4}
    objective = make_objective("prefix_lm", options, tokenizer, max_length=64, seed=3, family="decoder")
    text = list(range(20, 40))
    store = memory_store([text], joint=None)
    example = objective.example(store, objective.plan(store, isolate="document", packed=False), 0)
    start, end = blank_ids(tokenizer) or (0, 0)
    ids = example["input_ids"].tolist()
    count = ids.index(start)
    part_a, places = ids[:count], [place for place, token in enumerate(ids[:count]) if token == MASK]
    assert part_a[0] == 0 and example["position_ids"][:count].tolist() == list(range(count))
    # What stands between start tokens is a span; it belongs to the blank whose position it has.
    spans: dict[int, list[int]] = {}
    for token, position in zip(ids[count:], example["position_ids"][count:].tolist(), strict=True):
        spans.setdefault(position, []).extend([] if token == start else [token])
    assert sorted(spans) == places
    for order in itertools.permutations(places):
        inputs, labels, positions = part_b([spans[place] for place in order], list(order), start, end)
        if inputs == ids[count:]:
            assert example["labels"][count:].tolist() == labels
            assert example["position_ids"][count:].tolist() == positions
            break
    else:
        raise AssertionError("no order of the spans is that of training")
    # And put in where the masks are, they give the text back.
    restored = [t for place, token in enumerate(part_a) for t in spans.get(place, [token])]
    assert restored == [0, *text]


def test_a_likely_blank_is_found(blanks: Path) -> None:
    """A model that says w50, w51 and the end, whatever it sees."""
    filler = load_filler(blanks)
    assert isinstance(filler, BlankFiller)
    start, end = blank_ids(filler.tokenizer) or (0, 0)
    behind = {start: 50, 50: 51, 51: end}
    forward = filler.model.forward

    def wrapped(input_ids: torch.Tensor, **settings: Any) -> Any:
        output = forward(input_ids, **settings)
        output.logits = torch.zeros_like(output.logits)
        for row, line in enumerate(input_ids.tolist()):
            for column, token in enumerate(line):
                if token in behind:
                    output.logits[row, column, behind[token]] = 20.0
        return output

    filler.model.forward = wrapped
    found = filler.fill("w5 <mask> w7 [MASK]!", top_k=2)
    assert found[0].spans == ("w50 w51", "w50 w51")
    assert found[0].sequence == "w5 w50 w51 w7 w50 w51!"
    assert found[0].score == pytest.approx(0, abs=1e-4)
    assert len(found) == 2 and found[1].score < -1


def test_fill_blanks(blanks: Path) -> None:
    model, tokenizer = load_directed(blanks), load_filler(blanks).tokenizer
    found = fill_blanks(model, tokenizer, "w5 <mask> w7", top_k=3)
    assert found == fill(blanks, "w5 <mask> w7", top_k=3)
    assert len(found) == 3 and [sorted(one) for one in to_json(found)] == [["score", "sequence", "spans"]] * 3
    with pytest.raises(RecipeError, match="`top_k`"):
        fill_blanks(model, tokenizer, "w5 <mask>", top_k=0)
    with pytest.raises(ModelError, match="start and end of a blank"):
        fill_blanks(model, matrix_tokenizer("decoder"), "w5 <mask>")
    with pytest.raises(DataError, match="longer than the model's 96 positions"):
        fill_blanks(model, tokenizer, "w5 " * 100 + "<mask>")


# ---- what generates, what fills, and scores -------------------------------------------------------------------------


def test_generate_sees_its_prompt_in_both_directions(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, tiny_model("llama", CAUSAL), matrix_tokenizer("decoder"), "prefix_lm", "decoder")
    generator = load_generator(folder)
    prompts = ["w5 w9 w20 w31 w8", "w7"]
    found = list(generator.generate(prompts, max_new_tokens=6))
    model = load_directed(folder)
    for prompt, one in zip(prompts, found, strict=True):
        ids = [0, *(int(word[1:]) for word in prompt.split())]
        current = torch.tensor([ids])
        with torch.inference_mode():
            while current.shape[1] < len(ids) + one.continuations[0].num_tokens:
                logits = model(current, prefix_length=len(ids)).logits[0]
                current = torch.cat([current, logits[-1:].argmax(-1)[None]], dim=1)
        told = current[0, len(ids) :].tolist()
        assert one.continuations[0].score == pytest.approx(log_probability(logits[len(ids) - 1 :], told), abs=1e-4)
        assert one.continuations[0].continuation == generator.reader.behind(prompt, told)


def test_generate_refuses_what_was_trained_to_fill(blanks: Path, tmp_path: Path) -> None:
    folder = run_folder(tmp_path, tiny_model("llama", CAUSAL), matrix_tokenizer("decoder"), "mntp", "decoder")
    for path in (folder, blanks):
        with pytest.raises(ModelError, match="continues none; fill masks"):
            load_generator(path)


def test_a_decoder_that_was_not_trained_for_it_fills_nothing(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, tiny_model("llama", CAUSAL), matrix_tokenizer("decoder"), "clm", "decoder")
    with pytest.raises(ModelError, match="fills no masks unless"):
        load_filler(folder)


CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("llama", CAUSAL, "mntp", {}),
    ("llama", CAUSAL, "prefix_lm", {"prefix_ratio": 0.5}),
    ("llama", CAUSAL, "prefix_lm", {"variant": "blank_infilling"}),
    ("bert", "AutoModelForMaskedLM", "prefix_lm", {}),
    ("bart", SEQ2SEQ, "text_infilling", {}),
    ("bart", SEQ2SEQ, "mass", {}),
    ("t5", SEQ2SEQ, "span_denoising", {"mixture": "ul2"}),
]


@pytest.mark.parametrize(("model_type", "auto", "name", "options"), CASES)
def test_score_asks_by_the_runs_own_objective(
    model_type: str, auto: str, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    kind = {CAUSAL: "decoder", SEQ2SEQ: "encoder-decoder"}.get(auto, "encoder")
    named = bart_tokenizer() if model_type == "bart" else matrix_tokenizer(kind)  # type: ignore[arg-type]
    tokenizer, _ = add_missing_tokens(named, ["blanks", "modes"])
    model = tiny_model(model_type, auto)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    folder = run_folder(tmp_path, model, tokenizer, name, kind, **options)
    texts = [" ".join(f"w{5 + (7 * place + number) % 90}" for place in range(18)) for number in range(3)]
    found = score(folder, texts)
    assert found.objective == name
    (part,) = found.total.parts.values()
    assert part.num_targets > 3 and part.measures["loss"] > 1
    assert ("bits_per_byte" in part.measures) == (kind != "encoder" and name != "mntp")
