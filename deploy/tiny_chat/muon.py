"""Muon for the weight matrices: momentum whose update is made orthogonal, all matrices of one shape at a time.

torch.optim.Muon does the same one matrix after another in bfloat16, which takes as long as the model itself on a CPU.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch

_ITERATIONS = 4
_A, _B, _C = 3.4445, -4.7750, 2.0315


class Muon:
    """Updates matrices in place; the step is scaled so that a learning rate for AdamW suits it."""

    def __init__(self, matrices: Iterable[torch.nn.Parameter], weight_decay: float, momentum: float = 0.95) -> None:
        self._weight_decay, self._momentum = weight_decay, momentum
        self._groups: dict[tuple[int, ...], list[torch.nn.Parameter]] = defaultdict(list)
        for matrix in matrices:
            self._groups[tuple(matrix.shape)].append(matrix)
        self._buffers = {shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()}

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Apply the gradients and drop them."""
        for shape, group in self._groups.items():
            gradients = torch.stack([torch.zeros(shape) if m.grad is None else m.grad for m in group])
            buffer = self._buffers[shape].lerp_(gradients, 1 - self._momentum)
            updates = orthogonal(gradients.lerp_(buffer, self._momentum))
            scale = 0.2 * max(shape) ** 0.5 * learning_rate
            for matrix, update in zip(group, updates, strict=True):
                matrix.mul_(1 - learning_rate * self._weight_decay).sub_(update, alpha=scale)
                matrix.grad = None


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Each matrix with its singular values brought near to one, by Newton-Schulz iteration."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x if matrices.shape[1] <= matrices.shape[2] else x.mT
