"""How good is a model, on rows it was not fitted on: measures, slices, and answers as people get them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from training import split
from training.config import TrainingConfig
from training.metrics import Interval, Measures, device_draws, measure, per_device, ratio_interval
from training.ports import Bools, Floats

_AUC_DRAWS = 100
"""Draws for the AUC's interval; each costs a pass over all rows."""


class Answers(BaseModel):
    """Held-out questions and what was answered (``training.questions``), as shares with device-bootstrap intervals."""

    model_config = ConfigDict(frozen=True)

    questions: int
    devices: int
    pins: int
    right_of_pins: float | None
    """pins within ``right_within_m`` of the vehicle, of all pins"""
    right_of_pins_interval: Interval | None
    found: float | None
    """questions with the vehicle still there that got a right pin"""
    found_interval: Interval | None
    phantom: float | None
    """wrong pins, of all questions"""
    phantom_interval: Interval | None


class Evaluation(BaseModel):
    """Everything measured of one model. Held-out rows only; ``parts`` by split, ``slices`` by part and slice."""

    model_config = ConfigDict(frozen=True)

    model: str
    threshold: float
    parts: dict[str, Measures]
    slices: dict[str, dict[str, Measures]]
    answers: dict[str, Answers]

    def figures(self) -> dict[str, float]:
        """The main figures by dotted name, for the model card."""
        found: dict[str, float] = {}
        for part, measures in self.parts.items():
            for name in ("log_loss", "brier", "ece", "auc", "average_precision", "precision", "recall", "cost", "rows"):
                value = getattr(measures, name)
                if value is not None:
                    found[f"{part}.{name}"] = round(float(value), 6)
        for part, answers in self.answers.items():
            for name in ("right_of_pins", "found", "phantom", "questions"):
                value = getattr(answers, name)
                if value is not None:
                    found[f"answers.{part}.{name}"] = round(float(value), 6)
        return found


def evaluate(
    model: str, rows: pd.DataFrame, probability: Floats, questions: pd.DataFrame, asked: Floats, threshold: float,
    config: TrainingConfig,
) -> Evaluation:  # fmt: skip
    """Measure. ``rows``: dataset rows, ``probability`` of each; ``questions``: dataset questions, ``asked`` of each.

    Rows of the fit and of the calibration are left out here, whatever is handed in.
    """
    parts: dict[str, Measures] = {}
    slices: dict[str, dict[str, Measures]] = {}
    split_of = rows["split"].to_numpy()
    for part in split.HELD_OUT:
        mask = split_of == part
        if not mask.any():
            continue
        parts[part] = _measure(rows[mask], probability[mask], threshold, config, auc_resamples=_AUC_DRAWS)
        slices[part] = {}
        for name, inside in slices_of(rows[mask], config).items():
            least = config.evaluation.slice_min_candidates
            if rows[mask][inside]["candidate_id"].nunique() >= least:
                slices[part][name] = _measure(rows[mask][inside], probability[mask][inside], threshold, config)
    answers = {}
    for part in split.HELD_OUT:
        mask = (questions["split"] == part).to_numpy() if len(questions) else np.zeros(0, dtype=np.bool_)
        if mask.any():
            answers[part] = judge_answers(questions[mask], asked[mask], threshold, config)
    return Evaluation(model=model, threshold=threshold, parts=parts, slices=slices, answers=answers)


def _measure(
    rows: pd.DataFrame, probability: Floats, threshold: float, config: TrainingConfig, auc_resamples: int = 0
) -> Measures:
    return measure(
        probability,
        rows["label"].to_numpy(dtype=np.int64),
        rows["weight"].to_numpy(dtype=np.float64),
        pd.factorize(rows["device_id"])[0].astype(np.int64),
        pd.factorize(rows["candidate_id"])[0].astype(np.int64),
        threshold=threshold,
        cost=config.cost,
        resamples=config.evaluation.resamples,
        confidence=config.evaluation.confidence,
        seed=config.seed,
        auc_resamples=auc_resamples,
    )


def slices_of(rows: pd.DataFrame, config: TrainingConfig) -> dict[str, Bools]:
    """Named subsets of rows (masks, shape (n,)), as far as the features tell: platform, motion, sampling, age, city."""
    found: dict[str, Bools] = {}
    if "platform" in rows:
        for platform in sorted(set(rows["platform"]) - {""}):
            found[f"platform={platform}"] = (rows["platform"] == platform).to_numpy()
    if "sends_motion" in rows:
        sends = rows["sends_motion"].to_numpy(dtype=np.float64)
        found["motion=sent"], found["motion=none"] = sends == 1, sends == 0
    if "leg_cadence_s" in rows:
        cadence = rows["leg_cadence_s"].to_numpy(dtype=np.float64)
        limit = config.evaluation.slow_sampling_s
        found["sampling=fast"], found["sampling=slow"] = cadence <= limit, cadence > limit
    if "age_s" in rows:
        age = rows["age_s"].to_numpy(dtype=np.float64)
        found["asked=within 5 min"], found["asked=later"] = age <= 300, age > 300
    cities = _cities(rows["cell"], config.evaluation.city_resolution)
    for city in sorted(set(cities)):
        found[f"city={city}"] = cities == city
    return found


