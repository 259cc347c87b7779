"""Mounts the command groups; the one place where an error becomes an exit code."""


def run() -> None:
    """Run the command line."""
