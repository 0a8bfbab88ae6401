"""Champion and challenger meet only on rows that neither was fitted on."""

from datetime import timedelta

import pandas as pd
import pytest

from tests.training.conftest import config_file
from tests.training.world import START
from training import split
from training.heldout import evidence, held_out_of_both, recent
from training.manifest import read_manifest, read_rows


@pytest.fixture(scope="module")
def champion_and_challenger(new_home):
    home = new_home()
    champion = home.train(as_of=START + timedelta(days=12))
    challenger = home.train()
    return home, read_manifest(champion.manifest_path), read_manifest(challenger.manifest_path)


def fitted_pairs(home, manifest):
    rows = read_rows(home.settings.manifests_dir, manifest.recipe.rows)
    rows = rows[rows["split"].isin(split.FITTED)]
    return set(rows["candidate_id"])


def test_no_compared_candidate_was_fitted_by_either(champion_and_challenger):
    home, champion, challenger = champion_and_challenger
    rows = read_rows(home.settings.manifests_dir, challenger.recipe.rows)
    compared = set(rows[held_out_of_both(rows, champion)]["candidate_id"])
    assert compared
    assert not compared & fitted_pairs(home, champion)
    assert not compared & fitted_pairs(home, challenger)


def test_with_the_same_salt_and_an_older_champion_nothing_is_lost(champion_and_challenger):
    home, champion, challenger = champion_and_challenger
    rows = read_rows(home.settings.manifests_dir, challenger.recipe.rows)
    assert (held_out_of_both(rows, champion) == rows["split"].isin(split.HELD_OUT)).all()
    assert (held_out_of_both(rows, None) == rows["split"].isin(split.HELD_OUT)).all()


def test_another_salt_costs_rows_but_never_honesty(champion_and_challenger, tmp_path):
    home, champion, _ = champion_and_challenger
    other = home.train(config=config_file(tmp_path, split={"salt": "another"}))
    challenger = read_manifest(other.manifest_path)
    rows = read_rows(home.settings.manifests_dir, challenger.recipe.rows)
    mask = held_out_of_both(rows, champion)
    compared = set(rows[mask]["candidate_id"])
    assert 0 < mask.sum() < rows["split"].isin(split.HELD_OUT).sum()
    assert not compared & fitted_pairs(home, champion)


def test_a_candidate_is_as_much_evidence_as_its_label_is_trusted_however_often_it_is_judged():
    rows = pd.DataFrame({"candidate_id": list("aabcccc"), "label_weight": [1.0, 1.0, 0.3, 6.0, 6.0, 6.0, 6.0]})
    found = pd.Series(evidence(rows)).groupby(rows["candidate_id"]).sum()
    assert found.to_dict() == pytest.approx({"a": 1.0, "b": 0.3, "c": 1.0})  # c stands for others left out: still one


def test_recent_rows_are_counted_back_from_the_newest_candidate(champion_and_challenger):
    home, _, challenger = champion_and_challenger
    rows = read_rows(home.settings.manifests_dir, challenger.recipe.rows)
    late = rows[recent(rows, 2.0)]
    assert rows["left_at_us"].max() - late["left_at_us"].min() <= 2 * 86_400_000_000
    assert 0 < len(late) < len(rows)
    assert len(recent(rows.iloc[:0], 2.0)) == 0