def _cities(cells: pd.Series, resolution: int) -> Any:
    """The coarse H3 cell of each candidate: a city's worth of ground, and no address."""
    import h3

    codes, names = pd.factorize(cells)
    parents = np.array(
        [h3.cell_to_parent(name, resolution) if h3.is_valid_cell(name) else "?" for name in names], dtype=object
    )
    return parents[codes] if len(parents) else np.empty(0, dtype=object)


def judge_answers(questions: pd.DataFrame, probability: Floats, threshold: float, config: TrainingConfig) -> Answers:
    """Answer each question as the server does and compare with the truth.

    ``questions``: rows of ``training.questions`` in order (question_id, rank), ``probability`` of each. The first
    candidate from the newest with probability >= threshold decides: a pin there, unless the vehicle has left it again.
    """
    question, first = np.unique(questions["question_id"].to_numpy(dtype=np.int64), return_index=True)
    slot = np.searchsorted(question, questions["question_id"].to_numpy(dtype=np.int64))
    called = np.flatnonzero(probability >= threshold)
    deciding = np.full(len(question), -1, dtype=np.int64)
    deciding[slot[called][::-1]] = called[::-1]  # the first of each question is written last and stays
    has_left = questions["has_left"].to_numpy(dtype=np.bool_)
    pin = (deciding >= 0) & ~has_left[deciding]
    near = questions["metres_off"].to_numpy(dtype=np.float64)[deciding] <= config.evaluation.right_within_m
    there = ~questions["vehicle_gone"].to_numpy(dtype=np.bool_)[first]
    right = pin & near & there
    owner = pd.factorize(questions["device_id"].to_numpy()[first])[0].astype(np.int64)
    devices = int(owner.max()) + 1
    draws = device_draws(devices, config.evaluation.resamples, config.seed)

    def share(top: Bools, bottom: Bools) -> tuple[float | None, Interval | None]:
        if not bottom.any():
            return None, None
        sums = [per_device(values.astype(np.float64), owner, devices) for values in (top, bottom)]
        interval = ratio_interval(sums[0], sums[1], draws, config.evaluation.confidence) if devices > 1 else None
        return float(top.sum() / bottom.sum()), interval

    right_of_pins, found = share(right, pin), share(right, there)
    phantom = share(pin & ~right, np.ones(len(question), dtype=np.bool_))
    return Answers(
        questions=len(question),
        devices=devices,
        pins=int(pin.sum()),
        right_of_pins=right_of_pins[0],
        right_of_pins_interval=right_of_pins[1],
        found=found[0],
        found_interval=found[1],
        phantom=phantom[0],
        phantom_interval=phantom[1],
    )


def _figure(value: float | None, interval: Interval | None = None, digits: int = 3) -> str:
    if value is None:
        return "-"
    around = f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]" if interval is not None else ""
    return f"{value:.{digits}f}{around}"


def report(evaluation: Evaluation) -> str:
    """A short text table. Brackets: bootstrap intervals over devices."""
    head = f"{'held-out rows':<34}{'rows':>7}{'dev':>5}  {'log loss':<22}{'AUC':<22}"
    head += f"{'precision':>10}{'recall':>8}{'ECE':>7}"
    lines = [f"model {evaluation.model}, threshold {evaluation.threshold:.3f}", head]
    for part, measures in evaluation.parts.items():
        for name, m in ((part, measures), *((f"  {n}", s) for n, s in evaluation.slices[part].items())):
            lines.append(
                f"{name:<34}{m.rows:>7}{m.devices:>5}  {_figure(m.log_loss, m.log_loss_interval):<22}"
                f"{_figure(m.auc, m.auc_interval):<22}{_figure(m.precision):>10}{_figure(m.recall):>8}{m.ece:>7.3f}"
            )
    for part, a in evaluation.answers.items():
        lines.append(
            f"answers on {part}: {a.questions} questions of {a.devices} devices; "
            f"right of pins {_figure(a.right_of_pins, a.right_of_pins_interval)}, "
            f"found {_figure(a.found, a.found_interval)}, phantom {_figure(a.phantom, a.phantom_interval)}"
        )
    return "\n".join(lines)
