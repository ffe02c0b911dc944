"""Tokenizers trained on a corpus: WordPiece as BERT's, byte-level BPE as RoBERTa's, Unigram as ALBERT's.

All three have the five special tokens that masked-LM training needs (padding, unknown, start, end, mask) at the lowest
ids. The same texts and settings give the same tokenizer in every process, for which two detours are needed, since
`tokenizers` walks through its words in a random order:

- WordPiece: its trainer numbers the characters in that order, and ties between merges are decided by number. The
  characters are therefore collected first, and given to the trainer in a fixed order as if they were special tokens.
- Unigram: its trainer sums likelihoods in that order. SentencePiece, which it was modelled on, does not.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from acclimate.errors import DataError, ModelError
from acclimate.tokens.settings import TokenizerSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# By kind, in the order of their ids.
_BERT = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_ROBERTA = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
SPECIAL_TOKENS = {"wordpiece": _BERT, "bpe": _ROBERTA, "unigram": _BERT}

_SPOOL_BYTES = 64 << 20


def train_tokenizer(
    texts: Iterable[str], settings: TokenizerSettings, *, model_max_length: int | None = None
) -> PreTrainedTokenizerFast:
    """Train a tokenizer; the same texts and settings give the same one.

    Args:
        texts: the texts of a corpus. They are read up to three times; an iterator is kept in a temporary file.
        settings: `train` says which kind; a small corpus may fill less than `vocab_size`.
        model_max_length: the longest input of the model that it is for, kept with the tokenizer.

    Returns:
        A tokenizer that frames a text as `[CLS] … [SEP]` (`<s> … </s>` for bpe); `save_pretrained` keeps it for
        `AutoTokenizer.from_pretrained`.

    Raises:
        DataError: the texts hold nothing to learn from, or more characters than the vocabulary has places for.
        ModelError: unigram, and the extra `sentencepiece` is not installed.
    """
    from transformers import PreTrainedTokenizerFast

    if settings.train is None:
        raise ValueError("settings.train must say which kind of tokenizer to train")
    special = SPECIAL_TOKENS[settings.train]
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES, "w+", encoding="ascii") as spool:
        rereadable = texts if not isinstance(texts, Iterator) else _Spooled(texts, spool)
        if not any(text.strip() for text in rereadable):
            raise DataError(
                "there is no text to train a tokenizer on; see `acclimate corpus inspect` for what became of it"
            )
        backend = _TRAINERS[settings.train](rereadable, settings, list(special.values()))
    _frame(backend, special)
    options: dict[str, Any] = {} if model_max_length is None else {"model_max_length": model_max_length}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special, **options)


class _Spooled:
    """Texts that came from an iterator, to be read again."""

    def __init__(self, texts: Iterator[str], file: IO[str]) -> None:
        self._file = file
        for text in texts:
            file.write(json.dumps(text) + "\n")

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)


def _train_wordpiece(texts: Iterable[str], settings: TokenizerSettings, special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    def backend(vocab: dict[str, int] | None = None) -> Any:
        made = Tokenizer(models.WordPiece(vocab, unk_token=_BERT["unk_token"]))
        # Chinese characters are set apart, and each is a word to the model, as in BERT.
        made.normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=settings.lowercase
        )
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece(prefix="##", cleanup=True)
        return made

    def train(vocab_size: int, first: list[str], alphabet: list[str]) -> dict[str, int]:
        trained = backend()
        limit: dict[str, Any] = {"limit_alphabet": len(alphabet)} if alphabet else {}
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab_size,
            min_frequency=settings.min_frequency,
            special_tokens=first,
            initial_alphabet=alphabet,
            continuing_subword_prefix="##",
            show_progress=False,
            **limit,
        )
        trained.train_from_iterator(texts, trainer)
        vocab: dict[str, int] = trained.get_vocab()
        return vocab

    forms = sorted(train(0, [], []))  # without merges: each character as it begins words (`a`) and goes on (`##a`)
    alphabet: list[str] = []
    if len(special) + len(forms) > settings.vocab_size:
        # The trainer would rather exceed the vocabulary than leave a character out.
        ranked = _by_frequency(map(backend().normalizer.normalize_str, texts))
        forms, alphabet = _commonest(forms, ranked, settings.vocab_size - len(special))
    return backend(train(settings.vocab_size, special + forms, alphabet))


def _by_frequency(texts: Iterable[str]) -> list[str]:
    """The characters of the texts, the most frequent first; of equally frequent ones the lower code point."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return sorted(counts, key=lambda character: (-counts[character], character))


