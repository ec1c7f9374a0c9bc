"""Model UIDs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.errors import LaunchRefused
from xinfer.names import UID_MAX_LENGTH, check_uid, is_uid, model_app


@pytest.mark.parametrize(
    "uid", ["m", "7", "tiny-chat", "Qwen3-0.6B", "a_b.c-d", "x" * UID_MAX_LENGTH, "m-rep", "m-rep1x"]
)
def test_uid(uid: str) -> None:
    assert is_uid(uid)
    assert check_uid(uid) == uid


@pytest.mark.parametrize(
    "uid",
    [
        *("", ".", "..", "-m", "_m", "a/b", "a\\b", "a b", "a\n", "a\0", "a%2e", "é", "ｍ", "m-rep0", "m-rep12"),
        "x" * 101,
    ],
)
def test_no_uid(uid: str) -> None:
    assert not is_uid(uid)
    with pytest.raises(LaunchRefused, match="--model-uid") as caught:
        check_uid(uid)
    assert caught.value.param == "model_uid"


@given(st.text())
def test_a_uid_can_be_part_of_a_path_or_a_log_line(text: str) -> None:
    if is_uid(text):
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", text)
        assert not text.startswith(".")


def test_application_of_a_model() -> None:
    assert model_app("m") == "model-m"
    assert model_app("m").removeprefix(model_app("")) == "m"
