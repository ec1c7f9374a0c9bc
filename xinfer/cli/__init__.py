"""The command ``xinfer``: a thin skin over the client. Nothing heavy is imported before a command needs it."""

from xinfer.cli.group import main, xinfer

__all__ = ["main", "xinfer"]
