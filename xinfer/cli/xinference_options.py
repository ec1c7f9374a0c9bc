"""Options of Xinference's ``launch`` that xinfer does not support: the server refuses them and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from xinfer.cli import engine_options

F = TypeVar("F", bound=Callable[..., Any])


class Json(click.ParamType[Any]):
    """A JSON list or object, or a value of an engine option."""

    name = "json"

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> Any:
        if isinstance(value, str):
            return engine_options.value(value)
        return value


_OPTIONS = (
    click.option("--gpu-idx", type=Json(), hidden=True),
    click.option("--replica-config", type=Json(), hidden=True),
    click.option("-lm", "--lora-modules", type=(str, str), multiple=True, hidden=True),
    click.option("-qc", "--quantization-config", type=(str, Json()), multiple=True, hidden=True),
    click.option("--enable-virtual-env/--disable-virtual-env", default=None, hidden=True),
    click.option("-vp", "--virtual-env-package", multiple=True, hidden=True),
    click.option("--virtual-env-find-link", multiple=True, hidden=True),
)


def xinference_options(command: F) -> F:
    """Add these options to ``launch``; ``--help`` does not show them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def as_keywords(options: dict[str, Any]) -> dict[str, Any]:
    """The options as keywords of the client's ``launch_model``."""
    sent = dict(options)
    loras = [{"lora_name": name, "local_path": path} for name, path in sent.pop("lora_modules")]
    sent["peft_model_config"] = {"lora_list": loras} if loras else None
    sent["virtual_env_packages"] = list(sent.pop("virtual_env_package")) or None
    sent["virtual_env_find_links"] = list(sent.pop("virtual_env_find_link")) or None
    quantization = sent.pop("quantization_config")
    # Left out if unset: it would be an engine argument, and None a value of it.
    if quantization:
        sent["quantization_config"] = dict(quantization)
    return sent
