"""`python -m mlplat`."""

from mlplat.main import run

run()
