"""Makes methods of both clients from the same calls, so that their names, defaults and docstrings agree."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from xinfer.client._calls import Call

P = ParamSpec("P")
T = TypeVar("T")


class Sender(Protocol):
    def _send(self, call: Call[T]) -> T: ...


class AsyncSender(Protocol):
    async def _send(self, call: Call[T]) -> T: ...


def method(build: Callable[P, Call[T]]) -> Callable[Concatenate[Sender, P], T]:
    """A method with the parameters of ``build`` that sends the call it makes and returns the value."""

    def send(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(*args, **kwargs))

    return _signed(send, build)


def async_method(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate[AsyncSender, P], Coroutine[Any, Any, T]]:
    """The coroutine method of the async client, with the parameters of ``build``."""

    async def send(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(build(*args, **kwargs))

    return _signed(send, build)


F = TypeVar("F", bound=Callable[..., Any])


def _signed(send: F, build: Callable[..., Any]) -> F:
    """``send`` with the name, the docstring and the parameters of ``build``, for ``help()`` and the SDK reference."""
    functools.update_wrapper(send, build)
    value = str(build.__annotations__["return"]).removeprefix("Call[").removesuffix("]")
    send.__annotations__ = {**build.__annotations__, "return": value}
    signature = inspect.signature(build)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shown = signature.replace(parameters=[itself, *signature.parameters.values()], return_annotation=value)
    send.__signature__ = shown  # type: ignore[attr-defined]
    return send
