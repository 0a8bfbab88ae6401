"""Facts → feature snapshots → Feast's offline and online stores. What a feature is, is declared in ``feature_repo``."""
