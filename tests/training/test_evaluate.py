import numpy as np
import pandas as pd

from training import split
from training.evaluate import evaluate, judge_answers, report, slices_of
from training.pipeline import assess


def questions(*asked):
    """Each question: ([(probability, has_left, metres_off), …newest first], vehicle_gone)."""
    rows, scores = [], []
    for number, (weighed, gone) in enumerate(asked):
        for rank, (probability, has_left, metres) in enumerate(weighed):
            rows.append((number, rank, f"d{number}", has_left, metres, gone))
            scores.append(probability)
    columns = ["question_id", "rank", "device_id", "has_left", "metres_off", "vehicle_gone"]
    return pd.DataFrame(rows, columns=columns), np.array(scores)


def judged(config, *asked):
    frame, scores = questions(*asked)
    return judge_answers(frame, scores, 0.5, config)


HERE, AWAY = 10.0, 5000.0


def test_the_first_candidate_called_from_the_newest_is_the_answer(config):
    found = judged(config, ([(0.2, False, AWAY), (0.9, False, HERE), (0.95, False, AWAY)], False))
    assert (found.pins, found.right_of_pins, found.found, found.phantom) == (1, 1.0, 1.0, 0.0)


def test_a_called_candidate_the_vehicle_left_again_ends_the_walk_without_a_pin(config):
    found = judged(config, ([(0.9, True, AWAY), (0.9, False, HERE)], False))
    assert (found.pins, found.found) == (0, 0.0)


def test_a_pin_far_from_the_vehicle_or_for_a_vehicle_that_is_gone_is_a_phantom(config):
    found = judged(config, ([(0.9, False, AWAY)], False), ([(0.9, False, HERE)], True), ([(0.9, False, HERE)], False))
    assert found.phantom == 2 / 3
    assert found.found == 0.5


def test_silence_about_a_vehicle_that_is_gone_is_no_miss(config):
    found = judged(config, ([(0.1, False, HERE)], True))
    assert found.found is None
    assert found.phantom == 0.0


def test_fitted_rows_are_never_measured(trained):
    home, model = trained
    assert set(model.evaluation.parts) == set(split.HELD_OUT)
    from training.manifest import read_manifest, read_rows

    recipe = read_manifest(model.manifest_path).recipe
    rows = read_rows(home.settings.manifests_dir, recipe.rows)
    for part, measures in model.evaluation.parts.items():
        assert measures.rows == (rows["split"] == part).sum()
    flat = np.full(len(rows), 0.5)
    again = evaluate("m", rows, flat, rows.iloc[:0], np.empty(0), 0.5, recipe.config)
    assert sum(m.rows for m in again.parts.values()) == rows["split"].isin(split.HELD_OUT).sum()


def test_slices_are_subsets_that_together_hold_every_row(trained):
    home, model = trained
    from training.manifest import read_manifest, read_rows

    recipe = read_manifest(model.manifest_path).recipe
    rows = read_rows(home.settings.manifests_dir, recipe.rows)
    found = slices_of(rows, recipe.config)
    for kind in ("city", "motion", "asked"):
        masks = [mask for name, mask in found.items() if name.startswith(f"{kind}=")]
        assert (np.sum(masks, axis=0) == 1).all()


def test_the_report_names_both_parts_and_the_answers(trained):
    _, model = trained
    text = report(model.evaluation)
    assert "test_devices" in text
    assert "test_later" in text
    assert "answers on test_devices" in text
    assert model.evaluation.figures()["test_devices.auc"] > 0.8


def test_a_model_measured_on_nothing_held_out_reports_nothing(trained):
    home, model = trained
    from training.manifest import read_manifest, read_rows
    from training.model_store import load_model

    recipe = read_manifest(model.manifest_path).recipe
    rows = read_rows(home.settings.manifests_dir, recipe.rows)
    stored = load_model(home.settings, model.tag)
    only_fitted = rows[rows["split"] == split.TRAIN]
    assert assess("m", stored.fit, only_fitted, rows.iloc[:0], recipe.config).parts == {}
