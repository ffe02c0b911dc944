"""Continue a causal model's pretraining in a loop of your own with accelerate: exact accumulation, exact resume.

    accelerate launch examples/accelerate_loop.py corpora/security --model HuggingFaceTB/SmolLM2-135M -o runs/loop
    python examples/accelerate_loop.py --tiny

The same command goes on from the last checkpoint: what a step gets is a function of the seed and the step.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import acclimate

ACCUMULATION, SAVE_STEPS = 2, 20


def tiny():
    """A tokenizer, a model of random weights and some texts, made on the spot: words that are counted up."""
    words = ["<pad>", "<unk>", "</s>", *(f"word{number}" for number in range(20))]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), max_position_embeddings=64, pad_token_id=0, **size))
    texts = [" ".join(words[3 + number % 20] for number in range(start, start + 10 + start % 7)) for start in range(90)]
    return tokenizer, model, texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", help="a folder that `acclimate corpus build` made")
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M")
    parser.add_argument("-o", "--output", type=Path, default=None)
    parser.add_argument("--tiny", action="store_true", help="a tiny model and texts made on the spot")
    parser.add_argument("--stop-at", type=int, help="stop at this step, to go on another time")
    options = parser.parse_args()
    output, accelerator = options.output or Path(tempfile.mkdtemp()), Accelerator(cpu=options.tiny)
    torch.manual_seed(0)
    if options.tiny:
        tokenizer, model, texts = tiny()
    else:
        tokenizer, texts = AutoTokenizer.from_pretrained(options.model), options.corpus
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    with accelerator.main_process_first():
        examples = acclimate.examples_for(texts, tokenizer, "clm", 64 if options.tiny else 1024, model=model)
    accelerator.print(examples.ledger)

    state_file, processes = output / "state.json", accelerator.num_processes
    first_step = json.loads(state_file.read_text())["step"] if state_file.exists() else 0
    num_steps = examples.num_steps(20 if options.tiny else 3, 4 * ACCUMULATION * processes)
    stretch = {"num_steps": num_steps, "first_step": first_step}
    loader = examples.loader(4, **stretch, accumulation=ACCUMULATION, num_processes=processes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3 if options.tiny else 5e-5)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if first_step:
        accelerator.load_state(str(output / "checkpoint"))
    batches = iter(loader)
    for step in range(first_step, options.stop_at or num_steps):
        micro_batches = list(itertools.islice(batches, ACCUMULATION))
        total, counts = 0.0, accelerator.reduce(examples.counts(micro_batches))  # of the whole step, over all processes
        for batch in micro_batches:
            loss = examples.loss(model, batch, counts, num_processes=processes)
            accelerator.backward(loss)
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % SAVE_STEPS == 0 or step + 1 == num_steps:
            accelerator.print(f"step {step + 1} of {num_steps}: loss {total:.4f}")
            accelerator.save_state(str(output / "checkpoint"))
            if accelerator.is_main_process:
                state_file.write_text(json.dumps({"step": step + 1}))
                accelerator.unwrap_model(model).save_pretrained(output / "model")
                tokenizer.save_pretrained(output / "model")


if __name__ == "__main__":
    main()
