"""Train tiny-chat from scratch: first the tokenizer, then the model.

``python -m tiny_chat.train --out DIR`` writes a folder that vLLM and transformers can serve. ``--init DIR`` goes
on from an earlier folder, tokenizer included. ``--minutes`` ends the schedule early on a slow machine.
"""

import argparse
import math
import time
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
import torch._dynamo
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from tiny_chat.batches import Batch, batches
from tiny_chat.corpus import SEED, Corpus
from tiny_chat.dialogue import Text
from tiny_chat.facts import load_facts
from tiny_chat.muon import Muon
from tiny_chat.render import Renderer
from tiny_chat.tokenizer import VOCABULARY, save_tokenizer, train_tokenizer


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a training run depends on."""

    seed: int = SEED
    steps: int = 6000
    minutes: float = math.inf
    tokens_per_batch: int = 4096
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    weight_decay: float = 0.05
    average_decay: float = 0.99
    threads: int = 1
    snapshot_steps: int = 300
    tokenizer_examples: int = 20_000
    compiled: bool = True


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """An untrained model of about four million parameters."""
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64, max_position_embeddings=4096, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return Qwen3ForCausalLM(config)


def new_tokenizer(settings: TrainSettings) -> PreTrainedTokenizerFast:
    """A tokenizer trained on the head of the corpus and on every fact, so that no character of a fact is broken up."""
    blank = Renderer(train_tokenizer([]))
    examples = islice(Corpus(settings.seed), settings.tokenizer_examples)
    texts = (ex.text if isinstance(ex, Text) else blank.text(ex) for ex in examples)
    wordings = [wording for fact in load_facts() for wording in fact.wordings.values()]
    return train_tokenizer(chain(texts, *([w.topic, w.answer, *w.ask] for w in wordings * 20)))


class Trainer:
    """One run over the corpus with a warm-up and a cosine schedule."""

    def __init__(
        self, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, settings: TrainSettings, out: Path
    ) -> None:
        self.model, self.settings, self._tokenizer, self._out = model, settings, tokenizer, out
        self._average = deepcopy(model)
        self._batches = batches(
            Corpus(settings.seed), Renderer(tokenizer), settings.tokens_per_batch, int(tokenizer.pad_token_id)
        )
        matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if not any(p is m for m in matrices)]
        decay = settings.weight_decay
        self._muon = Muon(matrices, decay)
        self._adam = torch.optim.AdamW(others, lr=1.0, betas=(0.9, 0.95), weight_decay=decay, fused=True)
        if settings.compiled:
            _compile_layers(model)

    def run(self) -> None:
        """Train to the end of the schedule, writing the averaged weights now and then and at the end."""
        started, tokens, mean, step, progress = time.monotonic(), 0, 0.0, 0, 0.0
        while progress < 1:
            batch = next(self._batches)
            loss = self._step(batch, self._learning_rate(step, progress))
            tokens += batch.ids.numel()
            mean = loss if step == 0 else 0.98 * mean + 0.02 * loss
            step += 1
            elapsed = time.monotonic() - started
            progress = max(step / self.settings.steps, elapsed / (60 * self.settings.minutes))
            if step % 50 == 0:
                rate = tokens / elapsed
                print(f"step {step} loss {mean:.4f} progress {progress:.3f} tokens {tokens} {rate:.0f}/s", flush=True)
            if step % self.settings.snapshot_steps == 0 or progress >= 1:
                save(self._average, self._tokenizer, self._out)

    def _learning_rate(self, step: int, progress: float) -> float:
        warm = min(1.0, (step + 1) / self.settings.warmup_steps)
        return self.settings.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    def _step(self, batch: Batch, learning_rate: float) -> float:
        wanted = batch.targets != -100
        hidden = self.model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
        loss = nn.functional.cross_entropy(self.model.lm_head(hidden[wanted]).float(), batch.targets[wanted])
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._muon.step(learning_rate)
        self._adam.param_groups[0]["lr"] = learning_rate
        self._adam.step()
        self._adam.zero_grad()
        with torch.no_grad():
            pairs = zip(self._average.parameters(), self.model.parameters(), strict=True)
            for average, weight in pairs:
                average.lerp_(weight, 1 - self.settings.average_decay)
        return float(loss.detach())


def _compile_layers(model: Qwen3ForCausalLM) -> None:
    """Compile the layers once per batch shape: without a cache their numbers do not matter, and one code serves all."""
    torch._dynamo.config.recompile_limit = 64
    for layer in model.model.layers:
        layer.self_attn.layer_idx = 0
        layer.compile(dynamic=False)


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the bf16 weights, the configurations and the tokenizer."""
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.6, top_p=0.95, top_k=20, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
    )
    deepcopy(model).to(torch.bfloat16).save_pretrained(out)
    save_tokenizer(tokenizer, out)


def main() -> None:
    """Train and save."""
    defaults = TrainSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="go on from this folder instead of starting from scratch")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--minutes", type=float, default=defaults.minutes)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    settings = TrainSettings(
        seed=args.seed,
        steps=args.steps,
        minutes=args.minutes,
        learning_rate=args.learning_rate,
        threads=args.threads,
        compiled=not args.no_compile,
    )
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    if args.init:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.init)
        model = Qwen3ForCausalLM.from_pretrained(args.init, dtype=torch.float32)
    else:
        tokenizer = new_tokenizer(settings)
        model = new_model(tokenizer)
    Trainer(model, tokenizer, settings, args.out).run()


if __name__ == "__main__":
    main()
