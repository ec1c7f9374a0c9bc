"""Boolean options in two spellings: ``--stream``/``--no-stream`` and Xinference's ``--stream true``."""

from __future__ import annotations

import click

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class SwitchCommand(click.Command):
    """A command whose ``--x/--no-x`` options may be followed by ``true`` or ``false``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._folded(args))

    # click's options take a value always or never, so the word is folded into the option before click sees it.
    def _folded(self, args: list[str]) -> list[str]:
        opposites = self._opposites()
        folded: list[str] = []
        for arg in args:
            previous = folded[-1] if folded else ""
            if previous not in opposites or arg.lower() not in _WORDS:
                folded.append(arg)
            elif not _WORDS[arg.lower()]:
                folded[-1] = opposites[previous]
        return folded

    def _opposites(self) -> dict[str, str]:
        """``--no-x`` for each spelling of ``--x``."""
        opposites: dict[str, str] = {}
        for param in self.params:
            if isinstance(param, click.Option) and param.secondary_opts:
                opposites |= dict.fromkeys(param.opts, param.secondary_opts[0])
        return opposites
