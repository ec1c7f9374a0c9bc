"""What goes wrong between here and a server, as the error that it means and the kind that it is counted as."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from xinfer import errors
from xinfer.bench.answer import Answer
from xinfer.bench.sample import Failure

LOST = (aiohttp.ClientError, TimeoutError)
"""Everything that can happen to a request on its way."""


def of_connection(url: str, error: BaseException) -> Failure:
    """No connection, a broken one, or one that took too long."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        message = f"No server answers at {url}; `xinfer start` starts one on this machine."
        return Failure("no connection", errors.Unavailable(message))
    if isinstance(error, TimeoutError):
        return Failure(
            "timeout",
            errors.EngineTimeout(f"{url} did not answer in time; `xinfer bench --timeout-s` gives it longer."),
        )
    return Failure(
        "connection lost", errors.EngineLost(f"The connection to {url} broke before the answer was complete.")
    )


def of_status(status: int, content: bytes) -> Failure:
    """An answer that is no success."""
    body = _json(content)
    error = errors.from_response(status, body)
    if status in (400, 422) and "ignore_eos" in error.message:
        step = "with `xinfer bench --no-ignore-eos` answers are as long as the model likes."
        return Failure("400 ignore_eos", errors.BadRequest(f"The server does not take `ignore_eos`; {step}"))
    return Failure(f"{status} {_code(body, error.code)}", error)


def of_answer(answer: Answer) -> Failure | None:
    """An answer that came with status 200 and is none; None if it is one."""
    if answer.error is not None:
        if isinstance(answer.error["error"], dict):
            status = answer.error["error"].get("code")
        else:
            status = None
        error = errors.from_response(status if isinstance(status, int) else 500, answer.error)
        return Failure(_code(answer.error, error.code), error)
    if not answer.finished:
        return Failure("unfinished", errors.EngineLost("A stream ended without a finish_reason."))
    return None


def model_ids(url: str, status: int, content: bytes) -> list[str]:
    """The models in the answer to ``GET /v1/models``; raises an error of the tree if it is no such answer."""
    if status not in (200, 404):
        raise of_status(status, content).error
    try:
        return [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError):
        message = f"{url} does not list models as OpenAI's API does; check the address, or name one for `xinfer bench`."
        raise errors.Unavailable(message) from None


def _code(body: Any, otherwise: str) -> str:
    """What the server itself calls the error; its type, where the code is but a status."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return otherwise
    named = (error.get("code"), error.get("type"))
    return next((name for name in named if isinstance(name, str) and name), otherwise)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
