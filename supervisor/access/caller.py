"""Whose request it is, for everything behind the check."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from starlette.types import Scope

from supervisor.translate.tenant import Tenant
from xinfer.errors import ModelNotFound
from xinfer.messages import ApiKey, KeyScope, ModelStatus

_CALLER = "xinfer.caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that a request came with."""

    key: ApiKey = field(repr=False)

    @property
    def is_admin(self) -> bool:
        return self.key.scope is KeyScope.ADMIN

    @property
    def tenant(self) -> Tenant:
        """What engines have to know of it."""
        return Tenant(self.key.id, self.key.priority, self.key.isolate_cache)

    def may_use(self, uid: str) -> bool:
        """Whether the key is for this model."""
        return not self.key.models or bool(_pattern(self.key.models).match(uid))

    def check_model(self, uid: str) -> None:
        """``ModelNotFound`` as if there were no such model, unless the key is for it."""
        if not self.may_use(uid):
            raise ModelNotFound(f"There is no model {uid[:100]!r}. GET /v1/models lists what runs.", param="model")


def set_caller(scope: Scope, caller: Caller) -> None:
    """Note whose request ``scope`` is."""
    scope[_CALLER] = caller


def caller_of(scope: Scope) -> Caller | None:
    """Whose request ``scope`` is; None where no keys are required, or none was."""
    caller: Caller | None = scope.get(_CALLER)
    return caller


def visible(models: Iterable[ModelStatus], caller: Caller | None) -> list[ModelStatus]:
    """Those of ``models`` that the caller may know of."""
    if caller is None:
        return list(models)
    return [model for model in models if caller.may_use(model.spec.uid)]


@lru_cache(maxsize=4096)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    # Case matters, unlike in fnmatch.fnmatch on some systems.
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs))
