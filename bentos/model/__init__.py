"""The published model as it is served: loaded, proved equal to CatBoost, evaluated, replaced while requests run.

``champion`` holds what serves, ``scorer`` is one model; ``trees`` and ``proof`` make arrays of it that give the same
bits, ``packed_scorer`` and ``row_kernel`` score the store's bytes with them.
"""
