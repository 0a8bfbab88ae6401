"""The simulated world of the demo: a quiet fortnight, then one in which phones and places change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from ingestion.simulator import Scenario

START = date(2026, 1, 5)
"""A Monday."""
MATURITY = timedelta(days=2)
"""Labels of the simulator arrive up to 48 h late: training waits for them."""


@dataclass(frozen=True)
class DemoWorld:
    """Sizes of the demo's world. Cities: the first is home, the second is new in the changed world."""

    devices: int
    days: int
    seed: int
    cities: tuple[str, str] = ("lisbon", "berlin")
    changed_days: int = 5

    def before(self) -> list[Scenario]:
        """The quiet world: stock firmware, one city."""
        return [Scenario(devices=self.devices, days=self.days, seed=self.seed, city=self.cities[0], start=START)]

    def after(self) -> list[Scenario]:
        """The changed world: the same phones on a firmware that reports other accuracies, and a new city."""
        start = START + timedelta(days=self.days)
        same = Scenario(
            devices=self.devices,
            days=self.changed_days,
            seed=self.seed,
            city=self.cities[0],
            start=start,
            firmware="coarse",
        )
        new = Scenario(
            devices=max(1, self.devices // 2),
            days=self.changed_days,
            seed=self.seed + 1,
            city=self.cities[1],
            start=start,
        )
        return [same, new]

    def moment(self, day: int, hour: float) -> datetime:
        """UTC moment ``day`` days and ``hour`` hours after the start (day 0 is the first)."""
        return datetime.combine(START, time(), UTC) + timedelta(days=day, hours=hour)

    @property
    def change(self) -> datetime:
        """When the world changes."""
        return self.moment(self.days, 0)

    @property
    def end(self) -> datetime:
        """When the changed world ends."""
        return self.moment(self.days + self.changed_days, 0)
