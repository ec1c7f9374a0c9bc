"""How a prompt begins, and which replicas have seen prompts that begin like it: a plain class without Ray, clock or sockets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from supervisor.gateway.fleet import stable_hash

BLOCK_BYTES = 256
"""A prompt is compared in blocks of this size: about four of vLLM's own blocks of 16 tokens."""
_MAX_BLOCKS = 256
_MARK = "x-anthropic-billing-header"
_SESSION_FIELDS = ("session_id", "prompt_cache_key", "user")
_FEW = 8
"""Holders of a block up to which they are kept in a tuple, which is small; a set is quicker to search."""


@dataclass(frozen=True, slots=True)
class PromptKey:
    """What is compared of a request; ``blocks[i]`` stands for the prompt's first ``i + 1`` blocks, ``session`` for its owner."""

    blocks: tuple[int, ...] = ()
    session: int | None = None
    home: int | None = None
    """The same number for all requests of a conversation, in every supervisor; None where nothing tells conversations apart."""
    opening_blocks: int = 0
    """The blocks up to the end of what ``home`` was made of: prompts that share more are of one conversation."""


def prompt_key(uid: str, body: dict[str, Any], *, with_home: bool = False) -> PromptKey:
    """The key of ``body``: up to 64 KiB of its prompt, and its ``session_id``, ``prompt_cache_key`` or ``user``.

    Tools, template switches and a system prompt of its own come first, as chat templates put them before the messages. Only
    ``with_home`` it says where the conversation belongs, for a cluster of several supervisors.
    """
    system = _without_marks(body.get("system")) or body.get("instructions")
    head = msgspec.json.encode((uid, body.get("tools"), body.get("chat_template_kwargs"), system))
    prompt = body.get("messages") or body.get("prompt") or body.get("input") or ""
    text = msgspec.json.encode(prompt)
    link = hash(head)
    blocks = []
    for start in range(0, min(len(text) // BLOCK_BYTES, _MAX_BLOCKS) * BLOCK_BYTES, BLOCK_BYTES):
        link = hash((link, text[start : start + BLOCK_BYTES]))
        blocks.append(link)
    given = next((body[name] for name in _SESSION_FIELDS if isinstance(body.get(name), str)), None)
    session = None if given is None else hash((uid, given))
    if not with_home:
        return PromptKey(tuple(blocks), session)

    opening = text[: min(_opening_bytes(prompt), _MAX_BLOCKS * BLOCK_BYTES)]
    if given is not None:
        home = stable_hash(msgspec.json.encode((uid, given)))
    elif opening:
        home = stable_hash(head + opening)
    else:
        return PromptKey(tuple(blocks), session)
    return PromptKey(tuple(blocks), session, home, len(opening) // BLOCK_BYTES if opening else len(blocks))


def _opening_bytes(prompt: Any) -> int:
    """The length of the JSON of ``prompt`` up to the end of the first message of a user; 0 if it has none.

    This is what all turns of a conversation begin with, and other conversations do not.
    """
    if not isinstance(prompt, list):
        return 0
    for number, message in enumerate(prompt):
        if isinstance(message, dict) and message.get("role") == "user":
            # Without the bracket that closes the list.
            return len(msgspec.json.encode(prompt[: number + 1])) - 1
    return 0


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
        self._seen: OrderedDict[int, tuple[str, ...] | set[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def remember(self, key: PromptKey, replica: str) -> None:
        """A request with ``key`` goes to ``replica``."""
        for mark in self._marks(key):
            holders = self._seen.get(mark, ())
            if replica not in holders:
                self._seen[mark] = _with(holders, replica)
            self._seen.move_to_end(mark)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)

    def best(self, key: PromptKey, fits: Callable[[str], bool], *, beyond: int = 0) -> tuple[Sequence[str], int]:
        """Those that know most of ``key`` among the replicas that fit, and how many of its blocks they know; maybe nobody.

        Of those that know as many blocks, the ones that know its session. Who knows no more than the first blocks, ``beyond`` of
        them, knows nothing; nor does then who knows the session alone.
        """
        at_home = [name for name in self._session_holders(key) if fits(name)]
        for index in range(len(key.blocks) - 1, beyond - 1, -1):
            holders = self._seen.get(key.blocks[index])
            if not holders:
                continue
            fitting = [name for name in holders if fits(name)]
            if fitting:
                return [name for name in fitting if name in at_home] or fitting, index + 1
        return ([] if beyond else at_home), 0

    def known_blocks(self, key: PromptKey, replica: str) -> int:
        """How many of the blocks of ``key`` this replica has seen."""
        for index in range(len(key.blocks) - 1, -1, -1):
            if replica in self._seen.get(key.blocks[index], ()):
                return index + 1
        return 0

    def forget(self, gone: frozenset[str]) -> None:
        for mark, holders in list(self._seen.items()):
            if gone.isdisjoint(holders):
                continue
            left = tuple(holder for holder in holders if holder not in gone)
            if not left:
                del self._seen[mark]
            elif len(left) > _FEW:
                self._seen[mark] = set(left)
            else:
                self._seen[mark] = left

    def _session_holders(self, key: PromptKey) -> Collection[str]:
        if key.session is None:
            return ()
        return self._seen.get(key.session, ())

    @staticmethod
    def _marks(key: PromptKey) -> tuple[int, ...]:
        if key.session is None:
            return key.blocks
        return (*key.blocks, key.session)


def _with(holders: tuple[str, ...] | set[str], replica: str) -> tuple[str, ...] | set[str]:
    if isinstance(holders, set):
        holders.add(replica)
        return holders
    if len(holders) < _FEW:
        return (*holders, replica)
    return {*holders, replica}
