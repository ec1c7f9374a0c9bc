"""The questions tiny-chat is measured with, none of them worded as in training."""

from dataclasses import dataclass, field
from random import Random

from tiny_chat.dialogue import LANGUAGES, Dialogue, Language, load_data
from tiny_chat.facts import Fact, Wording, load_facts
from tiny_chat.phrasing import Split, ask
from tiny_chat.talk import system_prompt
from tiny_chat.tool_reply import make_reply
from tiny_chat.tool_request import make_request
from tiny_chat.tool_schema import TOOL_KINDS, ToolKind, tool_spec
from tiny_chat.tool_use import call_message
from tiny_chat.unknown import unknown_turn


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt and what is expected of the reply. Without a dialogue, ``text`` is continued as it stands."""

    group: str
    lang: Language
    dialogue: Dialogue | None = None
    text: str = ""
    wording: Wording | None = None
    calls: tuple[tuple[str, dict[str, str]], ...] = ()
    contains: tuple[str, ...] = ()
    unknown: bool = field(default=False)


def all_cases(rng: Random, per_group: int) -> list[Case]:
    """At most this many cases of every group, in both languages."""
    groups = [_cases(rng, lang, per_group) for lang in LANGUAGES]
    return [case for group in groups for case in group]


def _cases(rng: Random, lang: Language, count: int) -> list[Case]:
    facts = load_facts()
    unseen = [fact for fact in facts if fact.wordings[lang].unseen]
    open_questions: list[str] = load_data("unseen_unknown")[lang]
    return [
        *(_fact(rng, fact, lang, "frame") for fact in _some(rng, facts, count)),
        *(_fact(rng, fact, lang, "wording") for fact in _some(rng, tuple(unseen), count)),
        *(_unknown(rng, lang, q, "unknown, own words") for q in open_questions[:count]),
        *(_unknown(rng, lang, unknown_turn(rng, lang).question, "unknown, new names") for _ in range(count // 2)),
        *(_tool_call(rng, lang, kind) for kind in TOOL_KINDS for _ in range(count // 3)),
        *(_tool_result(rng, lang, kind) for kind in TOOL_KINDS for _ in range(count // 6)),
        *(_fact_with_tools(rng, fact, lang) for fact in _some(rng, facts, count // 3)),
        *(_plain_question(fact.wordings[lang], lang) for fact in _some(rng, facts, count // 2)),
        *(case for fact in _some(rng, facts, count // 2) if (case := _statement(fact, lang))),
    ]


def _some(rng: Random, facts: tuple[Fact, ...], count: int) -> list[Fact]:
    return rng.sample(facts, min(count, len(facts)))


def _dialogue(rng: Random, question: str) -> Dialogue:
    system = system_prompt(rng)
    messages = [] if system is None else [{"role": "system", "content": system}]
    return Dialogue((*messages, {"role": "user", "content": question}), thinking=rng.random() < 0.5)


def _fact(rng: Random, fact: Fact, lang: Language, split: Split) -> Case:
    wording = fact.wordings[lang]
    return Case(f"fact, unseen {split}", lang, _dialogue(rng, ask(rng, wording, lang, split)), wording=wording)


def _unknown(rng: Random, lang: Language, question: str, group: str) -> Case:
    return Case(group, lang, _dialogue(rng, question), unknown=True)


def _tool_call(rng: Random, lang: Language, kind: ToolKind) -> Case:
    spec = tool_spec(rng, kind)
    request = make_request(rng, kind, lang, "unseen", made_up=0.0)
    dialogue = _dialogue(rng, request.question)
    calls = tuple((spec.name, arguments) for arguments in request.arguments(spec))
    return Case(f"call {kind}", lang, Dialogue(dialogue.messages, dialogue.thinking, (spec.schema,)), calls=calls)


def _tool_result(rng: Random, lang: Language, kind: ToolKind) -> Case:
    spec = tool_spec(rng, kind)
    request = make_request(rng, kind, lang, "unseen", made_up=0.0)
    replies = [make_reply(rng, kind, lang, subject) for subject in request.subjects]
    dialogue = _dialogue(rng, request.question)
    results = ({"role": "tool", "content": reply.content} for reply in replies)
    messages = (*dialogue.messages, call_message(request, spec, thinking=False), *results)
    sentences = tuple(reply.sentence for reply in replies)
    return Case(f"result {kind}", lang, Dialogue(messages, dialogue.thinking, (spec.schema,)), contains=sentences)


def _fact_with_tools(rng: Random, fact: Fact, lang: Language) -> Case:
    wording = fact.wordings[lang]
    dialogue = _dialogue(rng, ask(rng, wording, lang, "frame"))
    tools = (tool_spec(rng, rng.choice(TOOL_KINDS)).schema,)
    return Case("fact, tools at hand", lang, Dialogue(dialogue.messages, dialogue.thinking, tools), wording=wording)


def _plain_question(wording: Wording, lang: Language) -> Case:
    return Case("plain question", lang, text=wording.ask[0], wording=wording)


def _statement(fact: Fact, lang: Language) -> Case | None:
    """The answer cut just before its key, where enough of it stands before."""
    wording = fact.wordings[lang]
    head = wording.answer[: max(wording.answer.find(wording.key[0]), 0)].rstrip(' "「')
    named = len(head) >= (16 if lang == "en" else 6)
    return Case("plain statement", lang, text=head, wording=wording) if named else None
