"""Reads how busy an engine is from its own metrics, in Prometheus' text format."""

from __future__ import annotations

from xinfer.messages import EngineLoad

_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_KV_CACHE = "vllm:kv_cache_usage_perc"
# Before vLLM 0.11.
_OLD_KV_CACHE = "vllm:gpu_cache_usage_perc"
_NAMES = (_RUNNING, _WAITING, _KV_CACHE, _OLD_KV_CACHE)


def read_load(text: str) -> EngineLoad | None:
    """The load that ``text`` tells of; None if it tells of none. With several engine cores, their sum or highest share."""
    values: dict[str, list[float]] = {}
    # A page has hundreds of lines, of which three count: a parser of all of them would take most of a millisecond.
    for line in text.splitlines():
        if not line.startswith(_NAMES):
            continue
        name, _, rest = line.partition("{")
        if name in _NAMES:
            values.setdefault(name, []).append(float(rest.rpartition("}")[2].split()[0]))
    if _RUNNING not in values:
        return None
    cache = values.get(_KV_CACHE) or values.get(_OLD_KV_CACHE) or [0.0]
    return EngineLoad(
        running=int(sum(values[_RUNNING])),
        waiting=int(sum(values.get(_WAITING, []))),
        kv_cache_usage=max(cache),
    )
