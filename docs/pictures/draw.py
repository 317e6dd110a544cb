"""python docs/pictures/draw.py: draw the pictures of the documents, in the folder of this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from docs.pictures.architecture import architecture
from docs.pictures.exchange import exchange
from docs.pictures.svg import Picture

FOLDER = Path(__file__).parent


def pictures() -> dict[str, Picture]:
    """Every picture by the name of its file."""
    return {"architecture.svg": architecture(), "exchange.svg": exchange()}


if __name__ == "__main__":
    for name, picture in pictures().items():
        (FOLDER / name).write_text(picture.svg(), encoding="utf-8")
