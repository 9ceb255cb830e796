"""placeholder"""

import click


@click.command()
def convert() -> None:
    """x"""
