"""What scientists declare: features as pure folds over facts, and the Feast objects made of them.

To add a feature, put one decorated function in a module of ``feature_repo/features/`` (any name; it is found) and name
it in a service of ``feature_repo/services.py``:

    @feature(view=CANDIDATE, dtype=FLOAT64, owner="ana", since="1")
    def walked_m(candidate: Fact, known: Known) -> float | None:
        \"\"\"Farthest seen on foot from the vehicle, metres.\"\"\"
        return candidate.walked_m

Its docstring is the field's description in Feast. Backfill over history, the online store and point-in-time training
rows come with it. This folder is also an ordinary Feast repo: ``cd feature_repo && feast plan`` (or apply, ui).
"""
