"""Prometheus metrics of serving, beside BentoML's own; exported at ``/metrics`` (BentoML merges all workers)."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """All metrics of one worker. Built after BentoML set ``PROMETHEUS_MULTIPROC_DIR``, never at import."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.answers = Counter("parked_answers", "Answers of /where_parked", ["state", "reason"], registry=registry)
        self.scored = Counter("parked_scored_candidates", "Candidates scored", registry=registry)
        self.labels = Counter("parked_confirmations", "Confirmations stored", ["verdict"], registry=registry)
        self.errors = Counter("parked_errors", "Requests answered with an error", ["code"], registry=registry)
        self.seconds = Histogram(
            "parked_answer_seconds",
            "Lookup, features, model and decision of one request, without HTTP",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.generation = Gauge(
            "parked_model_generation",
            "Generation of the published model this worker answers with (0: none)",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self.compiled = Gauge(
            "parked_model_trees_compiled",
            "1: the trees are evaluated as arrays, proved equal to CatBoost; 0: by CatBoost, twenty times slower",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.swaps = Counter("parked_model_swaps", "Models taken into service", registry=registry)
        self.swap_failures = Counter(
            "parked_model_swap_failures", "Published models refused; the old one kept serving", registry=registry
        )
        self.log_dropped = Counter("parked_prediction_log_dropped", "Prediction log rows dropped", registry=registry)
