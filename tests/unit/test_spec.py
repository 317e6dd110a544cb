"""docs/spec: what the server computes of it, and the implementation in Node."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.documents import SPEC, blocks
from tests.support.servers import ROOT
from tests.unit.core.vector_files import FILES, cases
from tests.vectors.files import FOLDER, texts
from token_service.domain.pairing.qr_codes import read_code
from token_service.domain.sessions.exchange_fingerprint import Purpose, fingerprint

PROGRAM = ROOT / "docs" / "spec" / "check_vectors.mjs"


def node() -> str:
    """Where Node is; skips the test where it is not."""
    found = shutil.which("node", path=str(ROOT / ".venv-node" / "bin")) or shutil.which("node")
    if found is None:
        pytest.skip("needs Node: `make spec-check` installs it")
    return found


def test_the_vectors_are_those_that_are_generated() -> None:
    written = {path.name: path.read_text("ascii") for path in FOLDER.iterdir()}
    assert written == texts()


@cases("derived.json", "fingerprints")
def test_fingerprints(case: dict[str, Any]) -> None:
    found = fingerprint(
        Purpose(case["purpose"]),
        bytes.fromhex(case["exchange_id"]),
        UUID(case["lookup_id"]),
        case["generation"],
        case["client_id"],
    )
    assert found is not None
    assert found.hex() == case["expect"]


@cases("derived.json", "pairing_codes")
def test_pairing_codes(case: dict[str, Any]) -> None:
    assert read_code(case["text"]) == case["expect"]


def test_the_documented_command_runs_all_vectors() -> None:
    node()
    (block,) = blocks(SPEC, "spec")
    done = subprocess.run(
        ["/bin/sh", "-ec", block.code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("all hold") == len(FILES)


def test_a_wrong_expectation_is_noticed_in_every_section(tmp_path: Path) -> None:
    """Else the program would have proved nothing."""
    program = node()
    changed = []
    for name, file in FILES.items():
        copy = json.loads(json.dumps(file))
        for section in (one for one in copy if isinstance(copy[one], list)):
            case = copy[section][-1]
            holder = case if "expect" in case else (case.get("steps") or case["questions"])[-1]
            holder["expect"] = "something else"
            changed.append(f"{name}, {section}: {case['name']}")
        (tmp_path / name).write_text(json.dumps(copy))
    done = subprocess.run([program, PROGRAM, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if not line.startswith("  ")]
    assert sorted(failed) == sorted(changed)


def test_a_file_without_a_check_is_noticed(tmp_path: Path) -> None:
    program = node()
    shutil.copytree(FOLDER, tmp_path / "vectors")
    (tmp_path / "vectors" / "new.json").write_text("{}")
    done = subprocess.run(
        [program, PROGRAM, tmp_path / "vectors"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "new.json" in done.stderr
