"""``python ray_serve_llm.py MODEL PORT KV_CACHE_BYTES``: a model behind Ray Serve LLM, until stdin ends."""

from __future__ import annotations

import sys

import ray
from ray import serve
from ray.serve.llm import LLMConfig, LLMServingArgs, build_openai_app


def main() -> None:
    """Serve the folder ``MODEL`` as ``tiny-chat``."""
    model, port, kv_cache_bytes = sys.argv[1:]
    # Its parts ask for a CPU each, more than a small machine has. At Ray's own, lower priority the engine would be slower.
    ray.init(num_cpus=16, include_dashboard=False, _system_config={"worker_niceness": 0})
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    config = LLMConfig(
        model_loading_config={"model_id": "tiny-chat", "model_source": model},
        accelerator_config={"kind": "cpu"},
        deployment_config={"num_replicas": 1},
        engine_kwargs={"kv_cache_memory_bytes": int(kv_cache_bytes)},
    )
    serve.run(build_openai_app(LLMServingArgs(llm_configs=[config])))
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
