"""Labels that stand in a hierarchy: a post with a label has the labels above it too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

# SemEval-2024 Task 4, subtask 2a: the labels that stand right above each label. A technique may have two parents.
PERSUASION: dict[str, tuple[str, ...]] = {
    "Justification": ("Logos",),
    "Reasoning": ("Logos",),
    "Simplification": ("Reasoning",),
    "Distraction": ("Reasoning",),
    "Ad Hominem": ("Ethos",),
    "Repetition": ("Logos",),
    "Obfuscation, Intentional vagueness, Confusion": ("Logos",),
    "Slogans": ("Justification",),
    "Bandwagon": ("Justification", "Ethos"),
    "Appeal to authority": ("Justification", "Ethos"),
    "Flag-waving": ("Justification", "Pathos"),
    "Appeal to fear/prejudice": ("Justification", "Pathos"),
    "Causal Oversimplification": ("Simplification",),
    "Black-and-white Fallacy/Dictatorship": ("Simplification",),
    "Thought-terminating cliché": ("Simplification",),
    "Misrepresentation of Someone's Position (Straw Man)": ("Distraction",),
    "Presenting Irrelevant Data (Red Herring)": ("Distraction",),
    "Whataboutism": ("Distraction", "Ad Hominem"),
    "Glittering generalities (Virtue)": ("Ethos",),
    "Transfer": ("Ethos", "Pathos"),
    "Doubt": ("Ad Hominem",),
    "Name calling/Labeling": ("Ad Hominem",),
    "Smears": ("Ad Hominem",),
    "Reductio ad hitlerum": ("Ad Hominem",),
    "Exaggeration/Minimisation": ("Pathos",),
    "Loaded Language": ("Pathos",),
    "Appeal to (Strong) Emotions": ("Pathos",),
}
INNER = frozenset(parent for parents in PERSUASION.values() for parent in parents)


def ancestors(name: str) -> Iterator[str]:
    """The labels above a label, the nearest first; some may come twice."""
    for parent in PERSUASION.get(name, ()):
        yield parent
        yield from ancestors(parent)


def with_ancestors(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels, and after each the ones above it."""
    return tuple(dict.fromkeys(name for label in labels for name in (label, *ancestors(label))))


def is_hierarchical(labels: Sequence[str]) -> bool:
    """Whether a label set is of the hierarchy: all of its labels are, and some of them stand above others."""
    return any(name in INNER for name in labels) and all(name in INNER or name in PERSUASION for name in labels)
