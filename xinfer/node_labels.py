"""Labels that operators give to nodes (``gpu=A100``), and by which launches choose among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from xinfer.names import RESERVED_LABELS

# Ray's rules, which are Kubernetes': up to 63 characters, a domain before a slash perhaps.
_WORD = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_WORD}\Z", re.ASCII)
_VALUE = re.compile(rf"{_WORD}\Z", re.ASCII)


def check_labels(labels: Mapping[str, str]) -> None:
    """``ValueError`` with the first label that Ray would not take, or that xinfer or Ray set themselves."""
    for name, value in labels.items():
        if not _NAME.match(name) or not _VALUE.match(value):
            raise ValueError(
                f"{name[:100]}={value[:100]}: expected letters, digits, '.', '_' and '-', at most 63 on each side of the sign"
            )
        if name.startswith(RESERVED_LABELS):
            raise ValueError(
                f"{name}: names that begin with {' or '.join(RESERVED_LABELS)} are set by xinfer or Ray itself"
            )


def parse_labels(words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` each; ``ValueError`` if one is not."""
    labels: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise ValueError(f"{word[:100]!r}: expected KEY=VALUE")
        labels[name] = value
    check_labels(labels)
    return labels


def as_text(labels: Mapping[str, str]) -> str:
    """As people write them, and as ``ray start --labels`` takes them."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
