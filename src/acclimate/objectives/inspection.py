"""An example token by token, as the model gets it: what each token is, what is asked of it, and who may see whom.

Derived from the fields of an example alone, so that it shows what is there and not what was meant to be. A layout that
is new (a prefix that is seen in both directions, a text read from right to left) gets its rule in
`attention_regions`, and a way of choosing targets its row in `WHY`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.objectives.base import BY_EARLIER, BY_LATER, IGNORE, INPUT_PLACES, LABEL_PLACES, Fields, Objective
from acclimate.objectives.blank_infilling import BlankInfilling
from acclimate.objectives.clm import CausalLanguageModeling
from acclimate.objectives.rows import NO_PLACE
from acclimate.objectives.rtd import DRAWS
from acclimate.objectives.text_infilling import TextInfilling
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.tokens.store import JOINT, TokenStore

Kind = Literal["text", "joint", "special"]

# Why a token is a target, in words.
WHY: dict[str, str] = {
    "mask": "to be predicted; the model gets the mask token instead",
    "random": "to be predicted; the model gets a random token instead",
    "kept": "to be predicted; the model gets it as it is",
    "next": "predicted from the tokens before it",
    "end": "EOS, predicted: the text ends here",
    "sentinel": "a sentinel, predicted: it says which span comes next",
    "taken out": "taken out of the encoder's text, predicted from it and the tokens before",
    "told": "a token of the whole text, predicted from the encoder's text and the tokens before",
    "blank": "the next token of a blank, predicted from the text and what is behind it so far",
    "blank end": "the end of a blank, predicted",
}


@dataclass(frozen=True)
class Token:
    """One token of a row.

    Attributes:
        id: as the model gets it.
        piece: its name in the vocabulary.
        text: how it reads in its place; of a character in several tokens the last has it all.
        kind: "text"; "joint", which stands between texts; "special", which stands for nothing in the text.
        segment: which of the texts in the row it belongs to.
        place: where in the token stream it stands, `NO_PLACE` for what is not from there or is not known to be.
        label: the id that is to be predicted here; None where nothing is.
        label_piece: its name in the vocabulary.
        label_text: how the label reads in its place.
        why: a row of `WHY`; None where nothing is to be predicted.
        stands_for: what an encoder's sentinel, or the mask of a blank, stands for, as it reads.
        token_type: 0 or 1 in a pair of texts; None elsewhere.
        draw: the number in [0, 1) at which a generator's replacement is drawn; None elsewhere.
    """

    id: int
    piece: str
    text: str
    kind: Kind
    segment: int
    place: int
    label: int | None = None
    label_piece: str | None = None
    label_text: str | None = None
    why: str | None = None
    stands_for: str | None = None
    token_type: int | None = None
    draw: float | None = None


@dataclass(frozen=True)
class Piece:
    """A stretch of the corpus in a row: one text, or one of a pair.

    Attributes:
        name: the number of its segment; "A" or "B" in a pair.
        start, end: its first token and end in the token stream.
        documents: ids of the documents that it is from.
    """

    name: str
    start: int
    end: int
    documents: tuple[str, ...]


# ---- tokens ---------------------------------------------------------------------------------------------------------


def tokens_of(
    objective: Objective, fields: Fields, store: TokenStore, tokenizer: PreTrainedTokenizerBase
) -> dict[str, tuple[Token, ...]]:
    """The tokens of an example by side: {"row": …}, or {"encoder": …, "decoder": …} of an encoder-decoder."""
    if "decoder_input_ids" in fields:
        decoder = _decoder(objective, fields, tokenizer)
        return {"encoder": _encoder(objective.vocabulary, fields, store, tokenizer, decoder), "decoder": decoder}
    if isinstance(objective, BlankInfilling):
        return {"row": _blanks(objective.vocabulary, fields, store, tokenizer)}
    return {"row": _row(objective, fields, store, tokenizer)}


def _row(
    objective: Objective, fields: Fields, store: TokenStore, tokenizer: PreTrainedTokenizerBase
) -> tuple[Token, ...]:
    """A row whose labels are the originals of its own tokens."""
    vocabulary, ids, labels = objective.vocabulary, fields["input_ids"], fields["labels"]
    originals = np.where(labels == IGNORE, ids, labels)
    pieces, original_pieces = _pieces(tokenizer, ids), _pieces(tokenizer, originals)
    texts = read_ids(tokenizer, originals, fields["segment_ids"], vocabulary)
    kinds = _kinds(fields[INPUT_PLACES], store)
    tokens = []
    for index, (token, label) in enumerate(zip(ids.tolist(), labels.tolist(), strict=True)):
        is_target = label != IGNORE
        tokens.append(
            Token(
                id=token,
                piece=pieces[index],
                text=texts[index] if token == originals[index] else _read_alone(tokenizer, token, pieces[index]),
                kind=kinds[index],
                segment=int(fields["segment_ids"][index]),
                place=int(fields[INPUT_PLACES][index]),
                label=label if is_target else None,
                label_piece=original_pieces[index] if is_target else None,
                label_text=texts[index] if is_target else None,
                why=_why(objective, token, label) if is_target else None,
                token_type=int(fields["token_type_ids"][index]) if "token_type_ids" in fields else None,
                draw=int(fields["draws"][index]) / DRAWS if "draws" in fields and is_target else None,
            )
        )
    return tuple(tokens)


def _read_alone(tokenizer: PreTrainedTokenizerBase, token: int, piece: str) -> str:
    text = str(tokenizer.decode([token], clean_up_tokenization_spaces=False)).strip()
    return piece if not text or "\N{REPLACEMENT CHARACTER}" in text else text


def _why(objective: Objective, token: int, label: int) -> str:
    """Why the token of a row is a target. A random token that happens to be the original counts as kept."""
    if isinstance(objective, CausalLanguageModeling):
        return "end" if label == objective.vocabulary.eos_id else "next"
    if token != label:
        return "mask" if token == objective.vocabulary.mask_id else "random"
    return "kept"


def _blanks(
    vocabulary: Vocabulary, fields: Fields, store: TokenStore, tokenizer: PreTrainedTokenizerBase
) -> tuple[Token, ...]:
    """A row of blank infilling: texts with their blanks, and behind each the blanks' tokens, whose labels are what
    follows them."""
    assert vocabulary.blank_ids is not None
    ids, labels, segments = fields["input_ids"], fields["labels"], fields["segment_ids"]
    is_target = labels != IGNORE
    pieces, kinds = _pieces(tokenizer, ids), _kinds(fields[INPUT_PLACES], store)
    label_pieces = _pieces(tokenizer, np.where(is_target, labels, ids))
    # The texts with the blanks' tokens behind them, and the same with what is to be said in its place.
    texts = read_ids(tokenizer, ids, segments, vocabulary)
    label_texts = read_ids(tokenizer, np.where(is_target, labels, ids), segments, vocabulary)
    told: dict[tuple[int, int], str] = {}
    for index in np.flatnonzero(is_target & (labels != vocabulary.blank_ids[1])).tolist():
        blank = int(segments[index]), int(fields["position_ids"][index])
        told[blank] = told.get(blank, "") + label_texts[index]
    tokens = []
    for index, (token, label) in enumerate(zip(ids.tolist(), labels.tolist(), strict=True)):
        blank = int(segments[index]), int(fields["position_ids"][index])
        is_blank = token == vocabulary.mask_id and not is_target[index]
        why = "blank end" if label == vocabulary.blank_ids[1] else "blank"
        tokens.append(
            Token(
                id=token,
                piece=pieces[index],
                text=texts[index],
                kind=kinds[index],
                segment=blank[0],
                place=int(fields[INPUT_PLACES][index]),
                label=label if is_target[index] else None,
                label_piece=label_pieces[index] if is_target[index] else None,
                label_text=label_texts[index] if is_target[index] else None,
                why=why if is_target[index] else None,
                stands_for=told.get(blank) if is_blank else None,
            )
        )
    return tuple(tokens)


def _encoder(
    vocabulary: Vocabulary,
    fields: Fields,
    store: TokenStore,
    tokenizer: PreTrainedTokenizerBase,
    decoder: Sequence[Token],
) -> tuple[Token, ...]:
    ids, segments, places = fields["input_ids"], fields["segment_ids"], fields[INPUT_PLACES]
    told = _told_spans(decoder)
    pieces, kinds = _pieces(tokenizer, ids), _kinds(places, store)
    texts = read_ids(tokenizer, ids, segments, vocabulary)
    return tuple(
        Token(token, pieces[index], texts[index], kinds[index], segment, place, stands_for=told.get((segment, token)))
        for index, (token, segment, place) in enumerate(
            zip(ids.tolist(), segments.tolist(), places.tolist(), strict=True)
        )
    )


def _told_spans(decoder: Sequence[Token]) -> dict[tuple[int, int], str]:
    """What the decoder tells of each sentinel: {(segment, sentinel): how it reads}."""
    told: dict[tuple[int, int], list[Token]] = {}
    span: list[Token] = []
    for token in decoder:
        if token.why == "sentinel":
            assert token.label is not None
            span = told.setdefault((token.segment, token.label), [])
        elif token.why == "taken out":
            span.append(token)
    # A part of a character reads as nothing: its name is better.
    return {
        sentinel: "".join(token.label_text or "" for token in span)
        or "".join(token.label_piece or "" for token in span)
        for sentinel, span in told.items()
    }


def _decoder(objective: Objective, fields: Fields, tokenizer: PreTrainedTokenizerBase) -> tuple[Token, ...]:
    vocabulary = objective.vocabulary
    ids, labels, segments = (fields[name] for name in ("decoder_input_ids", "labels", "decoder_segment_ids"))
    is_target = labels != IGNORE
    shown = np.where(is_target, labels, ids)
    pieces, label_pieces = _pieces(tokenizer, ids), _pieces(tokenizer, shown)
    texts = read_ids(tokenizer, ids, segments, vocabulary)
    label_texts = read_ids(tokenizer, shown, segments, vocabulary)
    tokens = []
    for index, (token, label) in enumerate(zip(ids.tolist(), labels.tolist(), strict=True)):
        text_like = token < vocabulary.size and not vocabulary.special[token]
        tokens.append(
            Token(
                id=token,
                piece=pieces[index],
                text=texts[index],
                kind="text" if text_like else "special",
                segment=int(segments[index]),
                place=NO_PLACE,
                label=label if is_target[index] else None,
                label_piece=label_pieces[index] if is_target[index] else None,
                label_text=label_texts[index] if is_target[index] else None,
                why=_why_told(objective, label) if is_target[index] else None,
            )
        )
    return tuple(tokens)


def _why_told(objective: Objective, label: int) -> str:
    if label in objective.vocabulary.sentinels:
        return "sentinel"
    if label == objective.vocabulary.eos_id:
        return "end"
    return "told" if isinstance(objective, TextInfilling) else "taken out"


def _kinds(places: NDArray[np.int64], store: TokenStore) -> list[Kind]:
    flags = store.flags[np.maximum(places, 0)]
    return [
        "special" if place == NO_PLACE else "joint" if flag & JOINT else "text"
        for place, flag in zip(places.tolist(), flags.tolist(), strict=True)
    ]


def _pieces(tokenizer: PreTrainedTokenizerBase, ids: NDArray[np.int64]) -> list[str]:
    # A model may know more ids than its tokenizer; they have no name.
    names = tokenizer.convert_ids_to_tokens(ids.tolist())
    return [str(token) if name is None else name for token, name in zip(ids.tolist(), names, strict=True)]


def read_ids(
    tokenizer: PreTrainedTokenizerBase, ids: NDArray[np.int64], segments: NDArray[np.int64], vocabulary: Vocabulary
) -> list[str]:
    """How each token reads in its place, blanks included; joined they are the text of each segment.

    Special tokens read as their names. Of a character in several tokens the last one has it all, and the others are
    empty.

    Args:
        ids, segments: [L] int64 each.
    """
    special = np.ones(len(ids), dtype=bool)
    known = ids < vocabulary.size
    special[known] = vocabulary.special[ids[known]]
    texts = _pieces(tokenizer, ids)
    # A text is read across the special tokens in it, so that what follows a sentinel keeps its blank.
    for segment in np.unique(segments):
        places = np.flatnonzero((segments == segment) & ~special)
        for place, text in zip(places, _read_run(tokenizer, ids[places].tolist()), strict=True):
            texts[place] = text
    return texts


def _read_run(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    def decode(start: int, end: int) -> str:
        return str(tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False))

    texts = []
    # Each token is decoded behind the ones before it: by itself it would lose its blank.
    context = read = 0
    for index in range(len(ids)):
        before, now = decode(context, read), decode(context, index + 1)
        is_whole = len(now) > len(before) and not now.endswith("\N{REPLACEMENT CHARACTER}")
        if is_whole or index + 1 == len(ids):
            texts.append(now[len(before) :])
            context, read = read, index + 1
        else:
            texts.append("")
    return texts


# ---- where it is from, and what else is asked -----------------------------------------------------------------------


def pieces_of(fields: Fields, store: TokenStore) -> tuple[Piece, ...]:
    """Which stretches of the corpus an example is made of, by the places of its inputs and targets."""
    pieces = []
    for name, places in _places_by_piece(fields):
        start, end = int(places.min()), int(places.max()) + 1
        first, last = (
            int(np.searchsorted(store.documents[:, 0], place, side="right")) - 1 for place in (start, end - 1)
        )
        pieces.append(Piece(name, start, end, tuple(store.document_ids[first : last + 1])))
    return tuple(pieces)


def _places_by_piece(fields: Fields) -> Iterator[tuple[str, NDArray[np.int64]]]:
    inputs, segments = fields[INPUT_PLACES], fields["segment_ids"]
    if "token_type_ids" in fields:
        found = [(name, inputs[fields["token_type_ids"] == number]) for number, name in enumerate("AB")]
    else:
        targets = fields[LABEL_PLACES]
        of_targets = fields.get("decoder_segment_ids", segments)
        found = [
            (str(segment), np.concatenate([inputs[segments == segment], targets[of_targets == segment]]))
            for segment in np.unique(segments).tolist()
        ]
    for name, places in found:
        known = places[places != NO_PLACE]
        if len(known):
            yield name, known


def verdicts_of(objective: Objective, fields: Fields) -> dict[str, str]:
    """What is asked of a row as a whole: {part of the loss: the right answer's name}."""
    return {
        part.name: part.classes[int(fields[part.labels][0])]
        for part in objective.parts
        if part.classes and part.labels != "labels" and len(fields[part.labels]) == 1
    }


# ---- attention ------------------------------------------------------------------------------------------------------


def attention_regions(objective: Objective, fields: Fields) -> dict[str, NDArray[np.bool_]]:
    """Who may attend to whom, by the rule of the objective: [queries, keys] bool each.

    {"row": [L, L]}, or of an encoder-decoder {"encoder": [L, L], "decoder": [T, T], "decoder to encoder": [T, L]}.
    What a model sees less by itself (sliding windows, blocks) is not in it.
    """
    inputs = fields["segment_ids"]
    if "decoder_segment_ids" in fields:
        outputs = fields["decoder_segment_ids"]
        return {
            "encoder": _same(inputs, inputs),
            "decoder": np.tril(_same(outputs, outputs)),
            "decoder to encoder": _same(outputs, inputs),
        }
    if "visibility" in fields:
        return {"row": _same(inputs, inputs) & _directed(fields["visibility"])}
    if isinstance(objective, CausalLanguageModeling):
        return {"row": np.tril(_same(inputs, inputs))}
    return {"row": _same(inputs, inputs)}


def _directed(visibility: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[L, L] whether a key is seen by a query where each token says by whom it is seen."""
    places = np.arange(len(visibility))
    later, earlier = places[:, None] >= places[None, :], places[:, None] <= places[None, :]
    allowed: NDArray[np.bool_] = ((visibility != BY_LATER) | later) & ((visibility != BY_EARLIER) | earlier)
    return allowed


def _same(queries: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = queries[:, None] == keys[None, :]
    return same
