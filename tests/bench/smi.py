"""An ``nvidia-smi`` that is made up, for machines without a GPU."""

from __future__ import annotations

from pathlib import Path

NAMES = "NVIDIA H100 80GB HBM3, 81559, 580.159.04\nNVIDIA GB10, [N/A], 580.159.04\n"
VERSION = "NVIDIA-SMI version  : 580.159.04\nDRIVER version      : 580.159.04\nCUDA Version        : 13.0\n"
READING = "0, 90, 70000\n1, 0, 4\n"


def made_up_smi(folder: Path, answer: str = NAMES, reading: str = READING, version: str = VERSION) -> Path:
    """Put it into ``folder``: it gives ``answer``, or ``reading`` again and again, 50 times a second, if it is to loop.

    The process id of one that loops is in the file ``pid`` beside it.
    """
    program = folder / "nvidia-smi"
    program.write_text(
        f"""#!/bin/sh
case "$*" in
    --version) printf '{_escaped(version)}' ;;
    *--query-gpu=index\\ *) printf '0\\n1\\n' ;;
    *--loop-ms=*) echo $$ > '{folder}/pid'; while :; do printf '{_escaped(reading)}'; sleep 0.02; done ;;
    *) printf '{_escaped(answer)}' ;;
esac
"""
    )
    program.chmod(0o700)
    return program


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")
