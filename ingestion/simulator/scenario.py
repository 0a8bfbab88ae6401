"""What to simulate: a scenario, the phones' firmware, and the noise as separately settable knobs."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from ingestion.simulator.cities import CITIES, city_named
from parked.clock import to_us
from parked.errors import SettingError


@dataclass(frozen=True)
class NoiseProfile:
    """How the phones' reports differ from what happened. The defaults are the realistic world.

    Rates are shares 0-1 of fixes (or of phones where it says so) unless a unit is given.
    """

    gps_scale: float = 1.0
    """Multiplies the position error under open sky (~3-6 m per axis) and in urban canyons (~8-20 m). 0: exact."""
    drift_scale: float = 1.0
    """Multiplies the slow indoor wander (~15-40 m per axis, minutes long). 0: indoors is like open sky."""
    jump_rate: float = 0.01
    """Share of fixes 1-5 km off, alone or in runs of up to three."""
    jump_trusted_share: float = 0.5
    """Share of jumps that still claim a good accuracy."""
    network_rate: float = 1.0
    """Multiplies the share of network fixes (200-2,000 m): ~40 % at rest on low-power phones, ~1 % on others."""
    gaps_per_hour: float = 0.35
    """Silences of 60-600 s per hour of movement (dead zones, a stalled app)."""
    garage_silence: bool = True
    """Underground garages hide the sky from the ramp until the driver is out on foot."""
    sleep_share: float = 0.35
    """Share of phones that sleep 2 min after arrival and wake only 100-200 m into the next movement."""
    duplicate_rate: float = 0.01
    """Share of fixes sent twice, byte for byte; half of them in a later upload."""
    batch_share: float = 0.45
    """Share of phones that upload in batches every 0.5-15 min; the others send each fix at once (lag ~1.5 s)."""
    outages_per_week: float = 1.5
    """Times a week a phone cannot upload for 0.5-9 h (log-normal); what it measured arrives at the end, in order."""
    out_of_order_rate: float = 0.002
    """Share of fixes that arrive 30-900 s after their neighbours."""
    speed_faults: bool = True
    """Some phones send no speed, some exactly 0; else every fix has a Doppler speed."""
    motion_absent_share: float = 0.2
    """Share of phones without a motion activity stream."""
    motion_error_rate: float = 0.06
    """Share of motion records that name a wrong activity."""
    shuffled: bool = False
    """Rows of a device in random order instead of order of arrival."""


_CLEAN: Final = NoiseProfile(
    gps_scale=0.5, drift_scale=0.0, jump_rate=0.0, network_rate=0.0, gaps_per_hour=0.0, garage_silence=False,
    sleep_share=0.0, duplicate_rate=0.0, batch_share=0.0, outages_per_week=0.0, out_of_order_rate=0.0,
    speed_faults=False, motion_absent_share=0.0, motion_error_rate=0.0,
)  # fmt: skip

NOISES: Final[dict[str, NoiseProfile]] = {
    "exact": replace(_CLEAN, gps_scale=0.0),
    "clean": _CLEAN,
    "gaps": replace(_CLEAN, gaps_per_hour=1.5, garage_silence=True),
    "jumps": replace(_CLEAN, jump_rate=0.01),
    "drift": replace(_CLEAN, gps_scale=1.5, drift_scale=1.5),
    "sleep": replace(_CLEAN, sleep_share=1.0),
    "duplicates": replace(_CLEAN, duplicate_rate=0.1),
    "late": replace(_CLEAN, batch_share=0.5, outages_per_week=7.0, out_of_order_rate=0.01),
    "shuffled": replace(_CLEAN, shuffled=True),
    "realistic": NoiseProfile(),
    "all": NoiseProfile(
        gps_scale=1.5, drift_scale=1.5, gaps_per_hour=1.5, sleep_share=0.5, duplicate_rate=0.1, outages_per_week=7.0,
        out_of_order_rate=0.01, shuffled=True,
    ),
}  # fmt: skip
"""Named profiles. Between ``clean`` (good sensors) and ``realistic``, each switches one trouble on over ``clean``;
``exact`` has no position error at all; ``all`` is every trouble at its worst, rows shuffled."""


@dataclass(frozen=True)
class Firmware:
    """How a version of the phone's software samples and reports, over what the phone itself is."""

    name: str
    accuracy_scale: float = 1.0
    """Multiplies the reported accuracy; the true error stays as it is."""
    interval_scale: float = 1.0
    """Multiplies the time (or distance) between fixes."""
    always_sleeps: bool = False
    """Every phone sleeps 2 min after arrival."""


FIRMWARES: Final[dict[str, Firmware]] = {
    "stock": Firmware("stock"),
    "coarse": Firmware("coarse", accuracy_scale=3.0, interval_scale=2.0),
    "sleepy": Firmware("sleepy", always_sleeps=True),
}


@dataclass(frozen=True)
class Scenario:
    """All that a simulation depends on. Raises SettingError (NotFoundError for a city) where a value makes no sense."""

    devices: int = 150
    days: int = 21
    seed: int = 7
    city: str = "lisbon"
    firmware: str = "stock"
    noise: NoiseProfile = field(default_factory=NoiseProfile)
    start: datetime.date = datetime.date(2026, 1, 5)
    """First local day; the span begins at its local midnight."""
    first_device: int = 0
    """Index of the first device, so that a world can be made in parts or extended."""

    def __post_init__(self) -> None:
        city_named(self.city)
        if self.firmware not in FIRMWARES:
            raise SettingError(f"firmware {self.firmware!r} is not known", mend=f"choose one of {', '.join(FIRMWARES)}")
        for name, least in (("devices", 1), ("days", 1), ("seed", 0), ("first_device", 0)):
            if getattr(self, name) < least:
                raise SettingError(f"{name}={getattr(self, name)}", mend=f"give at least {least}")
        for name, value in asdict(self.noise).items():
            if not value >= 0:
                raise SettingError(f"noise {name}={value}", mend="give a value of at least 0")
            if value > 1 and name.endswith(("_share", "jump_rate", "duplicate_rate", "order_rate", "error_rate")):
                raise SettingError(f"noise {name}={value}", mend="give a share between 0 and 1")

    @property
    def start_us(self) -> int:
        """Start of the span, microseconds UTC since the epoch."""
        midnight = datetime.datetime.combine(self.start, datetime.time(), datetime.UTC)
        return to_us(midnight) - round(CITIES[self.city].utc_offset_h * 3_600_000_000)

    @property
    def span_s(self) -> float:
        """Length of the span in seconds."""
        return self.days * 86_400.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, complete: ``Scenario.from_dict`` gives the scenario back."""
        return {**asdict(self), "start": self.start.isoformat()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Scenario:
        """The inverse of ``as_dict``.

        >>> Scenario.from_dict(Scenario(devices=3).as_dict()) == Scenario(devices=3)
        True
        """
        noise = NoiseProfile(**values["noise"])
        return cls(**{**values, "start": datetime.date.fromisoformat(values["start"]), "noise": noise})


def noise_named(name: str) -> NoiseProfile:
    """The named noise profile.

    Raises SettingError naming the known ones.
    """
    try:
        return NOISES[name]
    except KeyError:
        raise SettingError(f"noise {name!r} is not known", mend=f"choose one of {', '.join(NOISES)}") from None
