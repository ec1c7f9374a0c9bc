"""The catalog: every family that can be launched by name, and the choice of one model among a family's specs."""

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
    """One model of a family: what a launch by name comes down to."""

    family: Family
    spec: Spec
    quantization: str
    path: str
    """What the engine loads: a hub id or a folder."""


class Catalog:
    """Families by name; unchanging once loaded."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.families: Mapping[str, Family] = {family.name: family for family in families}
        self._by_folded_name = {name.casefold(): family for name, family in self.families.items()}

    @classmethod
    def load(cls, extra_folder: Path | None = None) -> Catalog:
        """The families that xinfer ships and those of ``extra_folder``, which win over shipped ones of the same name.

        A file that cannot be read as a family is a ValueError that names the file and the field.
        """
        families = {family.name.casefold(): family for family in _shipped()}
        if extra_folder is not None:
            families |= {family.name.casefold(): family for family in read_folder(extra_folder)}
        return cls(families.values())

    def extended(self, families: Iterable[Family]) -> Catalog:
        """These families and ``families``, which win over those of the same name."""
        return Catalog((self._by_folded_name | {family.name.casefold(): family for family in families}).values())

    def find(self, name: str) -> Family | None:
        """The family of that name, whatever its case."""
        return self.families.get(name) or self._by_folded_name.get(name.casefold())

    def family(self, name: str) -> Family:
        """The family of that name, whatever its case; LaunchRefused names the nearest ones if there is none."""
        family = self.find(name)
        if family is None:
            near = difflib.get_close_matches(name.casefold(), self._by_folded_name, n=3)
            if near:
                hint = f"Did you mean {' or '.join(self._by_folded_name[one].name for one in near)}? "
            else:
                hint = ""
            message = f"There is no such family: {name}. {hint}`xinfer models` lists all."
            raise LaunchRefused(message, param="model_name")
        return family

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
        """Every model of the family that has all that is asked for; what is None matches anything.

        LaunchRefused names the sizes, formats or quantizations that there are.
        """
        family = self.family(name)
        choices: list[Choice] = []
        for spec in family.specs:
            choices += [(spec, quantization) for quantization in spec.quantizations]
        if size_in_billions is not None:
            # Text that is no size matches none, and the error lists the sizes there are.
            size = canonical_size_or_text(size_in_billions)
            choices = _keep(choices, lambda spec, _: spec.size_in_billions, size, name=family.name, what="size")
        if format is not None:
            choices = _keep(choices, lambda spec, _: spec.format, format, name=family.name, what="format")
        if quantization is not None:
            choices = _keep(choices, lambda _, one: one, quantization, name=family.name, what="quantization")
        return [Selection(family, spec, one, spec.path(one)) for spec, one in choices]

    def search(self, *words: str) -> list[Family]:
        """The families in whose name or description all ``words`` occur, in any case; those with all in the name come first."""
        folded = [word.casefold() for word in words]
        found = [family for family in self.families.values() if _mentions(folded, family.name, family.description)]
        return sorted(found, key=lambda family: (not _mentions(folded, family.name), family.name.casefold()))


Choice = tuple[Spec, str]
_PARAMS = {"size": "model_size_in_billions", "format": "model_format", "quantization": "quantization"}


def _keep(
    choices: list[Choice], field: Callable[[Spec, str], str], wanted: str, *, name: str, what: str
) -> list[Choice]:
    """The choices whose field is ``wanted``, whatever its case; LaunchRefused names the values there are if none is."""
    kept = [choice for choice in choices if field(*choice).casefold() == wanted.casefold()]
    if not kept:
        known = ", ".join(dict.fromkeys(field(*choice) for choice in choices))
        raise LaunchRefused(f"{name} has no such {what}: {wanted}. Choose from: {known}.", param=_PARAMS[what])
    return kept


def _mentions(words: Iterable[str], *texts: str) -> bool:
    text = " ".join(texts).casefold()
    return all(word in text for word in words)


def read_folder(folder: Path) -> list[Family]:
    """The families of all YAML files in a folder, by file name; none if there is no such folder."""
    families: dict[str, Family] = {}
    for file in sorted(folder.glob("*.y*ml")):
        family = read_file(file)
        if family.name.casefold() in families:
            raise ValueError(f"{file.name}: name: {family.name} is the name of another family in the same folder")
        families[family.name.casefold()] = family
    return list(families.values())


def parse_yaml(text: str) -> Any:
    """What YAML, or JSON, holds, with ``on`` and ``off`` as words; a YAMLError says where it is wrong."""
    return yaml.load(text, _Loader)


def read_file(file: Path) -> Family:
    """The family in one YAML file; a ValueError names the file and each wrong field."""
    try:
        return Family.model_validate(parse_yaml(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ValueError(f"{file.name}: not YAML: {err}") from err
    except ValidationError as err:
        lines = [f"{'.'.join(map(str, each['loc'])) or 'family'}: {each['msg']}" for each in err.errors()]
        raise ValueError(f"{file.name}: " + "; ".join(lines)) from err


@cache
def _shipped() -> tuple[Family, ...]:
    return tuple(read_folder(FAMILIES_FOLDER))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the former takes a tenth of the time
    """YAML in which ``on``, ``off``, ``yes`` and ``no`` are the words they look like (as in YAML 1.2)."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|false)$"), list("tf"))
