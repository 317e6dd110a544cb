"""The pictures of the documents: drawn by their script, readable by anybody, and used."""

import re
from xml.etree import ElementTree as ET

import pytest

from docs.pictures.draw import FOLDER, pictures
from tests.support.documents import documents
from tests.support.servers import ROOT

_SVG = "{http://www.w3.org/2000/svg}"
NAMES = sorted(pictures())


def used() -> list[tuple[str, str, str]]:
    """(document, alternative text, file) of every picture in a document."""
    return [
        (document, alternative, target)
        for document in documents()
        for alternative, target in re.findall(
            r"!\[([^\]]*)\]\(([^)]+)\)", (ROOT / document).read_text()
        )
    ]


def test_the_pictures_are_those_that_are_drawn() -> None:
    drawn = {name: picture.svg() for name, picture in pictures().items()}
    assert {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.svg")} == drawn


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_says_in_words_what_it_shows(name: str) -> None:
    root = ET.fromstring((FOLDER / name).read_text("utf-8"))  # noqa: S314 - our own file
    described = root.get("aria-labelledby", "").split()
    texts = {one.get("id"): one.text for one in root.iter() if one.get("id") in described}
    assert set(texts) == set(described) == {"title", "description"}
    assert all(texts.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_for_light_and_dark_pages_and_loads_nothing(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    light, _, dark = text.partition("@media (prefers-color-scheme: dark)")
    for colour in (".ground", "text", ".line"):
        assert f"{colour} {{" in light
        assert f"{colour} {{" in dark
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg\")", text) == []
    assert "<script" not in text


def test_every_picture_stands_in_a_document_with_an_alternative() -> None:
    found = used()
    assert {target.rpartition("/")[2] for _, _, target in found} >= set(NAMES)
    for document, alternative, target in found:
        assert len(alternative) > 20, f"{document}: {target}"