def _commonest(forms: list[str], ranked: list[str], places: int) -> tuple[list[str], list[str]]:
    """As many of the first characters of `ranked` as have places for all their forms; the forms and the characters."""
    known = set(forms)
    kept: list[str] = []
    alphabet: list[str] = []
    for character in ranked:
        its_forms = [form for form in (character, "##" + character) if form in known]
        if len(kept) + len(its_forms) > places:
            break
        if its_forms:
            kept += its_forms
            alphabet.append(character)
    return sorted(kept), sorted(alphabet)


def _train_bpe(texts: Iterable[str], settings: TokenizerSettings, special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    if settings.lowercase:
        backend.normalizer = _lowering()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        min_frequency=settings.min_frequency,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _train_unigram(texts: Iterable[str], settings: TokenizerSettings, special: list[str]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    steps = [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    normalizer = normalizers.Sequence([*steps, *([_lowering()] if settings.lowercase else [])])
    pieces = _unigram_pieces(map(normalizer.normalize_str, _lines(texts)), settings.vocab_size, special)
    backend = Tokenizer(models.Unigram(pieces, unk_id=special.index(_BERT["unk_token"])))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    return backend


# SentencePiece takes a line for a sentence and passes over those longer than it is told to expect.
_LINE_CHARACTERS = 1 << 12


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), _LINE_CHARACTERS):
                yield line[start : start + _LINE_CHARACTERS]


def _unigram_pieces(lines: Iterator[str], vocab_size: int, special: list[str]) -> list[tuple[str, float]]:
    """Pieces and log likelihoods; the lines are normalised already."""
    try:
        import sentencepiece
    except ImportError as error:
        raise ModelError(
            "training a unigram tokenizer needs the library SentencePiece; "
            'install it with `pip install "acclimate[sentencepiece]"`, or take `train: wordpiece` or bpe'
        ) from error
    import io

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,  # a small corpus may have fewer pieces
            character_coverage=0.9999,
            normalization_rule_name="identity",
            max_sentence_length=4 * _LINE_CHARACTERS + 1,
            num_threads=2,  # sums depend on how many there are, so the number is fixed
            pad_id=special.index(_BERT["pad_token"]),
            unk_id=special.index(_BERT["unk_token"]),
            bos_id=-1,
            eos_id=-1,
            pad_piece=_BERT["pad_token"],
            unk_piece=_BERT["unk_token"],
            control_symbols=special[2:],
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(
            f"a unigram tokenizer of {vocab_size} pieces cannot be trained on this corpus: {_last_sentence(error)}"
        ) from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [(processor.id_to_piece(index), processor.get_score(index)) for index in range(processor.get_piece_size())]


def _last_sentence(error: RuntimeError) -> str:
    """SentencePiece's message without its source lines: `Internal: src/trainer.cc(582) [(a) <= (b)] What is wrong.`"""
    return (
        str(error).rpartition("] ")[2].strip() or "too few different words, or `vocab_size` is below their characters"
    )


_TRAINERS: dict[str, Callable[[Iterable[str], TokenizerSettings, list[str]], Any]] = {
    "wordpiece": _train_wordpiece,
    "bpe": _train_bpe,
    "unigram": _train_unigram,
}


def _lowering() -> Any:
    """Lower case without accents, as BERT's uncased models have it."""
    from tokenizers import normalizers

    return normalizers.Sequence(
        [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.NFC()]
    )


def _frame(backend: Any, special: dict[str, str]) -> None:
    """Frame one text as `[CLS] A [SEP]`; a pair as BERT's and RoBERTa's do."""
    from tokenizers import processors

    start, end = special["cls_token"], special["sep_token"]
    if special is _ROBERTA:
        pair = f"{start} $A {end} {end} $B {end}"
    else:
        pair = f"{start}:0 $A:0 {end}:0 $B:1 {end}:1"
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=pair,
        special_tokens=[(token, backend.token_to_id(token)) for token in (start, end)],
    )
