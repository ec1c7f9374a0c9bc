"""The catalog: every family that can be launched by name, and the choice of one model of a family."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from xinfer.catalog.family import Family, Spec
from xinfer.errors import LaunchRefused
from xinfer.model_size import canonical_size_or_text

FAMILIES_FOLDER = Path(__file__).parent / "families"


@dataclass(frozen=True, slots=True)
class Selection:
    """One model of a family, which a launch by name resolves to."""

    family: Family
    spec: Spec
    quantization: str
    path: str
    """What the engine loads: a hub id or a folder."""


class Catalog:
    """Families by name, which do not change once they are loaded."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.families: Mapping[str, Family] = {family.name: family for family in families}
        self._by_folded_name = _by_folded_name(self.families.values())

    @classmethod
    def load(cls, extra_folder: Path | None = None) -> Catalog:
        """The shipped families and those of ``extra_folder``, which win over shipped ones of the same name.

        A file that cannot be read as a family is a ValueError that names the file and the field.
        """
        catalog = cls(_shipped())
        if extra_folder is None:
            return catalog
        return catalog.extended(read_folder(extra_folder))

    def extended(self, families: Iterable[Family]) -> Catalog:
        """These families and ``families``, which win over those of the same name."""
        together = self._by_folded_name | _by_folded_name(families)
        return Catalog(together.values())

    def find(self, name: str) -> Family | None:
        """The family of that name, in any case."""
        return self.families.get(name) or self._by_folded_name.get(name.casefold())

    def family(self, name: str) -> Family:
        """The family of that name, in any case; LaunchRefused suggests similar names if there is none."""
        family = self.find(name)
        if family is not None:
            return family
        hint = ""
        similar = difflib.get_close_matches(name.casefold(), self._by_folded_name, n=3)
        if similar:
            names = [self._by_folded_name[folded].name for folded in similar]
            hint = f"Did you mean {' or '.join(names)}? "
        message = f"There is no such family: {name}. {hint}`xinfer models` lists all."
        raise LaunchRefused(message, param="model_name")

    def select(
        self,
        name: str,
        size_in_billions: str | int | float | None = None,
        format: str | None = None,  # noqa: A002 - the word that files and callers use
        quantization: str | None = None,
    ) -> Selection:
        """The first of ``matching``, in the order of the family's file."""
        return self.matching(name, size_in_billions, format, quantization)[0]

    def matching(
        self,
        name: str,
        size_in_billions: str | int | float | None = None,
        format: str | None = None,  # noqa: A002
        quantization: str | None = None,
    ) -> list[Selection]:
        """Every model of the family with that size, format and quantization; None matches any.

        LaunchRefused names the sizes, formats or quantizations that there are.
        """
        family = self.family(name)
        choices = list(family.models())
        if size_in_billions is not None:
            # Text that is no size matches none, and the error lists the sizes there are.
            size = canonical_size_or_text(size_in_billions)
            choices = _keep(choices, _size_of, size, name=family.name, what="size")
        if format is not None:
            choices = _keep(choices, _format_of, format, name=family.name, what="format")
        if quantization is not None:
            choices = _keep(choices, _quantization_of, quantization, name=family.name, what="quantization")
        return [Selection(family, spec, name, spec.path(name)) for spec, name in choices]

    def search(self, *words: str) -> list[Family]:
        """The families with all ``words`` in name or description, in any case; matches by name come first."""
        by_name: list[Family] = []
        by_description: list[Family] = []
        for family in sorted(self.families.values(), key=lambda family: family.name.casefold()):
            if _mentions(words, family.name):
                by_name.append(family)
            elif _mentions(words, f"{family.name} {family.description}"):
                by_description.append(family)
        return by_name + by_description


Choice = tuple[Spec, str]
"""A spec and one of its quantizations."""
_PARAMS = {"size": "model_size_in_billions", "format": "model_format", "quantization": "quantization"}


def _size_of(choice: Choice) -> str:
    return choice[0].size_in_billions


def _format_of(choice: Choice) -> str:
    return choice[0].format


def _quantization_of(choice: Choice) -> str:
    return choice[1]


def _keep(
    choices: list[Choice],
    field: Callable[[Choice], str],
    wanted: str,
    *,
    name: str,
    what: str,
) -> list[Choice]:
    """The choices whose field is ``wanted``, in any case; LaunchRefused lists the known values if none is."""
    kept: list[Choice] = []
    # A dict keeps the order of the file, which is the order of preference.
    known: dict[str, None] = {}
    for choice in choices:
        value = field(choice)
        known[value] = None
        if value.casefold() == wanted.casefold():
            kept.append(choice)
    if not kept:
        message = f"{name} has no such {what}: {wanted}. Choose from: {', '.join(known)}."
        raise LaunchRefused(message, param=_PARAMS[what])
    return kept


def _by_folded_name(families: Iterable[Family]) -> dict[str, Family]:
    return {family.name.casefold(): family for family in families}


def _mentions(words: Iterable[str], text: str) -> bool:
    folded = text.casefold()
    return all(word.casefold() in folded for word in words)


def read_folder(folder: Path) -> list[Family]:
    """The families of all YAML files in a folder, sorted by file name; empty if there is no such folder."""
    families: dict[str, Family] = {}
    for file in sorted(folder.glob("*.y*ml")):
        family = read_file(file)
        if family.name.casefold() in families:
            why = f"{family.name} is the name of another family in the same folder"
            raise ValueError(f"{file.name}: name: {why}")
        families[family.name.casefold()] = family
    return list(families.values())


def parse_yaml(text: str) -> Any:
    """Parse YAML or JSON, with ``on`` and ``off`` as strings; a YAMLError says where it is wrong."""
    return yaml.load(text, _Loader)


def read_file(file: Path) -> Family:
    """The family in one YAML file; a ValueError names the file and each wrong field."""
    try:
        return Family.model_validate(parse_yaml(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ValueError(f"{file.name}: not YAML: {err}") from err
    except ValidationError as err:
        raise ValueError(f"{file.name}: {_wrong_fields(err)}") from err


def _wrong_fields(error: ValidationError) -> str:
    lines: list[str] = []
    for each in error.errors():
        field = ".".join(map(str, each["loc"])) or "family"
        lines.append(f"{field}: {each['msg']}")
    return "; ".join(lines)


# Reading the files takes a fifth of a second, and they do not change.
@cache
def _shipped() -> tuple[Family, ...]:
    return tuple(read_folder(FAMILIES_FOLDER))


# The loader in C takes a tenth of the time, and PyYAML can be built without it.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which ``on``, ``off``, ``yes`` and ``no`` are strings, as in YAML 1.2."""


_BOOL = "tag:yaml.org,2002:bool"


def _without_bool(resolvers: Iterable[tuple[str, re.Pattern[str]]]) -> list[tuple[str, re.Pattern[str]]]:
    return [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]


# Thinking has the keys on and off, which YAML 1.1 reads as booleans. A dict of its own, as PyYAML's loaders share
# theirs.
_Loader.yaml_implicit_resolvers = {
    first: _without_bool(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|false)$"), list("tf"))
