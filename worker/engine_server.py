"""The engine's process: vLLM's own OpenAI server, tied to the worker that started it.

Run as ``python -m worker.engine_server`` with the arguments of vLLM's API server. vLLM spawns its engine core and workers from
here, and a spawned Python process imports this module again, so each of them asks the kernel to end it with its parent: nothing
of an engine survives a ``kill -9`` of any process above it.
"""

from __future__ import annotations

from xinfer.lifetime import die_with_parent

die_with_parent()


def main() -> None:
    """Run vLLM's server until it is told to stop."""
    try:
        from vllm.entrypoints.launchers.api_server.entry import main as serve
    except ImportError:  # vLLM before 0.30
        import runpy

        runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
        return
    serve()


if __name__ == "__main__":
    main()
