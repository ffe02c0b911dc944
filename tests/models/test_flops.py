"""Operations of a training step, counted by hand."""

from __future__ import annotations

import pytest

from acclimate.models.adapters import add_adapter
from acclimate.models.flops import LinearWeights, example_flops, linear_weights, training_flops
from acclimate.models.settings import AdapterSettings


def test_a_trained_weight_costs_six_and_a_frozen_one_four() -> None:
    # Body: 10 weights x 7 tokens x 6 = 420. Head: 3 weights x 2 positions x 6 = 36.
    assert training_flops(LinearWeights(body=10, head=3), 7, 2) == 420 + 36
    # Frozen: no gradient of the weight, so 4 instead of 6: 280 and 24.
    assert training_flops(LinearWeights(frozen_body=10, frozen_head=3), 7, 2) == 280 + 24


def test_linear_weights_of_bert_are_those_of_its_layers() -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    # A layer: query, key, value and output, 8 x 8 each, and two of 8 x 16: 256 + 256. No embeddings, no biases.
    # The head: a transform of 8 x 8 and the decoder of 8 x 50.
    assert linear_weights(BertForMaskedLM(config)) == LinearWeights(body=2 * 512, head=64 + 400)


def test_bert_base_needs_what_its_paper_makes_it_need() -> None:
    # 12 layers x (4 x 768^2 + 2 x 768 x 3072) = 84,934,656; 16 x 128 tokens: about a teraflop, without the head.
    body = 12 * (4 * 768**2 + 2 * 768 * 3072)
    assert body == 84_934_656
    assert training_flops(LinearWeights(body=body), 2048, 0) == pytest.approx(1.04e12, rel=0.01)


def test_beneath_an_adapter_weights_are_frozen() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    adapter = AdapterSettings(r=2, target_modules=["q_proj"])
    found = linear_weights(add_adapter(LlamaForCausalLM(config), adapter, "causal-lm", seed=0))
    # Attention 4 x 8 x 8, gate, up and down 3 x 8 x 16; the adapter on q_proj: 8 x 2 and 2 x 8.
    assert (found.frozen_body, found.body, found.frozen_head, found.head) == (256 + 384, 32, 400, 0)


def test_linear_layers_of_gpt2_count_as_well() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0)
    # Query, key and value 8 x 24, output 8 x 8, and two of 8 x 32; the head 8 x 50.
    assert linear_weights(GPT2LMHeadModel(config)) == LinearWeights(body=192 + 64 + 512, head=400)


def test_t5_has_a_stack_on_each_side_and_a_head() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=50, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, tie_word_embeddings=False)
    # Encoder: 4 of 8 x 8, 2 of 8 x 16; decoder: 8 of 8 x 8, 2 of 8 x 16; head 8 x 50.
    model = T5ForConditionalGeneration(config)
    assert linear_weights(model) == LinearWeights(body=512 + 768, head=400)
    # 10 tokens by the encoder, 5 by the decoder, 3 predicted.
    assert example_flops(model, 10, [3], num_decoder_tokens=5) == 6 * (512 * 10 + 768 * 5 + 400 * 3)


def test_generator_and_discriminator_both_cost() -> None:
    from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

    from acclimate.models.generators import GeneratorAndDiscriminator

    small = {"vocab_size": 50, "embedding_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    generator = ElectraForMaskedLM(ElectraConfig(hidden_size=8, intermediate_size=8, **small))
    discriminator = ElectraForPreTraining(ElectraConfig(hidden_size=16, intermediate_size=16, **small))
    # Generator: 6 of 8 x 8; head 8 x 8 and 8 x 50. Discriminator: 8 x 16 into its width, 6 of 16 x 16; head 16 x 16
    # and 16 x 1.
    both = GeneratorAndDiscriminator(generator, discriminator)
    expected = 6 * (384 * 20 + 464 * 3) + 6 * ((128 + 1536) * 20 + 272 * 19)
    assert example_flops(both, 20, [3, 19]) == expected
