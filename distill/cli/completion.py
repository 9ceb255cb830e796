"""What a shell offers when Tab is pressed: paths, and the keys and values of recipes."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem


def complete_path(_: Any, __: click.Context, ___: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For a type of click: the shell itself completes files and folders."""
    return [CompletionItem(incomplete, type="file")]


def complete_key(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A key of the recipe, with what it is for."""
    from distill.core.settings.recipe_text import settings

    return [
        CompletionItem(setting.key, help=setting.comment.split(";")[0])
        for setting in settings()
        if setting.key.startswith(incomplete)
    ]


def complete_setting(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A key, and after its = the values that a key with few of them may have."""
    key, equals, value = incomplete.partition("=")
    if not equals:
        return complete_key(context, param, key)
    from distill.core.settings.recipe import choices

    return [CompletionItem(f"{key}={choice}") for choice in choices(key) if choice.startswith(value)]
