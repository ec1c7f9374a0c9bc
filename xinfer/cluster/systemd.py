"""systemd units for a head or a node: their text, and the word to systemd that the server is up."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xinfer.settings import DRAIN_TIMEOUT_S

START_TIMEOUT_S = 600
"""A head on a busy machine takes up to three minutes; waiting for another cluster's start comes on top."""
_AFTER_DRAIN_S = 60.0
"""Between the end of the drain and SIGKILL."""

_HARDENING = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
UMask=0077
# Not here on purpose: PrivateDevices and ProtectClock, which hide the GPUs; MemoryDenyWriteExecute, since torch and Triton
# compile code as they run."""


@dataclass(frozen=True, slots=True)
class Unit:
    """``words`` are those of ``xinfer start``; ``command`` is the program's absolute path."""

    command: str
    words: tuple[str, ...] = ()
    user: str | None = None
    """The user of a system's unit; None makes a unit for the service manager of one user."""
    drain_timeout_s: float = DRAIN_TIMEOUT_S

    @property
    def is_node(self) -> bool:
        """Whether it joins a head elsewhere."""
        return any(word == "--join" or word.startswith("--join=") for word in self.words)

    @property
    def name(self) -> str:
        return "xinfer-node.service" if self.is_node else "xinfer-head.service"

    @property
    def folder(self) -> Path:
        """Where systemd looks for units that an administrator, or this user, has made."""
        if self.user:
            return Path("/etc/systemd/system")
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config) / "systemd" / "user"

    def text(self) -> str:
        """The unit's file."""
        sections = [self._unit(), self._service(), f"[Install]\nWantedBy={self._target}\n"]
        return "\n".join(sections)

    @property
    def _target(self) -> str:
        return "multi-user.target" if self.user else "default.target"

    def _unit(self) -> str:
        role = "worker node" if self.is_node else "head"
        lines = ["[Unit]", f"Description=xinfer {role}: serves language models"]
        if self.user:
            lines += ["Wants=network-online.target", "After=network-online.target"]
        # A head that cannot start is tried six times within half an hour, then left for somebody to look at.
        lines += ["StartLimitIntervalSec=1800", "StartLimitBurst=6", ""]
        return "\n".join(lines)

    def _service(self) -> str:
        words = [self.command, "start", "--foreground", "--drain-timeout", f"{self.drain_timeout_s:g}", *self.words]
        lines = [
            "[Service]",
            "# xinfer says when it takes requests; models may still be on their way up.",
            "Type=notify",
            f"ExecStart={' '.join(map(_quoted, words))}",
            *self._places(),
            "Restart=on-failure",
            "RestartSec=10",
            "# Wrong usage: another start would fail alike.",
            "RestartPreventExitStatus=2",
            f"TimeoutStartSec={START_TIMEOUT_S}",
            "# SIGTERM to xinfer alone, which drains, then ends its processes; SIGKILL to all that is left.",
            "KillMode=mixed",
            f"TimeoutStopSec={self.drain_timeout_s + _AFTER_DRAIN_S:g}",
            "# An engine that runs out of memory is replaced by its cluster; the service goes on.",
            "OOMPolicy=continue",
            "LimitNOFILE=1048576",
            "LimitMEMLOCK=infinity",
            "TasksMax=infinity",
        ]
        if self.user:
            # A program below a home is still to be found, but nothing there can be changed.
            below_home = self.command.startswith(("/home/", "/root/"))
            lines += _HARDENING.format(protect_home="read-only" if below_home else "yes").splitlines()
        return "\n".join([*lines, ""])

    def _places(self) -> list[str]:
        if not self.user:
            return ["EnvironmentFile=-%h/.config/xinfer/xinfer.env"]
        return [
            f"User={self.user}",
            "StateDirectory=xinfer",
            "StateDirectoryMode=0700",
            "CacheDirectory=xinfer",
            "WorkingDirectory=%S/xinfer",
            "Environment=HOME=%S/xinfer XINFER_HOME=%S/xinfer HF_HOME=%C/xinfer/huggingface",
            "EnvironmentFile=-/etc/xinfer/xinfer.env",
        ]


def _quoted(word: str) -> str:
    """A word as systemd reads it: ``%`` and ``$`` stand for themselves when they are doubled."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if shlex.quote(plain) == plain or not set(plain) & set(" \t\"'\\;"):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def notify(*states: str) -> bool:
    """Tell the service manager, if there is one, such as ``READY=1``; returns whether somebody was told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        told.sendto("\n".join(states).encode(), address)
        return True
    return False


def check_command(path: str) -> None:
    """``ValueError`` unless a service manager can start ``path``."""
    if not Path(path).is_absolute() or not os.access(path, os.X_OK):
        raise ValueError(f"{path}: expected the absolute path of the program xinfer")


def start_words(words: Sequence[str]) -> tuple[str, ...]:
    """The words for ``start``, without those that a unit sets itself. ``ValueError`` for one that cannot be set."""
    taken = [word for word in words if word.partition("=")[0] in ("--foreground", "--drain-timeout")]
    if taken:
        raise ValueError(f"{taken[0]} is set by the unit; --drain-timeout goes before the double dash")
    return tuple(words)
