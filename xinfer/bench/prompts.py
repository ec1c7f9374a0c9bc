"""Prompts of plain words, as many as tokens are asked for, and what is said after them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

from xinfer.bench.conversation import Conversation
from xinfer.bench.plan import Workload

_WORDS = """
act add age air all and any arm art ask baby back bad bag ball band bank bar base be bear bed best big bird bit black
blood blue board boat body bone book born both box boy bread bring build burn busy buy cake call camp car card care
case cat cent chair chart city class clean clear clock cloud coat cold come cook cool copy corn cost count cover crop
cross crowd cup cut dance dark day deal deep desk door down draw dream dress drink drive drop dry duck dust each ear
earth east easy eat edge egg end eye face fact fair fall farm fast feed feel field fig fill find fine fire fish five
flat floor flow fly food foot form four free fresh friend fruit full fun game gas gate get girl give glad glass go
gold good grass gray great green grow guess hair half hall hand happy hard hat head hear heart heat help here high
hill hold hole home hope horse hot hour house huge ice idea iron job join joy jump just keep key kind king knee know
lake lamp land large last late lead leaf learn left leg let life lift light like line lion list live long look lose
lot loud love low luck lunch mail main make map mark meal meat meet milk mind mine miss moon more most move much music
name near neck need nest new news next nice night nine noise north nose note now oil old once
""".split()  # noqa: SIM905  # 250 strings would be a page
_HEAD_WORDS = 4


class Prompts:
    """Conversations of one length, each different from all others of the run within the first few words of its own.

    Both servers of a pair get the same text but for that head: were it the same, too, and both of them one engine, the
    second to be asked would find it in the engine's prefix cache.
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
        """The conversations of one leg, without an end; ``leg`` counts through the whole run, warm-ups included."""
        questions = (self._question(leg, number) for number in itertools.count())
        return (Conversation(self._shared, (question, *self._later)) for question in questions)

    def _question(self, leg: int, number: int) -> str:
        base = len(self._words)
        digits = (number % base, leg % base, number // base % base, (number // base**2 + leg // base) % base)
        return " ".join([*(self._words[digit] for digit in digits), *self._rest])
