"""The corpus is what it promises: repeatable, honest about what is held out, and right about tools."""

from itertools import islice
from random import Random
from typing import Any

import pytest
from tiny_chat.corpus import Corpus
from tiny_chat.dialogue import LANGUAGES, Dialogue, Example, Language, Text
from tiny_chat.facts import load_facts
from tiny_chat.phrasing import PHRASING, ask, frame
from tiny_chat.rewording import rewordings
from tiny_chat.tool_request import make_request
from tiny_chat.tool_schema import TOOL_KINDS, TOOLS, tool_spec

from xinfer.tiny_chat import model_path


def some(count: int = 2000, seed: int = 7) -> list[Example]:
    return list(islice(Corpus(seed), count))


def trained_questions(lang: Language) -> set[str]:
    """Every question about a fact that training can show, but for synonyms and slips of the fingers."""
    frames = PHRASING[lang]["wrap"]
    wordings = [fact.wordings[lang] for fact in load_facts()]
    asked = [(w, question) for w in wordings for question in (*w.ask, *rewordings(w, lang))]
    return {frame(f, question, w.topic).strip() for w, question in asked for f in frames}


def test_same_seed_gives_the_same_corpus() -> None:
    assert some(seed=3) == some(seed=3)
    assert some(seed=3) != some(seed=4)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_held_out_questions_are_never_trained(lang: Language) -> None:
    trained, rng = trained_questions(lang), Random(0)
    for fact in load_facts():
        wording = fact.wordings[lang]
        assert trained.isdisjoint(wording.unseen)
        assert ask(rng, wording, lang, "frame") not in trained


def test_corpus_asks_no_held_out_wording() -> None:
    unseen = {q for fact in load_facts() for wording in fact.wordings.values() for q in wording.unseen}
    asked = {m["content"] for ex in some() if isinstance(ex, Dialogue) for m in ex.messages if m["role"] == "user"}
    assert len(unseen) > 400
    assert asked.isdisjoint(unseen)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_answer_contains_its_key_and_no_question_has_two_answers(lang: Language) -> None:
    answers: dict[str, str] = {}
    for fact in load_facts():
        wording = fact.wordings[lang]
        assert wording.is_answered_by(wording.answer), fact.uid
        for question in (*wording.ask, *rewordings(wording, lang), *wording.unseen):
            assert answers.setdefault(question.lower(), wording.answer) == wording.answer, question


def test_facts_are_distinct() -> None:
    uids = [fact.uid for fact in load_facts()]
    assert len(uids) == len(set(uids)) > 250


def calls_in(dialogue: Dialogue) -> list[tuple[str, dict[str, Any]]]:
    calls = [call for message in dialogue.messages for call in message.get("tool_calls", ())]
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


def test_calls_name_a_given_tool_and_its_arguments() -> None:
    dialogues = [ex for ex in some() if isinstance(ex, Dialogue) and calls_in(ex)]
    assert len(dialogues) > 100
    for dialogue in dialogues:
        parameters = {t["function"]["name"]: t["function"]["parameters"]["properties"] for t in dialogue.tools}
        for name, arguments in calls_in(dialogue):
            assert set(arguments) <= set(parameters[name])
            assert all(isinstance(value, str) and value for value in arguments.values())


@pytest.mark.parametrize("kind", TOOL_KINDS)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_request_carries_what_the_user_named(kind: Any, lang: Language) -> None:
    rng = Random(5)
    for _ in range(50):
        request = make_request(rng, kind, lang)
        arguments = request.arguments(tool_spec(rng, kind))
        assert len(arguments) == len(request.subjects)
        if kind != "calculator":
            assert all(subject in request.question for subject in request.subjects)


def test_calls_are_only_made_in_dialogues_with_tools() -> None:
    assert not any(calls_in(ex) for ex in some() if isinstance(ex, Dialogue) and not ex.tools)


def test_cities_are_known_in_both_languages() -> None:
    assert len({tuple(city) for city in TOOLS["cities"]}) == len(TOOLS["cities"]) >= 60
    assert all("/" in zone for _, _, zone in TOOLS["cities"])


def test_texts_are_not_empty() -> None:
    texts = [ex.text for ex in some() if isinstance(ex, Text)]
    assert len(texts) > 100
    assert all(texts)


def test_model_path_is_beside_the_package() -> None:
    assert model_path().name == "model"
