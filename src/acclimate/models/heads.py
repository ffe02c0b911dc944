"""Which class of transformers has the head that an objective needs: the table `HEADS`."""

from __future__ import annotations

from transformers import PreTrainedConfig

# The head's name, as objectives say it, and the auto class that finds the architecture's class with it.
HEADS: dict[str, str] = {
    "masked-lm": "AutoModelForMaskedLM",
    "pretraining": "AutoModelForPreTraining",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    # A discriminator; the generator is a masked language model beside it (`generators.py`).
    "replaced-token-detection": "AutoModelForTokenClassification",
}

# Architectures whose own pretraining class is a discriminator; others say "replaced or not" by a token classifier.
_OWN_DISCRIMINATOR = ("electra", "funnel")


def auto_class_of(head: str, config: PreTrainedConfig) -> str:
    """The name of the auto class that has a head in an architecture."""
    if head == "replaced-token-detection" and config.model_type in _OWN_DISCRIMINATOR:
        return HEADS["pretraining"]
    return HEADS[head]


def head_arguments(head: str, config: PreTrainedConfig) -> dict[str, int]:
    """What the configuration must say for a head."""
    if head == "replaced-token-detection" and config.model_type not in _OWN_DISCRIMINATOR:
        return {"num_labels": 1}
    return {}
