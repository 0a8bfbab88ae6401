"""The operations database: what ran, what was refused, what was judged, which model is what, and why."""
