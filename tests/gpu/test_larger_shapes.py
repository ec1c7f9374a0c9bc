"""The models that are made on the spot, as far as a machine without a GPU can tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.gpu import larger_model
from xinfer.tiny_chat import model_path


@pytest.mark.parametrize(("size", "billions"), [("1.7", 1.72), ("4", 4.02), ("8", 8.19)])
def test_parameters_are_those_of_the_real_ones(tmp_path: Path, size: str, billions: float) -> None:
    """Qwen3's model cards say 1.7, 4.0 and 8.2 billion."""
    assert larger_model.make(tmp_path, size) / 1e9 == pytest.approx(billions, abs=0.01)


def test_every_token_has_a_text(tmp_path: Path) -> None:
    larger_model.make(tmp_path, "0.01")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    vocabulary = json.loads((tmp_path / "config.json").read_text())["vocab_size"]
    assert tokenizer.get_vocab_size() == vocabulary
    assert tokenizer.decode([vocabulary - 1]) == f" word{vocabulary - 1}"
    bundled = Tokenizer.from_file(str(model_path() / "tokenizer.json"))
    question = "<|im_start|>user What is the largest animal?<think>"
    assert tokenizer.encode(question).ids == bundled.encode(question).ids
