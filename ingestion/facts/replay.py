"""``parked facts replay``: one device's part of the stored log made anew from raw; nothing else moves."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.facts.build import facts_of
from ingestion.facts.raw import Raw, raw_records
from ingestion.facts.rules import Rules
from ingestion.facts.store import facts_file, read_stored, write_facts, writing
from parked.errors import ConflictError, NotFoundError
from parked.schemas import FACTS
from parked.settings import Settings


@dataclass(frozen=True)
class Replayed:
    """What a replay found."""

    revisions: int
    """of the device, from raw"""
    changed: int
    """stored revisions that were not so, and ones that were missing"""


def replay(settings: Settings, raw: Raw, rules: Rules, device: str, since: int | None = None) -> Replayed:
    """Recompute a device from raw, as far as the stored log goes, and put it into the log.

    since: replace only what was known from this moment (us) on. Raises NotFoundError where neither raw nor facts know
    the device, ConflictError where its facts known before ``since`` are not what raw says.
    """
    with writing(settings, rules):
        stored = read_stored(settings, rules, raw.position())
        records = raw_records(raw, [device], upto=stored.position)
        fresh = facts_of(records, rules) if len(records.records) else FACTS.empty_table()
        own = stored.of(device)
        if not len(records.records) and not own.num_rows:
            raise NotFoundError(f"device {device!r}: neither raw records nor facts", mend="check the id")
        if since is not None and not _before(own, since).equals(_before(fresh, since)):
            raise ConflictError(
                f"{facts_file(settings, rules.version)}: facts of {device!r} known before then are not what raw says",
                mend="replay without --since",
            )
        was, now = ({str(row) for row in table.to_pylist()} for table in (own, fresh))
        if was != now or own.num_rows != fresh.num_rows:

            def change(part: pa.Table, after: str | None, upto: str | None) -> pa.Table:
                if (after is not None and device <= after) or (upto is not None and device > upto):
                    return part
                begin, beyond = (
                    pc.sum(compare(part["device_id"], device)).as_py() or 0 for compare in (pc.less, pc.greater)
                )
                return pa.concat_tables([part.slice(0, begin), fresh, part.slice(part.num_rows - beyond)])

            write_facts(settings, rules, stored.changed(change), stored.position)
        return Replayed(fresh.num_rows, len(was ^ now))


def _before(facts: pa.Table, moment: int) -> pa.Table:
    return facts.filter(pc.less(facts["available_at"].cast(pa.int64()), moment)).combine_chunks()
