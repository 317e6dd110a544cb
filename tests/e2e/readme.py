"""The README as a script: its marked blocks in their order, and what each shall print."""

import re
from dataclasses import dataclass

_BLOCK = re.compile(
    r"^<!-- tour(?P<kind>| fails| python) -->\n"
    r"```(?P<language>sh|python)\n(?P<code>.*?)^```\n"
    r"(?:```text\n(?P<shown>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """A block that is to be run; `shown` is what the README says that it prints."""

    code: str
    python: bool
    exit_code: int
    shown: str


def steps(text: str) -> list[Step]:
    """The tour."""
    return [
        Step(
            code=found["code"],
            python=found["kind"] == " python",
            exit_code=int(found["kind"] == " fails"),
            shown=found["shown"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def between(text: str, name: str) -> str:
    """What stands between `<!-- name -->` and `<!-- /name -->`."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def outline(printed: str) -> list[str]:
    """What does not change from one run to the next: the keys of a table with the values that
    are words of the API, and the reason of a refusal."""
    return [_fixed(line) for line in printed.splitlines() if line.strip()]


def _fixed(line: str) -> str:
    key, _, value = line.partition("  ")
    if key == "verdict" or key == "http_status" or key == "www_authenticate":
        return f"{key} {value.strip()}"
    if " " in key.strip():  # a sentence: the reason before the colon, or its first words
        return key.partition(":")[0] if ":" in key else " ".join(key.split()[:2])
    return key
