"""``parked demo``: the whole story, told on simulated phones."""
