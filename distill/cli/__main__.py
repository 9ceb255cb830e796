"""`python -m distill.cli`, for launchers that take a module."""

from distill.cli.main import run

run()
