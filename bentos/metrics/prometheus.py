"""Prometheus metrics of serving, exported at ``/metrics`` (BentoML merges all workers, and adds its own).

A counter of prometheus_client in a process of several costs two to three microseconds an increment, of which an answer
would need eight. So the answering path counts in plain dictionaries (``Tally``), which are carried over a few times a
second and before every reading of ``/metrics`` by this worker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Tally:
    """What is counted between two carry-overs: by the event loop, but for ``answers`` and ``scored``.

    These two are whoever's who answers, which is another thread where the store is waited for: they only grow, so that
    nothing is lost that is counted while it is carried over.
    """

    def __init__(self) -> None:
        self.answers: defaultdict[tuple[str, str], int] = defaultdict(int)
        """(state, reason) → answers of /where_parked, since the start."""
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        """(endpoint, HTTP status) → requests."""
        self.errors: defaultdict[str, int] = defaultdict(int)
        """Error code → requests."""
        self.seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * (len(_BUCKETS) + 2))
        """Endpoint → requests by bucket of their duration, the last entry being the sum of seconds."""
        self.scored = 0
        """Candidates, since the start."""

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a finished request."""
        self.requests[endpoint, status] += 1
        spent = self.seconds[endpoint]
        spent[bisect_left(_BUCKETS, seconds)] += 1
        spent[-1] += seconds


class Metrics:
    """All metrics of one worker. Built after BentoML set ``PROMETHEUS_MULTIPROC_DIR``, never at import."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.tally = Tally()
        self._carried = Tally()
        """Of what only grows, how much is in the metrics."""
        self.answers = Counter("parked_answers", "Answers of /where_parked", ["state", "reason"], registry=registry)
        self.scored = Counter("parked_scored_candidates", "Candidates scored", registry=registry)
        self.labels = Counter("parked_confirmations", "Confirmations stored", ["verdict"], registry=registry)
        self.requests = Counter("parked_requests", "Requests answered", ["endpoint", "status"], registry=registry)
        self.errors = Counter("parked_errors", "Requests answered with an error", ["code"], registry=registry)
        self.seconds = Histogram(
            "parked_request_seconds",
            "One request inside this worker, from its head being read to its answer being handed to the network",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "parked_requests_in_progress",
            "Requests begun and not yet answered",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.generation = Gauge(
            "parked_model_generation",
            "Generation of the published model this worker answers with (0: none, or a bento's seed)",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self.compiled = Gauge(
            "parked_model_trees_compiled",
            "1: the model's trees are evaluated as arrays, proved CatBoost's equal; 0: by CatBoost, slowly",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.swaps = Counter("parked_model_swaps", "Models taken into service", registry=registry)
        self.swap_failures = Counter(
            "parked_model_swap_failures", "Published models refused; the old one kept serving", registry=registry
        )
        self.log_dropped = Counter("parked_prediction_log_dropped", "Prediction log rows dropped", registry=registry)

    def carry_over(self, in_progress: int) -> None:
        """Add what the tally holds to the metrics. Called by the event loop."""
        tally, carried = self.tally, self._carried
        for (state, reason), count in list(tally.answers.items()):
            self.answers.labels(state, reason).inc(count - carried.answers[state, reason])
            carried.answers[state, reason] = count
        for (endpoint, status), count in tally.requests.items():
            self.requests.labels(endpoint, str(status)).inc(count)
        for code, count in tally.errors.items():
            self.errors.labels(code).inc(count)
        for endpoint, spent in tally.seconds.items():
            # What Histogram.observe does, many at a time; prometheus_client has no public call for that.
            child = self.seconds.labels(endpoint)
            for bucket, fallen in zip(child._buckets, spent, strict=False):
                if fallen:
                    bucket.inc(fallen)
            child._sum.inc(spent[-1])
        scored = tally.scored
        self.scored.inc(scored - carried.scored)
        carried.scored = scored
        self.in_progress.set(in_progress)
        for counted in (tally.requests, tally.errors, tally.seconds):
            counted.clear()
