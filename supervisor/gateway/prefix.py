"""How a prompt begins, and which replicas have seen prompts that begin like it: a plain class without Ray, clock or sockets."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

BLOCK_BYTES = 256
"""A prompt is compared in blocks of this size: about four of vLLM's own blocks of 16 tokens."""
_MAX_BLOCKS = 256
_MARK = "x-anthropic-billing-header"
_SESSION_FIELDS = ("session_id", "prompt_cache_key", "user")


@dataclass(frozen=True, slots=True)
class PromptKey:
    """What is compared of a request; ``blocks[i]`` stands for the prompt's first ``i + 1`` blocks, ``session`` for its owner."""

    blocks: tuple[int, ...] = ()
    session: int | None = None


def prompt_key(uid: str, body: dict[str, Any]) -> PromptKey:
    """The key of ``body``: up to 64 KiB of its prompt, and its ``session_id``, ``prompt_cache_key`` or ``user``.

    Tools, template switches and a system prompt of its own come first, as chat templates put them before the messages.
    """
    system = _without_marks(body.get("system")) or body.get("instructions")
    head = (uid, body.get("tools"), body.get("chat_template_kwargs"), system)
    text = msgspec.json.encode(body.get("messages") or body.get("prompt") or body.get("input") or "")
    link = hash(msgspec.json.encode(head))
    blocks = []
    for start in range(0, min(len(text) // BLOCK_BYTES, _MAX_BLOCKS) * BLOCK_BYTES, BLOCK_BYTES):
        link = hash((link, text[start : start + BLOCK_BYTES]))
        blocks.append(link)
    given = next((body[name] for name in _SESSION_FIELDS if isinstance(body.get(name), str)), None)
    return PromptKey(tuple(blocks), None if given is None else hash((uid, given)))


def _without_marks(system: Any) -> Any:
    """An Anthropic system prompt without what Claude Code marks each single request with; vLLM takes it out, too."""
    if not isinstance(system, list):
        return system
    texts = (block.get("text") if isinstance(block, dict) else None for block in system)
    return [text for text in texts if not (isinstance(text, str) and text.startswith(_MARK))]


class PrefixMemory:
    """Which replicas were last given which beginnings. Bounded: the beginning that was not met for longest is forgotten.

    It follows the engines' prefix caches from outside, in the way of SGLang's cache-aware router (sgl-project/sglang,
    ``sgl-router``) and Ray Serve's ``PrefixCacheAffinityRouter``, with chained hashes of blocks, as vLLM's own cache has
    them, in place of a tree of text.
    """

    def __init__(self, capacity: int = 65_536) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[int, tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def remember(self, key: PromptKey, replica: str) -> None:
        """A request with ``key`` goes to ``replica``."""
        for mark in self._marks(key):
            holders = self._seen.get(mark, ())
            if replica not in holders:
                self._seen[mark] = (*holders, replica)
            self._seen.move_to_end(mark)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)

    def matches(self, key: PromptKey, replicas: frozenset[str]) -> dict[str, tuple[int, bool]]:
        """For those of ``replicas`` that know anything of ``key``: how many of its blocks, and whether its session."""
        lengths: dict[str, int] = {}
        for index in range(len(key.blocks) - 1, -1, -1):
            for holder in self._seen.get(key.blocks[index], ()):
                if holder in replicas:
                    lengths.setdefault(holder, index + 1)
            if len(lengths) == len(replicas):
                break
        at_home = {holder for holder in self._session_holders(key) if holder in replicas}
        return {name: (lengths.get(name, 0), name in at_home) for name in lengths.keys() | at_home}

    def known_blocks(self, key: PromptKey, replica: str) -> int:
        """How many of the blocks of ``key`` this replica has seen."""
        for index in range(len(key.blocks) - 1, -1, -1):
            if replica in self._seen.get(key.blocks[index], ()):
                return index + 1
        return 0

    def forget(self, gone: frozenset[str]) -> None:
        for mark, holders in list(self._seen.items()):
            if gone.intersection(holders):
                left = tuple(holder for holder in holders if holder not in gone)
                if left:
                    self._seen[mark] = left
                else:
                    del self._seen[mark]

    def _session_holders(self, key: PromptKey) -> tuple[str, ...]:
        if key.session is None:
            return ()
        return self._seen.get(key.session, ())

    @staticmethod
    def _marks(key: PromptKey) -> tuple[int, ...]:
        if key.session is None:
            return key.blocks
        return (*key.blocks, key.session)
