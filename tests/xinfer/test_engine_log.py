"""Reading vLLM's log. The lines are such as vLLM 0.32 writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.engine_log import LogReader, cause_of, stage_of, tail
from xinfer.messages import ReplicaStage

API = "(APIServer pid=77) "
CORE = "(EngineCore pid=123) "
ERROR = "ERROR 11-22 15:03:46 [core.py:1021] "
INFO = "INFO 11-22 15:03:46 [gpu_model_runner.py:3] "
ECHO = f"{API}RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}"


@pytest.mark.parametrize(
    ("lines", "stage"),
    [
        ([], None),
        (["something else", ""], None),
        (
            ["Fetching 9 files:  11%|█         | 1/9 [00:01<00:08]"],
            None,
        ),  # what the engine fetches, such as a LoRA, is no stage
        ([f"{CORE}{INFO}Starting to load model /models/m..."], ReplicaStage.LOADING),
        ([f"{CORE}Loading safetensors checkpoint shards:   0% Completed | 0/1 [00:00<?, ?it/s]"], ReplicaStage.LOADING),
        ([f"{API}{INFO}Starting vLLM server on http://127.0.0.1:4"], ReplicaStage.WARMING_UP),
        ([f"{CORE}{INFO}Starting to load model m...", "Downloading shards: 50%"], ReplicaStage.LOADING),
        (["Application startup complete.", f"{INFO}Starting to load model"], ReplicaStage.WARMING_UP),
    ],
)
def test_furthest_stage(lines: list[str], stage: ReplicaStage | None) -> None:
    assert stage_of(lines) is stage


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ([], None),
        ([f"{INFO}all is well", "Traceback (most recent call last):"], None),
        ([f"{CORE}{ERROR}ValueError: no room for the KV cache"], "no room for the KV cache"),
        ([f"{CORE}ValueError: no room for the KV cache"], "no room for the KV cache"),
        (["RuntimeError: plain"], "plain"),
        (["KeyError: 'lm_head.weight'"], "KeyError: 'lm_head.weight'"),
        (
            ["KeyError: 'invalid tool call parser: kimi_k9 (chose from { hermes,mistral })'"],
            "The vLLM installed here has no tool call parser kimi_k9; a newer one may, or name another with "
            "--tool-call-parser",
        ),
        (
            [f"{API}KeyError: 'invalid reasoning parser: ling9 (chose from {{ qwen3 }})'"],
            "The vLLM installed here has no reasoning parser ling9; a newer one may, or name another with "
            "--reasoning-parser",
        ),
        (["api_server.py: error: unrecognized arguments: --ghost 1"], "unrecognized arguments: --ghost 1"),
        ([f"{CORE}{ERROR}ValueError: the cause", f"{CORE}Traceback", ECHO], "the cause"),
        (["ValueError: first", "During handling of the above exception:", "OSError: second"], "OSError: second"),
        (["    raise ValueError: not at the start of a statement, but indented"], None),
    ],
)
def test_cause_is_the_last_error_that_is_no_echo(lines: list[str], cause: str | None) -> None:
    assert cause_of(lines) == cause


def test_echo_is_better_than_nothing() -> None:
    assert (cause_of([ECHO]) or "").startswith("Engine core initialization failed")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "--n-gpu"),
        ("OSError: You are trying to access a gated repo.", "HF_TOKEN"),
        ("AttributeError: '_OpNamespace' '_C' object has no attribute 'init_cpu_memory_env'", "xinfer doctor"),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "--model-path"),
        ("ValueError: To serve at least one request with max_model_len (9), 2 GiB is needed", "--context-length"),
        ("ValueError: Please pass the argument `trust_remote_code=True` to allow custom code", "--trust-remote-code"),
    ],
)
def test_known_causes_come_with_advice(line: str, advice: str) -> None:
    cause = cause_of([f"{CORE}{ERROR}{line}", ECHO])
    assert cause is not None
    assert line.partition(": ")[2][:20] in cause
    assert advice in cause
    assert ".." not in cause


def test_tail_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == []
    log.write_bytes(b"x" * 100 + b"\xff\nlast 1\nlast 2\n")
    assert tail(log, size=14) == ["last 1", "last 2"]
    assert tail(log)[0].startswith("xxx")


def test_reader_gives_whole_new_lines_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    reader = LogReader(log)
    assert reader.new_lines() == []
    with log.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert reader.new_lines() == ["one"]
        file.write("o\nthree\n")
        file.flush()
        assert reader.new_lines() == ["two", "three"]
    assert reader.new_lines() == []


def test_reader_of_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reader = LogReader(log)
    assert reader.new_lines() == []
    log.write_text("first\n")
    assert reader.new_lines() == ["first"]
