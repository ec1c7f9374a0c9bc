"""Has vLLM's API server make itself ready while the engine core starts, and not only once that is ready.

The server waits for the core. Then it builds its web application and renders chats to see what the model's template can do: 0.3 s
of the 2.1 that a launch of ``tiny-chat`` took on two cores. What of it does not ask the core is done ahead. For vLLM 0.32.
"""

from __future__ import annotations

import functools
import importlib
import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

_VERSIONS = ("0.32.",)
_TASKS = ("generate",)
_log = logging.getLogger("xinfer.engine")


def prepare_server_meanwhile() -> None:
    """Change vLLM in this process, if its version is one that is known."""
    import vllm

    if not vllm.__version__.startswith(_VERSIONS):
        return
    entry: Any = importlib.import_module("vllm.entrypoints.launchers.api_server.entry")
    core_client: Any = importlib.import_module("vllm.v1.engine.core_client").EngineCoreClient
    engine_utils: Any = importlib.import_module("vllm.v1.engine.utils")
    messages: Any = importlib.import_module("vllm.entrypoints.anthropic.serving").AnthropicServingMessages
    # It compiles the template, for each of two parts of the application.
    messages._detect_merge_inline_system = staticmethod(functools.cache(messages._detect_merge_inline_system))

    preparation = Preparation(entry.build_app)
    open_client = entry.build_async_engine_client
    make_client = core_client.make_async_mp_client
    wait = engine_utils.wait_for_engine_startup

    @functools.wraps(open_client)
    def open_and_note(args: Any, **options: Any) -> Any:
        preparation.args = args
        return open_client(args, **options)

    @functools.wraps(make_client)
    def make_and_note(vllm_config: Any, *more: Any, renderer: Any = None, **options: Any) -> Any:
        preparation.model_config = vllm_config.model_config
        preparation.renderer = renderer
        return make_client(vllm_config, *more, renderer=renderer, **options)

    @functools.wraps(wait)
    def prepare_and_wait(*args: Any, **options: Any) -> Any:
        # The core has been forked: from here on this process may have threads.
        preparation.begin()
        return wait(*args, **options)

    entry.build_async_engine_client = open_and_note
    core_client.make_async_mp_client = staticmethod(make_and_note)
    engine_utils.wait_for_engine_startup = prepare_and_wait
    entry.build_app = preparation.app


class Preparation:
    """The application of one server, ``build`` of which is vLLM's, made in a thread of its own."""

    def __init__(self, build: Callable[..., Any]) -> None:
        self.args: Any = None
        self.model_config: Any = None
        self.renderer: Any = None
        self._build = build
        self._thread: threading.Thread | None = None
        self._app: Any = None

    def begin(self) -> None:
        """Start, if it is known for which arguments, and which tasks the model has: those of others only the core can tell."""
        if self.args is None or self.renderer is None:
            return
        if self.model_config.runner_type != "generate" or self.model_config.is_multimodal_model:
            return
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def app(self, args: Any, supported_tasks: Any = None, model_config: Any = None) -> Any:
        """What vLLM's own function returns: what has been built ahead, if that was for the same."""
        if self._thread:
            self._thread.join()
            wanted = args is self.args and model_config is self.model_config and tuple(supported_tasks or ()) == _TASKS
            if self._app is not None and wanted:
                return self._app
        return self._build(args, supported_tasks, model_config)

    def _run(self) -> None:
        try:
            self._app = self._build(self.args, _TASKS, self.model_config)
            self._render()
        except Exception as error:  # noqa: BLE001  # the server does it again, and fails with it
            _log.warning("the server could not be prepared ahead: %s: %s", type(error).__name__, error)

    def _render(self) -> None:
        """Have the model's template looked at, whose results vLLM keeps."""
        from vllm.entrypoints.anthropic.serving import AnthropicServingMessages
        from vllm.entrypoints.launchers.cli_args import resolve_default_chat_template_kwargs
        from vllm.renderers import ChatParams
        from vllm.renderers.chat_utils import load_chat_template

        template = load_chat_template(self.args.chat_template)
        chat = ChatParams(
            chat_template=template,
            chat_template_content_format=self.args.chat_template_content_format,
            chat_template_kwargs=resolve_default_chat_template_kwargs(self.args),
        )
        self.renderer.warmup(chat)
        renderer = SimpleNamespace(renderer=self.renderer, chat_template=template, model_config=self.model_config)
        AnthropicServingMessages._should_merge_inline_system(renderer)
