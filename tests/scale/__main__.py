"""``python -m tests.scale``: the simulation at its full size, as the table of docs/scale.md. Takes minutes of one core."""

from __future__ import annotations

from tests.scale.simulation import Size, measure


def main() -> None:
    print("| what | |\n|---|---|")
    for figure in measure(Size()):
        print(f"| {figure.what} | {figure.value:.3g} {figure.unit} |".replace("  |", " |"))


if __name__ == "__main__":
    main()
