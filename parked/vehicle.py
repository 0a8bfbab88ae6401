"""What makes a vehicle leg one of *this* vehicle: shared by serving and by the truth it is measured against."""

from __future__ import annotations

from typing import Final

RETURN_M: Final = 200.0
"""The next vehicle leg took *this* vehicle if it began within this many metres of it.

A phone notices a drive late: at 30-50 km/h the first vehicle-speed fix, 10-15 s in, is 80-200 m on. A leg that begins
farther off is another vehicle (bus, taxi, a lift). Measured on simulated phones (3 x 12 phones x 7 days; stock, coarse,
sleepy firmware): the car's own departures begin within 200 m in 96, 90, 95 %, within 300 m in 99, 97, 99 %; other
vehicles' legs that the car stayed behind for, too, in 88, 85, 90 % (a bus is taken near the car). Unknown counts as
near: a phantom pin costs more trust than an "unknown".
"""
