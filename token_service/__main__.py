"""Entry point of the `token-service` program and of `python -m token_service`."""

from token_service.cli.main import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
