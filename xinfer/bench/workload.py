"""What is sent: requests of plain words, as many as tokens are wanted, each a turn of a conversation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

Api = Literal["chat", "completions"]
Message = dict[str, str]

MIN_PROMPT_TOKENS = 8
_HEAD_WORDS = 4
_WORDS = """
act add age air all and any arm art ask baby back bad bag ball band bank bar base be bear bed best big
bird bit black blood blue board boat body bone book born both box boy bread bring build burn busy buy
cake call camp car card care case cat cent chair chart city class clean clear clock cloud coat cold come
cook cool copy corn cost count cover crop cross crowd cup cut dance dark day deal deep desk door down
draw dream dress drink drive drop dry duck dust each ear earth east easy eat edge egg end eye face fact
fair fall farm fast feed feel field fig fill find fine fire fish five flat floor flow fly food foot form
four free fresh friend fruit full fun game gas gate get girl give glad glass go gold good grass gray
great green grow guess hair half hall hand happy hard hat head hear heart heat help here high hill hold
hole home hope horse hot hour house huge ice idea iron job join joy jump just keep key kind king knee
know lake lamp land large last late lead leaf learn left leg let life lift light like line lion list live
long look lose lot loud love low luck lunch mail main make map mark meal meat meet milk mind mine miss
moon more most move much music name near neck need nest new news next nice night nine noise north nose
note now oil old once
""".split()  # noqa: SIM905  # 250 strings would be a page


@dataclass(frozen=True, slots=True)
class Conversation:
    """The text of both sides: user messages, and stand-ins for the responses between them.

    A model's own responses would make each run, and both servers of a pair, send something else.
    """

    shared: str
    """The beginning that all conversations have in common; empty for none."""
    texts: tuple[str, ...]
    """The first user message, the response to it, and so on; a user message is last."""

    @property
    def turns(self) -> int:
        return (len(self.texts) + 1) // 2

    def prompt(self) -> str:
        """The shared beginning and the first user message, as plain text."""
        return f"{self.shared} {self.texts[0]}".lstrip()

    def messages(self, turn: int = 0) -> list[Message]:
        """The system message, if anything is shared, and all up to the user message of a turn, counted from 0."""
        messages: list[Message] = []
        if self.shared:
            messages.append({"role": "system", "content": self.shared})
        roles = itertools.cycle(("user", "assistant"))
        talk = zip(roles, self.texts[: 2 * turn + 1], strict=False)
        return messages + [{"role": role, "content": text} for role, text in talk]


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of a run: every setting once, with its default, unit and check."""

    seed: int
    prompt_tokens: int = 128
    """In words, which are about a token each; the report has the server's own count."""
    shared_prefix_tokens: int = 0
    """The beginning of every prompt that is the same in all; the system message of a chat."""
    output_tokens: int = 64
    turns: int = 1
    """Of a conversation; each request resends the earlier ones."""
    turn_tokens: int = 32
    """Of every user message after the first one, in words."""
    api: Api = "chat"
    stream: bool = True
    ignore_eos: bool = True
    """Have responses of exactly ``output_tokens``. An extension of vLLM's that other servers may refuse."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.prompt_tokens < self.shared_prefix_tokens + MIN_PROMPT_TOKENS:
            shared = f"shared_prefix_tokens={self.shared_prefix_tokens}"
            wanted = f"at least {MIN_PROMPT_TOKENS} more than {shared}"
            raise ValueError(f"prompt_tokens={self.prompt_tokens}: expected {wanted}")
        if self.turns > 1 and self.api != "chat":
            raise ValueError(f"turns={self.turns}: expected 1 with api={self.api}; only a chat has turns")

    def body(self, model: str, conversation: Conversation, turn: int = 0) -> dict[str, Any]:
        """The request of one turn as it goes over the wire."""
        body: dict[str, Any] = {"model": model}
        if self.api == "chat":
            body["messages"] = conversation.messages(turn)
        else:
            body["prompt"] = conversation.prompt()
        body |= {"max_tokens": self.output_tokens, "temperature": 0, "stream": self.stream}
        if self.stream:
            # A stream has no usage otherwise, and tokens are as the server counts them.
            body["stream_options"] = {"include_usage": True}
        if self.ignore_eos:
            body["ignore_eos"] = True
        # Last, so that the user's own fields win.
        return {**body, **self.extra_body}


class Prompts:
    """Conversations of one length, which differ in their first few words after the shared ones.

    Both servers of a pair get the same text but for these words. If they were the same, too, and both servers
    one engine, the second server would find the prompts of the first in the engine's prefix cache.
    """

    def __init__(self, work: Workload) -> None:
        random = Random(work.seed)
        self._words = random.sample(_WORDS, len(_WORDS))
        text = random.choices(_WORDS, k=work.prompt_tokens - _HEAD_WORDS)
        self._shared = " ".join(text[: work.shared_prefix_tokens])
        self._rest = text[work.shared_prefix_tokens :]
        lengths = (work.output_tokens, work.turn_tokens) * (work.turns - 1)
        self._later = tuple(" ".join(random.choices(_WORDS, k=length)) for length in lengths)

    def of_leg(self, leg: int) -> Iterator[Conversation]:
        """The conversations of one leg, without an end; ``leg`` counts all legs of the run, warm-ups included."""
        for number in itertools.count():
            yield Conversation(self._shared, (self._first(leg, number), *self._later))

    def _first(self, leg: int, number: int) -> str:
        """The first user message, which begins with ``leg`` and ``number`` in digits that are words."""
        base = len(self._words)
        digits = (number % base, leg % base, number // base % base, (number // base**2 + leg // base) % base)
        head = [self._words[digit] for digit in digits]
        return " ".join(head + self._rest)
