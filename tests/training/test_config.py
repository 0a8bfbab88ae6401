from pathlib import Path

import pytest
import yaml

from parked.errors import NotFoundError, SettingError
from parked.vehicle import RETURN_M
from training.config import DEFAULT_CONFIG, load_config, outliers_path
from training.outliers import load_outliers


def write(folder: Path, **changes: object) -> Path:
    content = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))
    content.update(changes)
    file = folder / "t.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_the_packaged_files_are_valid():
    config = load_config()
    assert config.feature_service == "parking_v1"
    assert load_outliers(outliers_path(DEFAULT_CONFIG, config)).rules


def test_what_is_measured_and_what_is_served_mean_the_same_by_a_return():
    assert load_config().evaluation.return_within_m == RETURN_M


def test_judgments_have_two_days_to_mature_unless_told_otherwise(tmp_path):
    labels = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))["labels"]
    del labels["matured_h"]
    assert load_config(write(tmp_path, labels=labels)).labels.matured_h == load_config().labels.matured_h == 48


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


def test_broken_yaml_names_the_line(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text("version: a\nname: [\n", encoding="utf-8")
    with pytest.raises(SettingError, match=r"t\.yaml:\d+: not YAML"):
        load_config(file)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"catboost": {"iterations": 5}}, "thread_count must be a fixed number"),
        ({"catboost": {"thread_count": 1, "random_seed": 3}}, "random_seed is set by the code"),
        ({"cost": {"phantom_pin": -1, "missed_pin": 1}}, "cost.phantom_pin"),
        ({"decision_ages_s": [0]}, "ages are seconds above 0"),
        ({"surprise": 1}, "surprise"),
        ({"stood_most_s": 0}, "stood_most_s"),
        ({"split": {"salt": "x", "test_devices": 0.6, "calibration_devices": 0.5, "later": 0.1}}, "nobody is left"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path, changes, says):
    with pytest.raises(SettingError, match=says):
        load_config(write(tmp_path, **changes))
