"""Parity: what a server fed its model equals the offline features as they were known when it answered.

Answers are sampled from the prediction log. Their features are made anew from the stored fact revisions that had
become known by the moment of the answer (``available_at``), by the very folds and the very join that training rests
on, and compared bit for bit. Four things can be found, and two of them may be:

* ``behind``: it is what was known earlier. News waits until the online store is loaded; longer than the ``lag`` allowed
  is a mismatch.
* ``mixed``: part of it is what was known at one moment, part at another: the online store was being loaded, row by row.
  As with ``behind``, for so long only.
* ``ahead``: it is what became known only later. Nobody can have known it: a fact leaked, or its ``available_at`` lies.
* ``different``: it is what was never known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow.compute as pc

from ingestion.facts.store import read_facts_of
from ingestion.features.fold import fold_facts
from monitoring.offline import Difference, Offline, differences
from monitoring.sampled import Logged, sample_answers
from monitoring.windows import Window
from parked.clock import from_us
from parked.settings import Settings

NEAREST: Final = 500
"""So many states of a phone before and after an answer are looked through for the one that was served."""

Verdict = Literal["behind", "mixed", "ahead", "different"]


@dataclass(frozen=True)
class Mismatch:
    """An answer that rests on something else than what was known."""

    verdict: Verdict
    answer_id: str
    device_id: str
    answered_us: int
    seconds: float | None
    """Behind, mixed: how long news had waited. Ahead: how long before it was known it was served. Different: None."""
    differences: tuple[Difference, ...]
    """Against what was known when it answered."""


@dataclass(frozen=True)
class Parity:
    """What a check found."""

    answers: int
    candidates: int
    """Rows compared, every feature of each."""
    equal: int
    """Answers that rest on all that was known."""
    behind: int
    """Answers that rest on a little less, within the lag allowed."""
    mixed: int
    """Answers that rest in part on a little less, within the lag allowed."""
    most_behind_s: float
    as_if_live: int
    """Answers not judged: their phones' times of receipt are stated, not observed."""
    mismatches: tuple[Mismatch, ...]


def check_parity(
    settings: Settings,
    window: Window | None = None,
    *,
    most: int = 500,
    lag_s: float = 3600.0,
    progress: Callable[[int], object] = lambda _answers: None,
) -> Parity:
    """Compare at most ``most`` logged answers of the rules in use with what was known then.

    ``window``: of the moment of the answer; None: the whole log. ``lag_s``: seconds that news may wait for the online
    store. ``progress`` is called with the number of answers just judged. Raises InputError for a damaged log, facts
    that are not there, or a model that eats what no feature service serves.
    """
    answers = sample_answers(settings.predictions_dir, window, most, settings.rules)
    found: list[Mismatch] = []
    equal = as_if_live = 0
    late: defaultdict[Verdict, list[float]] = defaultdict(list)
    if answers:
        facts = read_facts_of(settings, settings.rules, {answer.device_id for answer in answers})
        stated = set(pc.unique(facts.filter(facts["as_if_live"])["device_id"]).to_pylist())
        judged = [answer for answer in answers if answer.device_id not in stated]
        as_if_live = len(answers) - len(judged)
        for mismatch in judge(judged, Offline(fold_facts(facts))):
            if mismatch is None:
                equal += 1
            elif mismatch.verdict in ("behind", "mixed") and (mismatch.seconds or 0.0) <= lag_s:
                late[mismatch.verdict].append(mismatch.seconds or 0.0)
            else:
                found.append(mismatch)
            progress(1)
    return Parity(
        answers=len(answers),
        candidates=sum(answer.rows for answer in answers),
        equal=equal,
        behind=len(late["behind"]),
        mixed=len(late["mixed"]),
        most_behind_s=max((seconds for its in late.values() for seconds in its), default=0.0),
        as_if_live=as_if_live,
        mismatches=tuple(found),
    )


def judge(answers: Sequence[Logged], offline: Offline) -> Iterator[Mismatch | None]:
    """What is wrong with each answer; None: it rests on all that was known when it was given."""
    at_once = differences([(answer, answer.answered_us) for answer in answers], offline)
    for answer, found in zip(answers, at_once, strict=True):
        yield _explain(answer, found, offline) if found else None


def _explain(answer: Logged, found: tuple[Difference, ...], offline: Offline) -> Mismatch:
    """Which moment's state was served: the nearest earlier one, two of them, the nearest later one, or none."""
    changes = offline.changes(answer.device_id)
    now = bisect_right(changes, answer.answered_us)
    # What was known before the first change is nothing at all: a state of its own.
    earlier = [changes[0] - 1, *changes[: now - 1]][-NEAREST:] if now else []
    later = changes[now : now + NEAREST]
    states = differences([(answer, us) for us in (*earlier, *later)], offline)
    same = [us for us, other in zip((*earlier, *later), states, strict=True) if not other]
    told = answer.answer_id, answer.device_id, answer.answered_us

    def waited_s(served_us: int) -> float:
        return (answer.answered_us - changes[bisect_right(changes, served_us)]) / 1e6

    before = [us for us in same if us <= answer.answered_us]
    if before:
        return Mismatch("behind", *told, waited_s(before[-1]), found)
    mixed = _older_of_two([*zip(earlier, states, strict=False), (answer.answered_us, found)])
    if mixed is not None:
        return Mismatch("mixed", *told, waited_s(mixed), found)
    if same:
        return Mismatch("ahead", *told, (same[0] - answer.answered_us) / 1e6, found)
    return Mismatch("different", *told, None, found)


def _older_of_two(states: Sequence[tuple[int, tuple[Difference, ...]]]) -> int | None:
    """The older of two states that between them hold every value served, as new as can be.

    ``states``: moment (us) and what differs from it, ascending.
    """
    missed = [(us, {(d.candidate_id, d.feature) for d in found}) for us, found in states]
    for older in range(len(missed) - 2, -1, -1):
        us, misses = missed[older]
        if any(misses.isdisjoint(newer) for _, newer in missed[older + 1 :]):
            return us
    return None


def as_dict(mismatch: Mismatch) -> dict[str, object]:
    """For JSON."""
    told = {"verdict": mismatch.verdict, "answer_id": mismatch.answer_id, "device_id": mismatch.device_id}
    at = {"answered_at": from_us(mismatch.answered_us).isoformat(), "seconds": mismatch.seconds}
    return {**told, **at, "differences": [difference._asdict() for difference in mismatch.differences]}
