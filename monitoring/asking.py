"""Questions put to the training period as people put them: at any moment, about the phone's newest candidates.

Training judges a candidate when something new was known of it; people ask at any moment, and so mostly in the long
quiet stretches between. Held against served rows as they are, training rows differ in every feature that an event
changes, with nothing wrong at all. So the reference of served answers is what serving would have answered over the
period and the phones that the champion was trained on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from monitoring.statistics import Codes

MAX_PHONES: Final = 300
"""More would make limits a little tighter (their error falls with the root) and the reference slower to look up."""

QUESTIONS: Final = 3_000
"""Put in all: some 8,000 rows, which Feast's point-in-time join looks up in about ten seconds."""

LOOK_BACK: Final = 60
"""Candidates looked through for the newest standing ones: most are retracted within minutes (red lights)."""


def questions(snapshots: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """What answers at random moments would weigh, ordered by (device_id, asked_at_us, candidate_id).

    ``snapshots``: ``training.snapshots.read_snapshots`` (a row per candidate and moment at which it changed). Returns
    ``device_id``, ``candidate_id``, ``cell``, ``left_at_us`` (as known then) and ``asked_at_us``. Each phone is asked
    evenly over the time it was seen, once per stretch and at a random moment of it.
    """
    from training.questions import CANDIDATES
    from training.snapshots import RETRACTED

    states = _some_phones(snapshots).sort_values(["device_id", "candidate_id", "at_us"], ignore_index=True)
    phone = pd.factorize(states["device_id"])[0].astype(np.int64)
    candidate = (states["candidate_id"] != states["candidate_id"].shift()).cumsum().to_numpy(np.int64) - 1
    # milliseconds since the first moment: (phone or candidate, time) then fits one sortable integer
    origin = int(min(states["at_us"].min(), states["left_at_us"].min()))
    changed = _ms(states["at_us"], origin)
    left = _ms(states["left_at_us"], origin)
    span = int(max(changed.max(), left.max())) + 2

    asked_phone, asked = _moments(phone, changed, rng)
    last_state = np.flatnonzero(np.diff(candidate, append=-1))
    order = np.lexsort((left[last_state], phone[last_state]))
    by_left, owner = candidate[last_state][order], phone[last_state][order]
    newest = np.searchsorted(owner * span + left[last_state][order], asked_phone * span + asked, side="right") - 1
    place = newest[:, None] - np.arange(LOOK_BACK)[None, :]
    own = (place >= 0) & (owner[np.maximum(place, 0)] == asked_phone[:, None])
    question, slot = np.nonzero(own)
    looked = by_left[place[question, slot]]
    state = np.searchsorted(candidate * span + changed, looked * span + asked[question], side="right") - 1
    standing = (state >= 0) & (candidate[np.maximum(state, 0)] == looked)
    standing &= (states["status"] != RETRACTED).to_numpy()[np.maximum(state, 0)]
    question, state = question[standing], state[standing]
    rank = pd.Series(question).groupby(question).cumcount().to_numpy()
    question, state = question[rank < CANDIDATES], state[rank < CANDIDATES]
    found = states.iloc[state][["device_id", "candidate_id", "cell", "left_at_us"]]
    found = found.assign(asked_at_us=asked[question] * 1000 + origin)
    by = ["device_id", "asked_at_us", "candidate_id"]
    return pd.DataFrame(found.drop_duplicates(by).sort_values(by, ignore_index=True))


def _moments(phone: Codes, changed: Codes, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Phone and moment (ms) of every question: a random moment in each of equal stretches of the phone's time."""
    phones = int(phone.max()) + 1
    start, end = np.full(phones, changed.max()), np.zeros(phones, np.int64)
    np.minimum.at(start, phone, changed)
    np.maximum.at(end, phone, changed)
    each = max(10, QUESTIONS // phones)
    stretch = (np.arange(each)[None, :] + rng.random((phones, each))) / each
    moments = start[:, None] + (stretch * (end - start)[:, None]).astype(np.int64)
    return np.repeat(np.arange(phones), each), moments.ravel()


def _some_phones(snapshots: pd.DataFrame) -> pd.DataFrame:
    """All rows of at most MAX_PHONES phones, chosen by hash."""
    names = pd.Series(snapshots["device_id"].unique(), dtype=object)
    if len(names) <= MAX_PHONES:
        return snapshots
    chosen = names[np.argsort(pd.util.hash_array(names.to_numpy()), kind="stable")[:MAX_PHONES]]
    return pd.DataFrame(snapshots[snapshots["device_id"].isin(chosen)])


def _ms(us: pd.Series, origin: int) -> Codes:
    return np.asarray((us.to_numpy(dtype=np.int64) - origin) // 1000, dtype=np.int64)
