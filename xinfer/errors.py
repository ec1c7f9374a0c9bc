"""Everything that can go wrong, as one tree::

    XinferError
    ├── BadRequest                 400  the request itself is wrong
    │   ├── InvalidBody            400  not JSON, not an object, a field of the wrong type or out of range
    │   ├── ContextLengthExceeded  400  prompt plus answer do not fit the model's context
    │   ├── ThinkingNotSupported   400  thinking asked on (off) of a family that never (always) thinks
    │   ├── AbilityNotSupported    400  chat asked of a model that only generates, and the like
    │   ├── LaunchRefused          400  a launch that cannot work: no such family, no such path, too many GPUs
    │   ├── FamilyRefused          400  a family that cannot be registered as it is described, or whose name is taken
    │   └── ModelsFileRefused      400  a file of declared models that cannot be read; raised by the command line alone
    ├── AuthenticationFailed       401  a key is needed, and none came, or one that is not valid
    ├── PermissionRefused          403  this caller may not do this, such as a web page that would change the cluster
    ├── NotFound                   404  no such route, family, job
    │   └── ModelNotFound          404  no model has this UID
    ├── MethodNotAllowed           405  the route is there, but not for this method
    ├── Conflict                   409  the UID is in use, or the state does not allow it
    ├── BodyTooLarge               413  the body is over the limit
    ├── LaunchCancelled            499  the launch was cancelled before it was ready
    ├── RequestAborted             499  the request was given up by its id before its answer had begun
    ├── ModelOverloaded            429  every replica of the model has as many requests as it may have
    ├── RateLimited                429  the key has had as many requests or tokens as it may have for now
    ├── BudgetExhausted            429  the key has used all the tokens of its day or month
    ├── LaunchFailed               500  the engine did not come up; carries its own last error
    ├── InternalError              500  our fault; the details are in the log under the request id
    ├── EngineLost                 502  the engine went away in the middle of an answer
    ├── Unavailable                503  nobody can answer this now; a retry may help
    │   └── ModelLoading           503  the model is on its way up
    └── EngineTimeout              504  the engine did not answer in time

On the wire an error is ``{"error": {"message", "type", "param", "code"}, "detail": message}``: OpenAI's clients read ``error``,
Xinference's read ``detail``. ``from_response`` rebuilds the same tree on the client's side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class XinferError(RuntimeError):
    """Root of the tree. ``message`` is for the caller: it holds no path, stack or prompt.

    A ``RuntimeError``, since that is what programs written for Xinference's client catch.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Survives a trip between Ray actors with all its fields."""
        return _rebuild, (type(self), self.message, self.param, self.retry_after_s)

    def body(self) -> dict[str, Any]:
        """The JSON body that both kinds of client understand."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error, "detail": self.message}

    def headers(self) -> dict[str, str]:
        """``Retry-After`` where waiting helps, ``x-should-retry`` so that SDKs do not retry in vain."""
        headers = {"x-should-retry": "true" if self.retryable else "false"}
        if self.retryable:
            headers["retry-after"] = str(max(1, round(self.retry_after_s or 1)))
        return headers


def _rebuild(kind: type[XinferError], message: str, param: str | None, retry_after_s: float | None) -> XinferError:
    return kind(message, param=param, retry_after_s=retry_after_s)


class BadRequest(XinferError):
    """The request itself is wrong; sending it again will not help."""

    status, type, code = 400, "invalid_request_error", "bad_request"


class InvalidBody(BadRequest):
    """The body is not what the route takes."""

    code = "invalid_body"


class ContextLengthExceeded(BadRequest):
    """Prompt and answer do not fit the model's context."""

    code = "context_length_exceeded"


class ThinkingNotSupported(BadRequest):
    """The family cannot switch its thinking the way it was asked to."""

    code = "thinking_not_supported"


class AbilityNotSupported(BadRequest):
    """The model does not do this kind of work."""

    code = "ability_not_supported"


class LaunchRefused(BadRequest):
    """The launch cannot work as asked; nothing was started."""

    code = "launch_refused"


class FamilyRefused(BadRequest):
    """The family cannot be registered as it is described, or not under its name; ``param`` is the field."""

    code = "family_refused"


