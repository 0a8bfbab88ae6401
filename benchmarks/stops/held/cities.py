"""Where the phones live: one list to tune on, another to measure on; both hemispheres, both sides of the date line."""

from __future__ import annotations

from typing import Final

TUNE: Final = (
    ("Lyon", 45.76, 4.84),
    ("Recife", -8.05, -34.90),
    ("Perth", -31.95, 115.86),
    ("Helsinki", 60.17, 24.94),
    ("Honolulu", 21.31, -157.85),
)
MEASURE: Final = (
    ("Braunschweig", 52.26, 10.52),
    ("Nairobi", -1.29, 36.82),
    ("Christchurch", -43.53, 172.63),
    ("Tromsø", 69.65, 18.96),
    ("São Paulo", -23.55, -46.63),
    ("Taveuni", -16.85, 179.99),
    ("San José", 37.34, -121.89),
    ("Quito", -0.18, -78.47),
)
"""Name, latitude, longitude. Taveuni's phones drive across the antimeridian, Quito's across the equator."""
