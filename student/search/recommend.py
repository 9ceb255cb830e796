"""Which student to ship: the quickest that is shown not to be worse than the best, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distill.scoring.verdict import Verdict
from student.search.halving import AS_QUICK, Entrant
from student.search.report import Limits, Recommendation


def recommend(
    finalists: Sequence[Entrant], verdicts: Mapping[str, Verdict], best: str, limits: Limits, max_drop: float
) -> Recommendation:
    """Choose among the `finalists`, all within the limits; `verdicts` judge each of the others against the
    `best`."""
    by_name = {entrant.name: entrant for entrant in finalists}
    able = [entrant for entrant in finalists if entrant.name == best or verdicts[entrant.name].not_worse]
    quickest = min(able, key=lambda entrant: (entrant.ms, entrant.size_bytes))
    # Times within a few per cent are one time: the smaller file then is the better one.
    equal = [entrant for entrant in able if entrant.ms <= AS_QUICK * quickest.ms]
    chosen = min(equal, key=lambda entrant: (entrant.size_bytes, entrant.ms))
    if chosen.name == best:
        reason = _best_itself(finalists, best, verdicts, max_drop)
    else:
        reason = _cheaper(chosen, by_name[best], verdicts[chosen.name])
    if chosen is not quickest:
        reason = (*reason, f"{quickest.name} is as quick, within {AS_QUICK - 1:.0%}, and larger.")
    names = tuple(entrant.name for entrant in able)
    return Recommendation(chosen.name, best, names, max_drop, (*reason, *limits.sentences()))


def no_recommendation(limits: Limits, max_drop: float) -> Recommendation:
    """What is left to say where nothing that was trained is within the limits."""
    tried = "every finalist is over a limit, once trained and exported; what left in the rounds was not exported"
    sentence = f"Nothing is recommended: {tried}."
    return Recommendation(None, None, (), max_drop, (sentence, *limits.sentences()))


def _cheaper(chosen: Entrant, best: Entrant, verdict: Verdict) -> tuple[str, ...]:
    share, smaller = best.ms / chosen.ms, best.size_bytes / chosen.size_bytes
    return (
        f"{chosen.name} is the quickest that is shown not to be worse than the best, {best.name}, by more than "
        f"{verdict.margin:g}: {verdict.objective} F1 {verdict.gain:+.3f}.",
        f"It takes {chosen.ms:.2f} ms and {chosen.size_bytes / 1e6:.1f} MB, the best {best.ms:.2f} ms and "
        f"{best.size_bytes / 1e6:.1f} MB: {share:.2g} times its time and {smaller:.2g} times its size.",
    )


def _best_itself(
    finalists: Sequence[Entrant], best: str, verdicts: Mapping[str, Verdict], max_drop: float
) -> tuple[str, ...]:
    """Why nothing cheaper than the best is recommended."""
    others = [entrant for entrant in finalists if entrant.name != best]
    own = next(entrant for entrant in finalists if entrant.name == best)
    cheaper = [entrant for entrant in others if entrant.ms < own.ms]
    if not cheaper:
        return (f"{best} has the highest F1, and none of the finalists is quicker.",)
    needed = [verdicts[entrant.name].needed for entrant in cheaper]
    who = "The one quicker finalist" if len(cheaper) == 1 else f"Each of the {len(cheaper)} quicker finalists"
    sentence = f"{who} may be worse than {best} by more than {max_drop:g}, so {best} is recommended itself."
    known = [number for number in needed if number is not None]
    if not known:
        return (sentence,)
    return (
        sentence,
        f"These examples are few: a difference of {max_drop:g} takes about {min(known):,} labelled examples. Give "
        "a larger --max-f1-drop if you can do with less.",
    )
