"""Published tools behind one door; run by each tool's own Python, so it imports nothing of ours.

``python peer_tools.py TOOL IN OUT``: ``IN`` a Parquet file of FIXES; ``OUT`` Parquet of device_id, arrived, left (s
since the epoch). Prints JSON: fixes given to the tool, and the seconds the tool itself took. Reading, dropping the same
fix sent twice, sorting and building the tool's own frame are not counted.
"""

import json
import sys
import time
import warnings
from datetime import timedelta

import pandas as pd

RADIUS_M = 100.0
LEAST_MIN = 5.0


def read(path):
    """Fixes by phone and time, each once."""
    frame = pd.read_parquet(path, columns=["device_id", "event_time", "lat", "lon", "accuracy_m", "speed_mps"])
    frame["t"] = (frame["event_time"] - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return frame.drop_duplicates(["device_id", "t"]).sort_values(["device_id", "t"]).reset_index(drop=True)


def seconds(times):
    """Seconds since the epoch of any datetime column."""
    times = pd.to_datetime(times)
    zero = pd.Timestamp(0, tz="UTC") if times.dt.tz is not None else pd.Timestamp(0)
    return ((times - zero) / pd.Timedelta(seconds=1)).to_numpy()


def trackintel(fixes):
    """Sliding window after Li et al. 2008; 100 m, 5 min; its own default of 15 min for a gap."""
    import geopandas
    import trackintel as ti

    frame = {"user_id": fixes["device_id"], "tracked_at": fixes["event_time"]}
    points = geopandas.GeoDataFrame(frame, geometry=geopandas.points_from_xy(fixes["lon"], fixes["lat"]), crs=4326)
    fixes = ti.Positionfixes(points)
    began = time.perf_counter()
    _, stops = fixes.generate_staypoints(
        method="sliding", dist_threshold=RADIUS_M, time_threshold=LEAST_MIN, include_last=True, n_jobs=JOBS
    )
    took = time.perf_counter() - began
    return took, stops["user_id"], seconds(stops["started_at"]), seconds(stops["finished_at"])


def skmob(fixes):
    """Its speed filter (250 km/h), then stay locations after Hariharan and Toyama 2004; 100 m, 5 min."""
    import skmob
    from skmob.preprocessing import detection, filtering

    frame = pd.DataFrame(
        {
            "uid": fixes["device_id"],
            "datetime": fixes["event_time"].dt.tz_convert(None),
            "lat": fixes["lat"],
            "lng": fixes["lon"],
        }
    )
    track = skmob.TrajDataFrame(frame)
    began = time.perf_counter()
    track = filtering.filter(track, max_speed_kmh=250.0)
    stops = detection.stay_locations(track, minutes_for_a_stop=LEAST_MIN, spatial_radius_km=RADIUS_M / 1000.0)
    took = time.perf_counter() - began
    return took, stops["uid"], seconds(stops["datetime"]), seconds(stops["leaving_datetime"])


def movingpandas(fixes):
    """TrajectoryStopDetector; within 100 m across for 5 min."""
    import movingpandas as mpd

    frame = fixes[["device_id", "event_time", "lon", "lat"]].copy()
    frame["event_time"] = frame["event_time"].dt.tz_convert(None)
    tracks = mpd.TrajectoryCollection(frame, "device_id", t="event_time", x="lon", y="lat")
    began = time.perf_counter()
    found = []
    for track in tracks.trajectories:
        stops = mpd.TrajectoryStopDetector(track).get_stop_time_ranges(
            max_diameter=RADIUS_M, min_duration=timedelta(minutes=LEAST_MIN)
        )
        found += [(track.id, stop.t_0, stop.t_n) for stop in stops]
    took = time.perf_counter() - began
    ids, starts, ends = zip(*found, strict=True)
    return took, ids, seconds(pd.Series(starts)), seconds(pd.Series(ends))


def infostop(fixes):
    """Stationary events of its C++ core, r1 = 100 m, 5 min, gaps of up to a day; its labels of places are not used."""
    import cpputils

    groups = [(name, rows[["lat", "lon", "t"]].to_numpy()) for name, rows in fixes.groupby("device_id")]
    began = time.perf_counter()
    found = []
    for name, rows in groups:
        _, labels = cpputils.get_stationary_events(rows, RADIUS_M, 2, LEAST_MIN * 60.0, 86400.0, "haversine")
        found.append((name, rows[:, 2], labels))
    took = time.perf_counter() - began
    ids, starts, ends = [], [], []
    for name, t, labels in found:
        marks = pd.DataFrame({"t": t, "label": labels})
        spans = marks[marks["label"] >= 0].groupby("label")["t"].agg(["min", "max"])
        ids += [name] * len(spans)
        starts += spans["min"].tolist()
        ends += spans["max"].tolist()
    return took, ids, starts, ends


JOBS = int(sys.argv[4]) if len(sys.argv) > 4 else 1
"""Processes, of a tool that can share its work among some."""
TOOLS = {"trackintel": trackintel, "scikit-mobility": skmob, "movingpandas": movingpandas, "infostop": infostop}

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    given = read(sys.argv[2])
    took_s, devices, arrived, left = TOOLS[sys.argv[1]](given)
    pd.DataFrame({"device_id": list(devices), "arrived": list(arrived), "left": list(left)}).to_parquet(sys.argv[3])
    print(json.dumps({"fixes": len(given), "seconds": took_s}))
