"""Reads an engine's load from its metrics."""

from __future__ import annotations

from worker.engine_load import read_load
from xinfer.messages import EngineLoad

# As vLLM 0.32 writes them.
PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny-chat"} 3.0
vllm:num_requests_waiting{engine="0",model_name="tiny-chat"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny-chat",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="odd} 9 name"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="tiny-chat"} 1.2e+06
"""


def test_one_core() -> None:
    assert read_load(PAGE) == EngineLoad(3, 2, 0.25)


def test_several_cores() -> None:
    second = PAGE.replace('engine="0"', 'engine="1"').replace("0.25", "0.75")
    assert read_load(PAGE + second) == EngineLoad(6, 4, 0.75)


def test_a_page_without_them() -> None:
    assert read_load("# nothing\nprocess_cpu_seconds_total 1\n") is None
