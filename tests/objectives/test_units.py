"""Units chosen from many rows at once are those that each row would have by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.objectives.mlm import MaskedLanguageModelingSettings, choose_units
from acclimate.objectives.rows import Row, Rows
from acclimate.objectives.units import MAX_SPAN, Units, share_of_units, spans_at_random, units_of
from acclimate.randomness import Purpose, generator
from tests.objectives.tiny import UNK, row

# Rows of one to three pieces: each token's id (0: unknown, which is no candidate), and whether it begins a word.
TOKENS = st.lists(st.tuples(st.sampled_from([UNK, 10, 11]), st.booleans()), min_size=1, max_size=20)
ROWS = st.lists(st.lists(TOKENS, min_size=1, max_size=3), min_size=1, max_size=5)


def made(pieces: list[list[tuple[int, bool]]]) -> Row:
    ids = [[token for token, _ in piece] for piece in pieces]
    return row(*ids, word_starts=[[int(start) for _, start in piece] for piece in pieces])


def test_words_by_hand() -> None:
    # Two rows: [CLS] 10 11 [UNK] 12 [SEP] and [CLS] 13 14 [SEP] [CLS] 15 [SEP]. 11 goes on with a word; 12 would, but
    # the unknown token ends it; 14 goes on; 15 would, but its text is another.
    rows = Rows.of([row([10, 11, UNK, 12], word_starts=[[1, 0, 1, 0]]), row([13, 14], [15], word_starts=[[1, 0], [0]])])
    words = units_of(rows, by_token=False)
    assert words.tokens.tolist() == [1, 2, 4, 7, 8, 11]
    assert words.lengths.tolist() == [2, 1, 2, 1]
    assert words.rows.tolist() == [0, 0, 1, 1]
    tokens = units_of(rows, by_token=True)
    assert tokens.tokens.tolist() == words.tokens.tolist()
    assert tokens.lengths.tolist() == [1] * 6 and tokens.rows.tolist() == [0] * 3 + [1] * 3


def test_texts_without_frames_do_not_run_into_each_other() -> None:
    # A decoder's rows: the last token of one and the first of the next are neighbours, and of different words.
    flat = row([10, 11]).only(slice(1, 3))
    words = units_of(Rows.of([flat, flat]), by_token=False)
    assert words.tokens.tolist() == [0, 1, 2, 3] and words.rows.tolist() == [0, 0, 1, 1]


def test_where_the_arc_covers_no_start_the_nearest_one_is_chosen() -> None:
    # One word of four tokens in the first row, none in the second, two of two in the third. A share of a tenth is 0.4
    # tokens. In the first row the arc from 0.5 * 4 = 2 covers no start; the only one is chosen. In the third, in the
    # order 1, 0, the starts are 0 and 2: from 0.3 * 4 = 1.2 it is 0.8 to word 0, and 2.8 around to word 1.
    class Draws(np.random.Generator):
        def __init__(self, place: float, order: list[int]) -> None:
            super().__init__(np.random.Philox(0))
            self.place, self.order = place, order

        def random(self, size: int, **_: object) -> np.ndarray:  # type: ignore[override]
            return np.full(size, self.place)

        def permutation(self, x: int, axis: int = 0) -> np.ndarray:  # type: ignore[override]
            assert x == len(self.order)
            return np.array(self.order, dtype=np.int64)

    words = Units(np.arange(8), np.array([4, 2, 2]), np.array([0, 2, 2]))
    chosen = share_of_units(words, 0.1, [Draws(0.5, [0]), Draws(0.1, []), Draws(0.3, [1, 0])])
    assert chosen.tokens.tolist() == [0, 1, 2, 3, 4, 5]
    assert chosen.rows.tolist() == [0, 2]


@given(
    rows=ROWS,
    unit=st.sampled_from(["token", "word", "span"]),
    number=st.sampled_from([None, 1, 2]),
    first_key=st.integers(0, 1000),
)
def test_a_row_has_the_same_units_in_any_batch(
    rows: list[list[list[tuple[int, bool]]]], unit: str, number: int | None, first_key: int
) -> None:
    settings = MaskedLanguageModelingSettings.model_validate({"unit": unit, "masks_per_text": number})
    batch = [made(pieces) for pieces in rows]

    def rngs() -> list[np.random.Generator]:
        return [generator(1, Purpose.CORRUPTION, first_key + index) for index in range(len(batch))]

    together, begins = choose_units(Rows.of(batch), settings, rngs()), 0
    parts = np.split(together.tokens, np.cumsum(together.lengths)[:-1]) if len(together.lengths) else []
    for index, (one, rng) in enumerate(zip(batch, rngs(), strict=True)):
        alone = choose_units(Rows.of([one]), settings, [rng])
        mine = [part - begins for part, of in zip(parts, together.rows, strict=True) if of == index]
        assert np.array_equal(np.concatenate([*mine, []]), alone.tokens)
        assert [len(part) for part in mine] == alone.lengths.tolist()
        begins += len(one)


@given(pieces=st.lists(st.integers(1, 30), min_size=1, max_size=4), number=st.integers(0, 1000))
def test_spans_cover_every_word_once_and_stay_in_their_piece(pieces: list[int], number: int) -> None:
    of_words = [piece for piece, size in enumerate(pieces) for _ in range(size)]
    spans = list(spans_at_random(of_words, generator(1, Purpose.CORRUPTION, number)))
    words = list(itertools.chain.from_iterable(range(*span) for span in spans))
    assert sorted(words) == list(range(len(of_words)))
    assert all(0 < end - start <= MAX_SPAN and of_words[start] == of_words[end - 1] for start, end in spans)


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_rows_without_candidates_have_no_units(unit: str) -> None:
    settings = MaskedLanguageModelingSettings.model_validate({"unit": unit})
    rngs = [generator(1, Purpose.CORRUPTION, index) for index in range(2)]
    for rows, expected in (([row([UNK]), row([UNK])], []), ([row([UNK]), row([10])], [4])):
        assert choose_units(Rows.of(rows), settings, rngs).tokens.tolist() == expected
