"""The stop engine on a stream: many phones alive, small batches in order of arrival, one core.

    python -m benchmarks.stream_facts [--devices 100000] [--steps 60] [--batch 100] [--late 0.01]

Every batch holds records of as many different phones as it has records: the state of each comes from main memory, which
is the worst case. Nothing is measured but the feed itself: from records with a device code, and from ids (one
dictionary lookup a record).
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from ingestion.facts.kernel.types import RECORD
from ingestion.facts.rules import load_rules
from ingestion.facts.stream import BYTES_PER_DEVICE, StopStream

START_MS = 1_767_600_000_000
E7_PER_METRE = 1 / 0.011119508023353292


def worlds(devices: int, steps: int, *, late: float, seed: int) -> np.ndarray:
    """RECORDs in order of arrival: phones that drive, walk and rest by turns, a fix each 10 s (drive) or so.

    late: share of records that arrive 20-120 s after they were measured; the others at once.
    """
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(-60, 60, devices) * 1e7, rng.uniform(-179, 179, devices) * 1e7
    mode = rng.choice(3, devices, p=[0.3, 0.2, 0.5])  # drive, walk, rest
    heading = rng.uniform(0, 2 * np.pi, devices)
    parts = []
    for step in range(steps):
        turn = rng.random(devices) < 0.04
        mode = np.where(turn, rng.choice(3, devices, p=[0.3, 0.2, 0.5]), mode)
        heading = heading + rng.normal(0, 0.2, devices)
        speed = np.array([14.0, 1.4, 0.0])[mode]
        lat += speed * 10 * np.cos(heading) * E7_PER_METRE
        lon += speed * 10 * np.sin(heading) * E7_PER_METRE / np.cos(np.radians(lat / 1e7))
        r = np.zeros(devices, RECORD)
        r["device"] = np.arange(devices)
        r["t"] = START_MS + step * 10_000 + rng.integers(0, 9_000, devices)
        r["lat"] = np.rint(lat + rng.normal(0, 4, devices) * E7_PER_METRE)
        r["lon"] = np.rint(lon + rng.normal(0, 4, devices) * E7_PER_METRE)
        r["acc"] = np.rint(rng.uniform(3, 15, devices) * 100) / 100
        r["v"] = np.rint(np.abs(speed + rng.normal(0, 0.2, devices)) * 100) / 100
        r["act"] = -1
        delay = np.where(rng.random(devices) < late, rng.integers(20_000, 120_000, devices), 0)
        r["recv"] = (r["t"] + delay) * 1000
        parts.append(r)
    records = np.concatenate(parts)
    return records[np.argsort(records["recv"], kind="stable")]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--devices", type=int, default=100_000)
    arguments.add_argument("--steps", type=int, default=140, help="fixes of each phone")
    arguments.add_argument("--batch", type=int, default=100, help="most records in a batch")
    arguments.add_argument("--late", type=float, default=0.01, help="share of records that arrive 20-120 s late")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    print(f"{given.devices:,} phones, {given.devices * given.steps:,} fixes, batches of {given.batch}; one core")
    print(f"state per device: {BYTES_PER_DEVICE:,} bytes, constant")
    rules = load_rules()
    StopStream(rules).feed(np.zeros(0, RECORD))  # compiled
    for late in sorted({0.0, given.late}):
        records = worlds(given.devices, given.steps, late=late, seed=given.seed)
        for lookup in (False, True):
            stream = StopStream(rules, room=given.devices)
            for device in range(given.devices):
                stream.code(f"phone-{device}")
            ids = [f"phone-{d}" for d in range(given.devices)]
            skip = 70 * given.devices // 100 * 100  # states warm: the kept records have gone round
            said, fed, spent = 0, 0, 0.0
            for at in range(0, len(records), given.batch):
                batch = records[at : at + given.batch]
                names = [ids[d] for d in batch["device"].tolist()] if lookup else []
                begun = time.perf_counter()
                if lookup:
                    batch["device"] = stream.codes_of(names)
                rows = len(stream.feed(batch).rows)
                spent_now = time.perf_counter() - begun
                if at >= skip:
                    fed, said, spent = fed + len(batch), said + rows, spent + spent_now
            what = "with id lookup" if lookup else "codes ready"
            print(
                f"late {late:4.0%}, {what:<14}: {fed / spent / 1e6:6.2f} M fixes/s/core"
                f" ({spent / fed * 1e9:.0f} ns a fix, {said:,} rows said)"
            )
            del stream
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"peak RSS {peak:.2f} GB (the input records of one run included: {len(records) * RECORD.itemsize / 2**30:.2f})"
    )


if __name__ == "__main__":
    main()
