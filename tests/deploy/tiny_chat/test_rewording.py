"""Rewordings widen what is trained and never touch what is held out."""

from random import Random

import pytest
from tiny_chat.dialogue import LANGUAGES, Language
from tiny_chat.facts import load_facts
from tiny_chat.phrasing import ask
from tiny_chat.rewording import by_patterns, is_held_out, reworded, rewordings


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_fact_has_several_rewordings_and_none_is_held_out(lang: Language) -> None:
    for fact in load_facts():
        others = rewordings(fact.wordings[lang], lang)
        assert len(others) >= 5, fact.uid
        assert len(set(others)) == len(others)
        assert not any(is_held_out(question) for question in others)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_trained_question_is_held_out_but_for_case_and_punctuation(lang: Language) -> None:
    rng = Random(11)
    asked = [ask(rng, fact.wordings[lang], lang) for fact in load_facts() for _ in range(40)]
    assert not any(is_held_out(question) for question in asked)
    assert all(question.strip() for question in asked)
    assert len(set(asked)) > 0.6 * len(asked)


def test_a_held_out_wording_is_known_in_any_case_and_punctuation() -> None:
    question = next(q for fact in load_facts() for q in fact.wordings["en"].unseen)
    assert is_held_out(question)
    assert is_held_out(question.upper().rstrip("?") + " !")
    assert not is_held_out("What is this test about?")


def test_patterns_keep_the_subject() -> None:
    made = by_patterns("How many wings does a bird have?", "the number of wings a bird has", "en")
    assert len(made) > 5
    assert all("wings" in question.lower() and "bird" in question.lower() for question in made)


def test_rewording_is_repeatable() -> None:
    wording = load_facts()[0].wordings["en"]
    assert [reworded(Random(n), wording, "en") for n in range(50)] == [
        reworded(Random(n), wording, "en") for n in range(50)
    ]
