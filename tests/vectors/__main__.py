"""python -m tests.vectors: write the vectors."""

from tests.vectors.files import FOLDER, texts


def main() -> None:
    """Write all files, and remove none."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
