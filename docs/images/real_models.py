"""Draws the pictures of docs/real-models.md: what the examples in examples/real_models draw, without any number in it.

``python docs/images/real_models.py``; the examples fetch their packages with pip.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from pathlib import Path

from tinygrad_rnn import viz

IMAGES = Path(__file__).parent
EXAMPLES = ("g2p", "g2pm", "silero", "chars2vec", "textgenrnn", "jieba_lac", "nagisa_dynet")
#: a box says in its tooltip what its value is: here this would be numbers of somebody's weights
NUMBERS = re.compile(r'&#10;value: (?:(?!&#10;|").)*')


def main() -> None:
    """Run every example; of what it draws only the structure is kept."""
    sys.path.insert(0, str(IMAGES.parents[1] / "examples/real_models"))
    packages = importlib.import_module("packages")
    for name in EXAMPLES:
        picture = IMAGES / f"real-{name.replace('_', '-')}.svg"
        packages.shown = lambda loss, _page, title, picture=picture: picture.write_text(
            NUMBERS.sub("", viz.render(loss, title=title).svg)
        )
        with tempfile.TemporaryDirectory() as folder:
            importlib.import_module(name).main(Path(folder))
        print(picture)


if __name__ == "__main__":
    main()
