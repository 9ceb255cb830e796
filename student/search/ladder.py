"""The candidates of a search: families of settings, in which a list stands for each of its values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from distill.core.errors import BackboneError, RecipeError
from distill.core.extras import install_command
from distill.core.output.terminal import note
from distill.core.settings.model_config import STATIC, TextTower
from distill.core.settings.recipe import Recipe, StudentConfig
from distill.core.settings.schema import build_dataclass, flatten, merge_table, nested, parse_override, read_toml
from distill.core.untrusted import short_repr, shorten
from distill.runtime.bundle import Precision

# Settings by dotted keys or as nested tables, as TOML has them; a list holds several values.
Family = dict[str, Any]

MAX_CANDIDATES = 256
STATIC_RATE = 5e-4  # of static vectors that begin at a probe: an encoder's rates are too small for them
NAME = re.compile(r"(?!.*-(fp32|run)$)\w[\w+-]{0,99}")  # a folder's; those endings are of what stands beside it
PRECISION = "precision"  # of the Bundle: what a family may say beside the keys of a recipe
PRECISIONS = ("int8", "int4")
# The same for all, as they are judged by it.
FIXED = ("student.out_of_fold", "student.threshold_objective")
LAYERS, SIZES, VOCABULARY = (6, 4, 3, 2, 1), (160, 128), 8000  # of the default ladder


@dataclass(frozen=True)
class Candidate:
    """A student that the search may recommend: its whole recipe, and `settings`, those of its family."""

    name: str
    settings: dict[str, Any]
    recipe: Recipe
    precision: Precision = "int8"

    @property
    def config(self) -> StudentConfig:
        """How it is trained: always in folds, out of which all are judged."""
        return replace(self.recipe.student, out_of_fold=True)

    @property
    def whole_recipe(self) -> Recipe:
        """The recipe with that student."""
        return replace(self.recipe, student=self.config)

    def depends_on(self) -> dict[str, Any]:
        """All that decides what becomes of it."""
        return {"student": asdict(self.config), "export": asdict(self.recipe.export), PRECISION: self.precision}


def read_ladder(path: Path) -> dict[str, Family]:
    """The families of a TOML file, a table each. Raises RecipeError."""
    tree = read_toml(path)
    for name, family in tree.items():
        if not isinstance(family, dict):
            raise RecipeError(
                f"{path}: {shorten(name)} is a value, not a table; begin a family of candidates with [NAME]"
            )
    if not tree:
        raise RecipeError(f"{path}: has no candidates; begin a family of them with [NAME]")
    return tree


def parse_family(words: Iterable[str]) -> Family:
    """The family of some KEY=VALUE, by dotted keys. Raises RecipeError."""
    family: Family = {}
    for word in words:
        family |= flatten(parse_override(word))
    return family


def ladder_of(path: Path | None, tries: Mapping[str, Family], base: Recipe) -> tuple[Candidate, ...]:
    """The candidates of a file and of `tries`, families by name; without either, those of the default ladder.
    Raises RecipeError, and BackboneError for a text encoder that cannot be loaded."""
    families = {} if path is None else read_ladder(path)
    if both := families.keys() & tries.keys():
        raise RecipeError(f"{path} has a family {min(both)} too; give --try {min(both)} another name")
    families |= tries
    if not families:
        tower = base.student.text
        able = tower.fine_tuned and tower.ngrams != "only"
        has_library = find_spec("model2vec") is not None
        if able and not has_library:
            note(f"no static text encoders among the candidates: they need model2vec; {install_command('static')}")
        families = default_ladder(base, prunable_layers(tower) if able else 0, able and has_library)
    return candidates_of(families, base)


def prunable_layers(tower: TextTower) -> int:
    """How many layers a pretrained text encoder has, 0 where none can be taken away. Raises BackboneError."""
    from distill.model.encoders.pruning import prune_layers
    from distill.model.encoders.weights import pretrained_transformer

    backbone = pretrained_transformer(tower.source, "student.text.model")
    total = int(backbone.config.num_hidden_layers)
    try:
        prune_layers(backbone, 1)
    except BackboneError:  # they share their weights
        return 0
    return tower.layers or total


def default_ladder(recipe: Recipe, layers: int, with_static: bool) -> dict[str, Family]:
    """Fewer layers than the `layers` of the recipe's text encoder, with smaller images; the same with a smaller
    vocabulary, which costs no milliseconds and is tried at the recipe's image size alone; and, `with_static`,
    static vectors of the encoder in its place, from a probe on. `layers` is 0 where none can be taken away; what a
    student of one modality does not read is not varied."""
    student = recipe.student
    reads = student.head.modalities
    sizes = [student.image.size]
    if reads != "text":
        sizes += [size for size in SIZES if size < student.image.size]
    counts = [layers, *(count for count in LAYERS if count < layers)]
    has_layers = layers > 0 and reads != "image"
    depth: Family = {"layers": counts} if has_layers else {}
    families: dict[str, Family] = {"text": {"student": {"text": depth, "image": {"size": sizes}}}}
    if has_layers and not 0 < student.text.vocab_size <= VOCABULARY:
        families["pruned"] = {"student": {"text": depth | {"vocab_size": VOCABULARY}}}
    if with_static and reads != "image":
        static = {"model": f"{STATIC}{student.text.model}", "layers": 0, "pooling": "mean"}
        own: Family = {"text": static, "image": {"size": sizes}}
        if student.image.pretrained:  # else there is no probe; vectors learn little behind a random head
            own |= {"head_start": "probe", "head": {"hidden_size": 0}}
            own["head_learning_rate"] = max(student.head_learning_rate, STATIC_RATE)
        families["static"] = {"student": own}
    return families


def candidates_of(families: Mapping[str, Family], base: Recipe) -> tuple[Candidate, ...]:
    """Every combination of every family's values, over the settings of `base`. Raises RecipeError for a name, key
    or value that cannot be, for the same student twice, and for too many."""
    result: list[Candidate] = []
    for name, family in families.items():
        if not NAME.fullmatch(name):
            raise RecipeError(
                f"{short_repr(name)} cannot name a family of candidates; use letters, digits, _, + and -, "
                "at most 100, without -fp32 or -run at the end"
            )
        for candidate in _combinations(name, family, base):
            result.append(candidate)
            if len(result) > MAX_CANDIDATES:
                raise RecipeError(
                    f"{name}: the ladder has more than {MAX_CANDIDATES} candidates; name fewer values"
                )
    first: dict[str, str] = {}
    for candidate in result:
        twin = first.setdefault(repr(candidate.depends_on()), candidate.name)
        if twin != candidate.name:
            raise RecipeError(f"{twin} and {candidate.name} are the same student; leave one out")
    names = [candidate.name for candidate in result]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RecipeError(f"two candidates would be called {min(twice)}; name their families apart")
    if taken := [name for name in names if name.endswith(("-fp32", "-run"))]:
        raise RecipeError(
            f"a candidate would be called {taken[0]}, which is a folder of the search's own; rename it"
        )
    return tuple(result)


def _combinations(name: str, family: Family, base: Recipe) -> Iterator[Candidate]:
    flat = flatten(family)
    several = {key: value for key, value in flat.items() if isinstance(value, list)}
    if empty := [key for key, values in several.items() if not values]:
        raise RecipeError(f"{name}: {empty[0]} is an empty list; name its values")
    fixed = {key: value for key, value in flat.items() if key not in several}
    ends = [key.rpartition(".")[2] for key in several]
    for values in product(*several.values()):
        chosen = dict(zip(several, values, strict=True))
        parts = [
            f"{'-'.join(key.split('.')[-2:]) if ends.count(end) > 1 else end}-{_word(value)}"
            for end, (key, value) in zip(ends, chosen.items(), strict=True)
        ]
        yield _candidate("-".join([name, *parts]), fixed | chosen, base)


def _word(value: Any) -> str:
    """A value in a name: of a path or an id, what stands last."""
    text = str(value).rstrip("/").rpartition("/")[2] or str(value)
    return re.sub(r"[^\w+]+", "-", text).strip("-") or "x"


def _candidate(name: str, settings: dict[str, Any], base: Recipe) -> Candidate:
    precision = settings.get(PRECISION, "int8")
    if precision not in PRECISIONS:
        raise RecipeError(
            f"{name}: {PRECISION} must be one of {', '.join(PRECISIONS)}; got {short_repr(precision)}"
        )
    tree = asdict(base)
    keys = list(flatten(tree))
    for key, value in settings.items():
        if key == PRECISION:
            continue
        merge_table(tree, nested(key, value), name, keys)
        if key.partition(".")[0] not in ("student", "export") or key in FIXED:
            raise RecipeError(
                f"{name}: {key} is the same for all candidates, which differ in student.* and export.*; give it "
                "with --set"
            )
    try:
        recipe = build_dataclass(Recipe, tree, "recipe")
    except RecipeError as error:
        raise RecipeError(f"{name}: {error}") from error
    return Candidate(name, settings, recipe, precision)
