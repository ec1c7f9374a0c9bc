"""Switches in both spellings: ``--stream``/``--no-stream``, and ``--stream true`` as Xinference's users write it."""

from __future__ import annotations

import click

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class SwitchCommand(click.Command):
    """A command whose ``--x/--no-x`` options may be followed by ``true`` or ``false``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._folded(args))

    def _folded(self, args: list[str]) -> list[str]:
        opposites = self._opposites()
        folded: list[str] = []
        for arg in args:
            previous = folded[-1] if folded else ""
            if previous in opposites and arg.lower() in _WORDS:
                folded[-1] = previous if _WORDS[arg.lower()] else opposites[previous]
            else:
                folded.append(arg)
        return folded

    def _opposites(self) -> dict[str, str]:
        switches = [param for param in self.params if isinstance(param, click.Option) and param.secondary_opts]
        return {on: switch.secondary_opts[0] for switch in switches for on in switch.opts}
