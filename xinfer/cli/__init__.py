"""The command ``xinfer``, a thin layer over the client. Imports that take long wait for a command that needs them."""

from xinfer.cli.group import main, xinfer

__all__ = ["main", "xinfer"]
