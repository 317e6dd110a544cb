"""Every snippet of every document is run by a test, and what is named in passing exists."""

import re
from collections.abc import Mapping
from importlib.util import find_spec

import pytest
from typer.main import get_command

from tests.support.documents import (
    CLIENT_README,
    CODES,
    GATEWAYS,
    OPERATIONS,
    PAIRING,
    QR_README,
    README,
    SPEC,
    Block,
    blocks,
    documents,
)
from tests.support.servers import ROOT
from token_service.cli.main import app
from token_service.cli.variables import OF_THE_COMMAND_LINE
from token_service.config import settings_table

RUN_BY: Mapping[tuple[str, str], str] = {
    (README, "entrance"): "tests/e2e/checkout.py",
    (README, "tour"): "tests/e2e/test_readme.py",
    (README, "tour fails"): "tests/e2e/test_readme.py",
    (README, "tour python"): "tests/e2e/test_readme.py",
    (GATEWAYS, "grpcurl"): "tests/e2e/test_readme.py",
    (GATEWAYS, "tour"): "tests/e2e/test_readme.py",
    (CODES, "tour"): "tests/e2e/test_readme.py",
    (PAIRING, "terminals"): "tests/e2e/test_readme.py",
    (README, "terminals"): "tests/e2e/test_readme.py",
    (OPERATIONS, "production"): "tests/e2e/test_production.py",
    (OPERATIONS, "administration"): "tests/e2e/test_production.py",
    (OPERATIONS, "probes"): "tests/e2e/test_production.py",
    (OPERATIONS, "audit"): "tests/e2e/test_production.py",
    (OPERATIONS, "patroni"): "tests/faults/test_patroni_cluster.py",
    (SPEC, "spec"): "tests/unit/test_spec.py",
    (QR_README, "terminals"): "tests/e2e/test_readme.py",
    (CLIENT_README, "installing"): "tests/e2e/test_client_readme.py",
    (CLIENT_README, ""): "tests/e2e/test_client_readme.py",
    (CLIENT_README, "clients/examples/gateway_asgi.py"): "tests/e2e/test_client_examples.py",
    (CLIENT_README, "clients/examples/service_client.py"): "tests/e2e/test_client_examples.py",
}
"""What runs the blocks with a mark. A new block needs a mark that is here, or one of its own
with something that runs it."""

BLOCKS = [block for document in documents() for block in blocks(document)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_is_run_or_is_output(block: Block) -> None:
    assert block.language, "say which language it is; output is `text`"
    if block.language == "text":
        return
    runner = RUN_BY.get((block.document, block.mark))
    assert runner is not None, f"nothing runs {block.place}"
    assert (ROOT / runner).is_file()


def test_the_changelog_is_well_formed() -> None:
    """Merges put lines of several authors one after the other."""
    paragraphs = (ROOT / "CHANGELOG.md").read_text().rstrip("\n").split("\n\n")
    _, _, unreleased, *sections = paragraphs
    assert unreleased == "## Unreleased"
    assert sorted(sections[::2]) == ["### Added", "### Changed", "### Fixed", "### Security"]
    entries = re.split(r"\n(?!  \S)", "\n".join(sections[1::2]))
    assert [entry for entry in entries if not entry.startswith("- ")] == []
    assert sorted(entries) == sorted(set(entries))


def test_what_runs_blocks_has_blocks_to_run() -> None:
    assert set(RUN_BY) <= {(block.document, block.mark) for block in BLOCKS}


def spans() -> list[tuple[str, str]]:
    """Code within sentences and tables: (document, code)."""
    return [
        (document, " ".join(code.split()))
        for document in documents()
        for code in re.findall(r"`([^`]+)`", without_blocks((ROOT / document).read_text()))
    ]


def without_blocks(text: str) -> str:
    """The text without what is fenced."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def test_commands_that_are_named_exist() -> None:
    named = [code.split() for _, code in spans() if code.startswith("token-service ")]
    assert len(named) >= 5
    for words in named:
        command = get_command(app)
        for word in words[1:]:
            if word.startswith("-"):
                options = {"--help"}.union(*(one.opts for one in command.params))
                assert word in options, words
            elif hasattr(command, "get_command"):
                command = command.get_command(None, word)
                assert command is not None, words


def test_modules_that_are_named_exist() -> None:
    named = {code.split()[2] for _, code in spans() if code.startswith("python -m ")}
    assert named
    for module in named:
        assert find_spec(module) is not None, module


def test_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {code.split()[1] for _, code in spans() if code.startswith("make ")}
    assert named
    assert named <= targets


def test_links_lead_to_files_and_headings_that_exist() -> None:
    links = [
        (document, *target.partition("#")[::2])
        for document in documents()
        for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks((ROOT / document).read_text()))
        if "://" not in target
    ]
    assert len(links) >= 5
    for document, file, heading in links:
        path = (ROOT / document).parent / file if file else ROOT / document
        assert path.exists(), f"{document} links to {file}"
        if heading:
            assert heading in headings(path.read_text()), f"{document} links to {file}#{heading}"


def headings(text: str) -> set[str]:
    """The names of a document's headings, as links have them."""
    return {
        re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE)
    }


def test_variables_that_are_named_exist() -> None:
    settings = set(re.findall(r"TOKEN_SERVICE_[A-Z0-9_]+", settings_table()))
    known = settings | OF_THE_COMMAND_LINE
    for document in documents():
        for name in re.findall(r"TOKEN_SERVICE_[A-Z0-9_]+", (ROOT / document).read_text()):
            plain = name.removesuffix("_FILE").rstrip("_")
            assert name in known or plain in known or any(one.startswith(plain) for one in known), (
                f"{document} names {name}"
            )
