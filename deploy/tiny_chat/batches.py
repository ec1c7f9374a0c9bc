"""Batches of examples of like length, in a few fixed shapes so that compiled code is reused."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from tiny_chat.dialogue import Example
from tiny_chat.render import Renderer, Tokens

_LENGTHS = (48, 96, 128, 192, 256, 384, 640)
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded token ids and, for each position, the token to predict or -100."""

    ids: torch.Tensor
    targets: torch.Tensor


def batches(examples: Iterable[Example], renderer: Renderer, tokens: int, pad: int) -> Iterator[Batch]:
    """Batches of about this many tokens each; examples longer than the longest shape are left out."""
    waiting: dict[int, list[Tokens]] = defaultdict(list)
    for example in examples:
        rendered = renderer.render(example)
        length = next((length for length in _LENGTHS if len(rendered.ids) <= length), None)
        if length is None:
            continue
        waiting[length].append(rendered)
        if len(waiting[length]) == max(1, tokens // length):
            yield _batch(waiting.pop(length), length, pad)


def _batch(rows: list[Tokens], length: int, pad: int) -> Batch:
    ids = torch.full((len(rows), length), pad)
    targets = torch.full((len(rows), length), _IGNORED)
    for n, row in enumerate(rows):
        ids[n, : len(row.ids)] = torch.tensor(row.ids)
        shifted = [token if learned else _IGNORED for token, learned in zip(row.ids, row.learned, strict=True)][1:]
        targets[n, : len(shifted)] = torch.tensor(shifted)
    return Batch(ids, targets)
