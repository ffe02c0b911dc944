"""Continue a masked language model's pretraining with the Trainer that you have, on rows packed by acclimate.

    python examples/plain_trainer.py texts.txt --model google-bert/bert-base-uncased -o runs/plain
    python examples/plain_trainer.py --tiny

Compare the lines with "acclimate" in them with a script of your own: they are all that is new.
"""

import argparse
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

import acclimate


class MyTrainer(acclimate.ObjectiveTrainerMixin, Trainer):
    """Your own Trainer: its methods stay as they are."""


def tiny():
    """A tokenizer, a model of random weights and some texts, made on the spot: words that are counted up."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"word{number}" for number in range(20)]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate([*special, *words])}, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(names, special, strict=True)))
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForMaskedLM(BertConfig(vocab_size=25, max_position_embeddings=64, pad_token_id=0, **size))
    texts = [" ".join(words[number % 20] for number in range(start, start + 10 + start % 7)) for start in range(100)]
    return tokenizer, model, texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="?", type=Path, help="a file with a text on each line")
    parser.add_argument("--model", default="google-bert/bert-base-uncased")
    parser.add_argument("-o", "--output", default=None)
    parser.add_argument("--tiny", action="store_true", help="a tiny model and texts made on the spot")
    options = parser.parse_args()
    if options.tiny:
        tokenizer, model, texts = tiny()
    else:
        tokenizer = AutoTokenizer.from_pretrained(options.model)
        model = AutoModelForMaskedLM.from_pretrained(options.model)
        texts = options.texts.read_text(encoding="utf-8").splitlines()
    length, last = (32, len(texts) // 10) if options.tiny else (128, len(texts) // 20)
    examples = acclimate.examples_for(texts[last:], tokenizer, "mlm", length, model=model, unit="word")
    held_out = acclimate.examples_for(texts[:last], tokenizer, "mlm", length, model=model, unit="word", seed=0)
    print(examples.ledger)
    output = options.output or tempfile.mkdtemp()
    args = TrainingArguments(output, num_train_epochs=15 if options.tiny else 3, per_device_train_batch_size=8,
                             gradient_accumulation_steps=2, learning_rate=1e-2 if options.tiny else 5e-5,
                             use_cpu=options.tiny, report_to="none", logging_steps=20)  # fmt: skip
    trainer = MyTrainer(model, args, train_dataset=examples, eval_dataset=held_out, processing_class=tokenizer)
    print("before:", trainer.evaluate()["eval_loss"])
    trainer.train()
    print("after:", trainer.evaluate()["eval_loss"])
    trainer.save_model(output)


if __name__ == "__main__":
    main()
