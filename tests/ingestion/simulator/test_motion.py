"""The physics: nothing leaps, nothing exceeds its limits; and the error process is what its formula says."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.simulator.cities import CITIES
from ingestion.simulator.kinematics import BRAKING, SPEEDING_UP, put_in_motion
from ingestion.simulator.receiver import gauss_markov
from ingestion.simulator.streets import StreetPlan
from ingestion.simulator.track import BIKE, BUS, FOOT, INDOOR, STILL, VEHICLE, Track

PLAN = StreetPlan(CITIES["berlin"])
COORDINATE = st.floats(-3_000, 3_000).map(lambda value: round(value, 2))
STEP = st.tuples(
    COORDINATE, COORDINATE, st.floats(0.8, 40.0), st.sampled_from([FOOT, BIKE, VEHICLE, BUS]), st.floats(0, 300)
)


def track_of(steps: list[tuple[float, float, float, int, float]]) -> Track:
    track = Track((0.0, 0.0), INDOOR)
    track.stay(60.0, 1_000.0, INDOOR)
    mode_before = None
    for x, y, speed, mode, dwell in steps:
        if mode != mode_before:
            track.stop(5.0, STILL)  # one gets on or off at rest
        track.move((x, y), speed, mode)
        if dwell > 150:
            track.stop(dwell, STILL)
        mode_before = mode
    track.stay(60.0, 0.0, INDOOR)
    return track


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=12))
def test_motion_is_continuous_in_place_and_speed_and_within_every_limit(steps):
    motion = put_in_motion(track_of(steps), PLAN, np.random.default_rng(1))
    assert (np.diff(motion.phase_at) >= -1e-6).all()
    lasts = np.diff(motion.phase_at)
    end_arc = motion.phase_arc[:-1] + lasts * (motion.phase_speed[:-1] + 0.5 * motion.phase_acceleration[:-1] * lasts)
    end_speed = motion.phase_speed[:-1] + motion.phase_acceleration[:-1] * lasts
    np.testing.assert_allclose(end_arc, motion.phase_arc[1:], atol=1e-4)
    real = np.flatnonzero(lasts > 1e-6)
    np.testing.assert_allclose(end_speed[real][:-1], motion.phase_speed[real][1:], atol=2e-3)
    assert motion.phase_speed.max() <= 33.0 + 1e-6
    assert motion.phase_speed[motion.phase_mode == FOOT].max(initial=0.0) <= 1.8 + 1e-6
    assert motion.phase_acceleration.max() <= SPEEDING_UP.max()
    assert motion.phase_acceleration.min() >= -BRAKING.max()


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=8), until=st.floats(0, 20_000))
def test_nobody_leaves_before_the_planned_time_nor_before_having_stayed(steps, until):
    track = track_of(steps)
    last = track.stays[-1]
    track.until[last] = until
    motion = put_in_motion(track, PLAN, np.random.default_rng(1))
    node = motion.node_of[last]
    expected = max(until, motion.arrives[node] + 60.0)
    assert math.isclose(motion.leaves[node], expected, abs_tol=1e-6)


@given(
    gaps=st.lists(st.floats(0.001, 5_000), min_size=1, max_size=200),
    correlation=st.floats(1, 1_000),
    seed=st.integers(0, 1_000),
)
def test_the_scan_equals_the_loop_of_the_formula(gaps, correlation, seed):
    t = np.cumsum(gaps)
    noise = np.random.default_rng(seed).standard_normal(len(t))
    expected = [noise[0]]
    for dt, drawn in zip(np.diff(t), noise[1:], strict=True):
        keep = math.exp(-dt / correlation)
        expected.append(keep * expected[-1] + math.sqrt(1 - keep * keep) * drawn)
    np.testing.assert_allclose(gauss_markov(t, np.full(len(t), correlation), noise), expected, atol=1e-6)


def test_the_error_process_has_unit_variance_and_its_correlation_time():
    t = np.arange(200_000) * 6.0
    error = gauss_markov(t, np.full(len(t), 60.0), np.random.default_rng(0).standard_normal(len(t)))
    assert abs(error.std() - 1.0) < 0.03
    assert abs(np.corrcoef(error[10:], error[:-10])[0, 1] - math.exp(-1)) < 0.03


@given(
    x=st.tuples(COORDINATE, COORDINATE),
    y=st.tuples(COORDINATE, COORDINATE),
    pick=st.floats(0, 0.999),
    scale=st.floats(0.05, 3),
)
def test_a_route_runs_along_streets_from_kerb_to_kerb(x, y, pick, scale):
    start, end = PLAN.kerb_near(x[0] * scale, x[1] * scale), PLAN.kerb_near(y[0] * scale, y[1] * scale)
    route = PLAN.route(start, end, pick)
    assert route[0] == (start.x, start.y)
    assert route[-1] == (end.x, end.y)
    for one, other in pairwise(route):
        along_x, along_y = abs(one[1] - other[1]) < 1e-6, abs(one[0] - other[0]) < 1e-6
        assert along_x or along_y
        if math.dist(one, other) > 5.0:
            line, block = (one[1], PLAN.block[1]) if along_x else (one[0], PLAN.block[0])
            assert abs(line / block - round(line / block)) < 1e-6
