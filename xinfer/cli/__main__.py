"""``python -m xinfer.cli`` is ``xinfer``."""

from xinfer.cli import main

main()
