"""Keys that an operator makes and gives a cluster as files, as containers get their secrets: one file per scope.

``printf 'xinfer_%s_%s' "$(openssl rand -hex 5)" "$(openssl rand -hex 24)" > keys/admin`` makes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xinfer import api_key
from xinfer.messages import KeyScope

NAMES = frozenset(f"{scope}-from-file" for scope in KeyScope)
"""What these keys are called among the others. The next start finds them by it."""


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key without its text."""

    id: str
    scope: KeyScope
    digest: str
    """In hexadecimal digits."""

    @property
    def name(self) -> str:
        """What it is called among the other keys."""
        return f"{self.scope}-from-file"


def read(folder: Path) -> tuple[GivenKey, ...]:
    """The keys in ``folder``, in files named after their scopes. ``ValueError`` if there is none, or one is no key."""
    found: list[GivenKey] = []
    for scope in KeyScope:
        file = folder / scope.value
        if file.is_file():
            found.append(_read(file, scope))
    if not found:
        raise ValueError(f"keys_from={folder}: expected a file named {', '.join(KeyScope)} in it")
    return tuple(found)


def _read(file: Path, scope: KeyScope) -> GivenKey:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"keys_from: {file} cannot be read") from error
    key_id = api_key.key_id(text)
    if key_id in (None, api_key.OPERATOR):
        # Without the text, which may be a key with a typing error.
        raise ValueError(f"keys_from: {file}: expected xinfer_, 10 hexadecimal digits, _, and 48 more")
    return GivenKey(str(key_id), scope, api_key.digest(text).hex())
