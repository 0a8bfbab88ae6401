"""A ground-truth world of phones: people, cars, streets, sensors, and what really happened, all from one seed.

``simulate(scenario)`` is a pure function: the same scenario gives the same tables, and device *i* is the same
however many devices there are (every device has its own random streams, keyed by seed, index and purpose).

Simulated phones are not real phones. What is borrowed from reality, and from where:

===========================================  =========================================================  ==============
what                                         here                                                       source
===========================================  =========================================================  ==============
parking place to door, straight line         median ~104 m, p90 ~247 m (log-normal, clipped 20-350 m)   DESIGN.md §5.7
search for a space                           2 of 3 drives search; median ~1 min, p90 ~4 min            start2park [1]
"on foot" reported after the parking         median 31 s Android, 18 s iOS, up to 210 s                 data/README [2]
cadence while moving                         1 s, 2-3 s, 5-6 s, 10 s and 30 s phones; distance filters  [1] [2] [3]
reported accuracy                            Android >= 3 m, continuous; iOS 5, 10, 30, 50, 65, 100 ... [2]
worse than 100 m                             network fixes of low-power phones, 200-2,000 m             e-mission [3]
speed                                        Doppler; null on some phones; often exactly 0 on others    [2]
motion activity                              Android every 13-60 s, "unknown 0.4"; iOS on change        [2]
delivery                                     seconds; batches of minutes; hours late, in order          [2] [3]
GNSS error                                   first-order Gauss-Markov, minutes in open sky              Rankin 1994 [4]
acceleration                                 1.6 / 2.0 m/s² car, 1.0 / 1.2 m/s² bus                     [5]
===========================================  =========================================================  ==============

[1] ReLUT parking-search-prediction; [2] MobilityNet; [3] e-mission-server test data (all in ``shared/data``);
[4] J. Rankin, "GPS and differential GPS: an error model for sensor simulation", IEEE PLANS 1994;
[5] comfortable longitudinal acceleration as used by the SUMO vehicle defaults, a little gentler.

What is assumed, not measured: the cities (named after real ones, but synthetic grids), daily schedules, shares of
modes, drop-offs, garages, jams, red-light lengths, and the 1 % of fixes that jump 1-5 km.

Modules: ``cities`` and ``streets`` (where), ``people`` and ``days`` (who does what when), ``trips`` and ``track`` (how
they get there), ``kinematics`` (noise-free motion in time), ``receiver`` and ``activity`` (what the phone reports),
``truth`` (what happened), ``world`` (one device, all devices), ``files`` (writing).
"""

from ingestion.simulator.cities import CITIES, City
from ingestion.simulator.files import SIMULATION_FILES, write_devices, write_simulation
from ingestion.simulator.scenario import FIRMWARES, NOISES, Firmware, NoiseProfile, Scenario
from ingestion.simulator.truth import NOT_PARKED_KINDS, TRUTH
from ingestion.simulator.world import Simulation, device_name, simulate, simulate_device, simulate_devices

__all__ = [
    "CITIES",
    "FIRMWARES",
    "NOISES",
    "NOT_PARKED_KINDS",
    "SIMULATION_FILES",
    "TRUTH",
    "City",
    "Firmware",
    "NoiseProfile",
    "Scenario",
    "Simulation",
    "device_name",
    "simulate",
    "simulate_device",
    "simulate_devices",
    "write_devices",
    "write_simulation",
]