class ModelsFileRefused(BadRequest):
    """A file cannot be read as declared models; the message names the first field that is wrong."""

    code = "models_file_refused"


class AuthenticationFailed(XinferError):
    """A key is needed, and none or a wrong one came; the message does not say what is wrong with it."""

    status, type, code = 401, "authentication_error", "invalid_api_key"

    def headers(self) -> dict[str, str]:
        """How a key has to be shown, as HTTP wants it beside this status."""
        return {**super().headers(), "www-authenticate": "Bearer"}


class PermissionRefused(XinferError):
    """This caller may not do this: its key is for other things, or it is a web page that would change the cluster."""

    status, type, code = 403, "permission_error", "permission_denied"


class NotFound(XinferError):
    """Nothing of that name is here."""

    status, type, code = 404, "not_found_error", "not_found"


class ModelNotFound(NotFound):
    """No model has this UID."""

    code = "model_not_found"


class MethodNotAllowed(XinferError):
    """The route is there, but not for this method."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class Conflict(XinferError):
    """The name is taken, or the state does not allow it."""

    status, type, code = 409, "conflict_error", "conflict"


class BodyTooLarge(XinferError):
    """The body is over the limit."""

    status, type, code = 413, "invalid_request_error", "body_too_large"


class LaunchCancelled(XinferError):
    """The launch was cancelled before it was ready."""

    status, type, code = 499, "invalid_request_error", "launch_cancelled"


class RequestAborted(XinferError):
    """Somebody gave the request up by its id before its answer had begun."""

    status, type, code = 499, "invalid_request_error", "request_aborted"


class ModelOverloaded(XinferError):
    """Every replica of the model has as many requests as it may have."""

    status, type, code, retryable = 429, "rate_limit_error", "model_overloaded", True


class RateLimited(XinferError):
    """The key has had as many requests or tokens as it may have for now."""

    status, type, code, retryable = 429, "rate_limit_error", "rate_limit_exceeded", True


class BudgetExhausted(XinferError):
    """The key has used all the tokens of its day or month; trying again soon is in vain."""

    status, type, code = 429, "insufficient_quota", "insufficient_quota"


class LaunchFailed(XinferError):
    """The engine did not come up."""

    code = "launch_failed"


class InternalError(XinferError):
    """Our fault. The message is a fixed sentence with the request id."""


class EngineLost(XinferError):
    """The engine went away in the middle of an answer."""

    status, code, retryable = 502, "engine_lost", True


class Unavailable(XinferError):
    """Nobody can answer this now."""

    status, type, code, retryable = 503, "service_unavailable_error", "unavailable", True


class ModelLoading(Unavailable):
    """The model is on its way up."""

    code = "model_loading"


class EngineTimeout(XinferError):
    """The engine did not answer in time."""

    status, type, code, retryable = 504, "timeout_error", "engine_timeout", True


def cluster_stopping() -> Unavailable:
    """What anybody gets who asks a cluster for something new that is being stopped."""
    return Unavailable("The cluster is being stopped.", retry_after_s=10)


def _tree(root: type[XinferError]) -> Iterator[type[XinferError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def from_response(status: int, body: Any, retry_after_s: float | None = None) -> XinferError:
    """Rebuild the error that a server sent; a body that is none of ours gives the nearest class by ``status``."""
    error = body.get("error") if isinstance(body, Mapping) else None
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    detail = body.get("detail") if isinstance(body, Mapping) else None
    text = error if isinstance(error, str) else None
    message = str(fields.get("message") or detail or text or f"The server answered {status}.")
    kinds = [kind for kind in _tree(XinferError) if kind is not XinferError]
    by_code = [kind for kind in kinds if kind.code == fields.get("code") and kind.status == status]
    by_status = [InternalError] if status == InternalError.status else [kind for kind in kinds if kind.status == status]
    family = BadRequest if 400 <= status < 500 else InternalError
    kind = (by_code or by_status or [family])[0]
    param = fields.get("param")
    return kind(message, param=param if isinstance(param, str) else None, retry_after_s=retry_after_s)
