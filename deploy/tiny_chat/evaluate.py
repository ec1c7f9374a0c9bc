"""Measure tiny-chat on questions it was not trained with.

``python -m tiny_chat.evaluate [--model DIR] [--per-group N]`` prints a table, or with ``--json`` the same
figures for scripts. ``--replies`` prints the replies that were wrong.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from tiny_chat.cases import Case, all_cases
from tiny_chat.scoring import score
from xinfer.tiny_chat import model_path

_BATCH = 48
_NEW_TOKENS = 160
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote, and whether it came to an end by itself."""

    text: str
    finished: bool


class Speaker:
    """A loaded model that answers cases in batches."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        self._tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
        self._model = Qwen3ForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    def answer(self, cases: list[Case], temperature: float) -> list[Reply]:
        """One reply for each case, in order."""
        order = sorted(range(len(cases)), key=lambda n: len(self._prompt(cases[n])))
        replies: dict[int, Reply] = {}
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            replies |= zip(chosen, self._generate([self._prompt(cases[n]) for n in chosen], temperature), strict=True)
        return [replies[n] for n in range(len(cases))]

    def _prompt(self, case: Case) -> str:
        if case.dialogue is None:
            return case.text
        return str(
            self._tokenizer.apply_chat_template(
                list(case.dialogue.messages), tools=list(case.dialogue.tools) or None, tokenize=False,
                add_generation_prompt=True, enable_thinking=case.dialogue.thinking,
            )
        )  # fmt: skip

    @torch.inference_mode()
    def _generate(self, prompts: list[str], temperature: float) -> list[Reply]:
        inputs = self._tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        sampled = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
        choice = sampled if temperature else {"do_sample": False}
        ids = self._model.generate(**inputs, max_new_tokens=_NEW_TOKENS, **choice)[:, inputs["input_ids"].shape[1] :]
        ends = self._model.generation_config.eos_token_id
        texts = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [Reply(text, any(end in row for end in ends)) for text, row in zip(texts, ids.tolist(), strict=True)]


def measure(cases: list[Case], replies: list[Reply]) -> Figures:
    """For each group and language the number of cases and the share of each mark."""
    marks: dict[str, list[dict[str, bool]]] = defaultdict(list)
    for case, reply in zip(cases, replies, strict=True):
        marks[f"{case.group} ({case.lang})"].append(score(case, reply.text, reply.finished))
    return {group: {"cases": len(rows), **_shares(rows)} for group, rows in marks.items()}


def _shares(rows: list[dict[str, bool]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: round(sum(marks) / len(marks), 4) for name, marks in values.items()}


def table(figures: Figures) -> str:
    """The figures as a Markdown table."""
    columns = list(dict.fromkeys(["cases", "correct", *(name for row in figures.values() for name in row)]))
    lines = ["| group | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for group, row in figures.items():
        cells = [f"{row[c]:.0f}" if c == "cases" else f"{100 * row[c]:.1f}%" if c in row else "" for c in columns]
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _print_wrong(cases: list[Case], replies: list[Reply]) -> None:
    for case, reply in zip(cases, replies, strict=True):
        marks = score(case, reply.text, reply.finished)
        if not marks.get("correct", True) or not marks.get("thinking obeyed", True):
            asked = case.dialogue.messages[-1]["content"] if case.dialogue else case.text
            print(f"[{case.group} {case.lang}] {asked!r} -> {reply.text!r}")


def main() -> None:
    """Measure with greedy decoding and at temperature 0.7."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=model_path())
    parser.add_argument("--per-group", type=int, default=400)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.7])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--replies", action="store_true", help="print the wrong replies too")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    speaker, cases = Speaker(args.model), all_cases(Random(args.seed), args.per_group)
    results: dict[str, Figures] = {}
    for temperature in args.temperatures:
        replies = speaker.answer(cases, temperature)
        results[f"temperature {temperature}"] = figures = measure(cases, replies)
        if args.replies:
            _print_wrong(cases, replies)
        if not args.json:
            print(f"temperature {temperature}\n\n{table(figures)}\n")
    if args.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
