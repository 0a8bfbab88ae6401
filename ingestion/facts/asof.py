"""What the revision log said at a moment."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def as_of(log: pa.Table, moment: int | None = None) -> pa.Table:
    """Of each fact the last revision known by ``moment`` (us, inclusive; None: by now), retracted facts left out.

    log: FACTS, of any devices, of one rules version, in its order; the answer keeps it. Equal to what a build of the
    raw records received by then leaves standing.
    """
    if moment is not None:
        log = log.filter(pc.less_equal(log["available_at"].cast(pa.int64()), moment))
    if not log.num_rows:
        return log
    facts = np.asarray(pc.dictionary_encode(log["fact_id"]).combine_chunks().indices)
    _, from_end = np.unique(facts[::-1], return_index=True)  # a fact's revisions come in order of moment
    last = log.take(pa.array(np.sort(len(facts) - 1 - from_end)))
    return last.filter(pc.not_equal(last["status"], "RETRACTED"))
