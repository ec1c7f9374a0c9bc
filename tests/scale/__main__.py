"""``python -m tests.scale``: the simulation at its full size, as the table of docs/scale.md. Takes minutes of one core."""

from __future__ import annotations

from tests.scale.several_supervisors import SharedReplicas, Traffic
from tests.scale.simulation import Size, measure


def main() -> None:
    print("| what | |\n|---|---|")
    for figure in measure(Size()):
        print(f"| {figure.what} | {figure.value:.3g} {figure.unit} |".replace("  |", " |"))
    print("\n| supervisors | busiest replica beside the mean | blocks met | without exchange: busiest | blocks met |")
    print("|---|---|---|---|---|")
    for supervisors in (1, 2, 4, 40):
        told, alone = (SharedReplicas(Traffic(supervisors, agree=agree)).run() for agree in (True, False))
        print(f"| {supervisors} | {told.busiest:.2f} | {told.met:.3f} | {alone.busiest:.2f} | {alone.met:.3f} |")


if __name__ == "__main__":
    main()
