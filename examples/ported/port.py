"""Port the programs in ``pytorch/`` by the list in ``replacements.txt``: ``python examples/ported/port.py``."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def replacements() -> list[tuple[str, str]]:
    """The list, in order: (what stands there, what takes its place)."""
    lines = (HERE / "replacements.txt").read_text(encoding="utf-8").split("\n")
    pairs = (line.split(" => ") for line in lines if " => " in line and not line.startswith("#"))
    return [(old.replace("\\n", "\n"), new.replace("\\n", "\n")) for old, new in pairs]


def ported(text: str) -> str:
    """A PyTorch program as one of ours."""
    for old, new in replacements():
        text = text.replace(old, new)
    return text


def main() -> None:
    """Write each program."""
    for path in sorted((HERE / "pytorch").glob("*.py")):
        (HERE / path.name).write_text(ported(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(HERE / path.name)


if __name__ == "__main__":
    main()
