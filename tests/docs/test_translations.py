"""A translated document has the programs of the original, in its order; only what is said to the model is translated."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks

PAGES = sorted((ROOT / "docs" / "zh-TW").glob("*.md"))
PAIRS = [(ROOT / "README.md", ROOT / "README.zh-TW.md"), *((ROOT / "docs" / page.name, page) for page in PAGES)]
SAID = {
    "What is the largest animal?": "最大的動物是什麼？",
    "What is the capital of France?": "法國的首都是哪裡？",
    "You are a helpful assistant.": "你是一個樂於助人的助手。",
    "The capital of France is": "法國的首都是",
    "The capital of Italy is": "義大利的首都是",
    "Once upon a time": "從前從前",
    "at once:": "直接回答：",
    "thought:": "思考：",
    "said:": "回答：",
}


@pytest.mark.parametrize(("original", "translation"), PAIRS, ids=lambda file: str(file.relative_to(ROOT)))
def test_both_run_the_same_programs(original: Path, translation: Path) -> None:
    assert [_translated(program) for program in _programs(original)] == _programs(translation)


def test_no_page_in_chinese_is_an_orphan() -> None:
    assert {page.name for page in PAGES} >= {"chat.md", "generate.md"}


def _programs(file: Path) -> list[str]:
    return [block.text for block in blocks(file) if block.is_program]


def _translated(program: str) -> str:
    for english, chinese in SAID.items():
        program = program.replace(english, chinese)
    return program
