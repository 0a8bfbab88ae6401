"""States, publishes, rollbacks, and a crash between the database and the pointer."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from parked.clock import fixed_clock
from parked.errors import ConflictError, InternalError, NotFoundError
from parked.opsdb.engine import transaction
from parked.opsdb.tables import Publish
from parked.pointer import Pointer, read_pointer, write_pointer
from tests.training.conftest import CLOCK, Home
from tests.training.world import AS_OF, make_world
from training import flip, registry
from training.model_store import load_model


def publish(home: Home, tag: str, why: str = "better") -> Pointer:
    return flip.publish(home.settings, home.engine, tag, "ann", why, CLOCK)


def pointed(home: Home) -> tuple[int, str]:
    pointer = read_pointer(home.settings.pointer_file)
    assert pointer is not None
    return pointer.generation, pointer.model_tag


def states(home: Home) -> dict[str, str]:
    return {model.tag: model.state for model in registry.models(home.engine)}


def test_publishing_retires_the_champion_before_and_records_who_and_why(home, tags):
    a, b, c = tags
    publish(home, a)
    publish(home, b, "lower loss")
    assert states(home) == {a: "retired", b: "champion", c: "candidate"}
    assert pointed(home) == (2, b)
    history = registry.show(home.engine, b).history
    assert [(h.from_state, h.to_state, h.who, h.why) for h in history] == [
        ("", "candidate", "train", "trained"),
        ("candidate", "champion", "ann", "lower loss"),
    ]
    assert registry.champion(home.engine, "v1") == b


def test_a_rollback_is_a_new_generation_of_the_champion_before_and_undoes_one_publish_at_a_time(home, tags):
    a, b, c = tags
    for tag in tags:
        publish(home, tag)
    roll = lambda: flip.rollback(home.settings, home.engine, "ann", "errors", CLOCK)  # noqa: E731
    assert (roll().generation, pointed(home)) == (4, (4, b))
    assert (roll().generation, pointed(home)) == (5, (5, a))
    with pytest.raises(NotFoundError, match="no earlier champion"):
        roll()
    publish(home, c)
    assert (roll().model_tag, pointed(home)) == (a, (7, a))


def test_publishing_the_champion_again_or_an_unknown_model_changes_nothing(home, tags):
    publish(home, tags[0])
    before = (states(home), pointed(home))
    with pytest.raises(ConflictError, match="already champion"):
        publish(home, tags[0])
    with pytest.raises(NotFoundError, match="not registered"):
        publish(home, "parking:absent")
    assert (states(home), pointed(home)) == before


def test_a_damaged_model_is_not_published(home, tags):
    file = home.settings.bentoml_home / "models" / tags[0].replace(":", "/") / "model.cbm"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InternalError, match=r"damaged|not the one"):
        publish(home, tags[0])
    assert read_pointer(home.settings.pointer_file) is None
    assert states(home)[tags[0]] == "candidate"


def test_a_model_erased_from_the_store_is_not_found(home, tags):
    (home.settings.bentoml_home / "models" / tags[0].replace(":", "/") / "card.json").unlink()
    with pytest.raises(NotFoundError, match="not in the model store"):
        publish(home, tags[0])


def test_a_crash_after_the_commit_and_before_the_pointer_is_mended_by_the_next_change(home, tags, monkeypatch):
    a, b, _ = tags
    publish(home, a)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flip, "write_pointer", crash)
        with pytest.raises(KeyboardInterrupt):
            publish(home, b)
    assert pointed(home) == (1, a)
    assert registry.champion(home.engine, "v1") == b
    assert flip.recover(home.settings, home.engine) == read_pointer(home.settings.pointer_file)
    assert pointed(home) == (2, b)
    assert flip.rollback(home.settings, home.engine, "ann", "w", CLOCK).generation == 3


def test_a_crash_before_the_commit_leaves_everything_as_it_was(home, tags, monkeypatch):
    publish(home, tags[0])
    before = (states(home), pointed(home))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flip, "_pointer", crash)
        with pytest.raises(KeyboardInterrupt):
            publish(home, tags[1])
    assert (states(home), pointed(home)) == before


def test_generations_only_grow_even_if_the_database_was_lost(home, tags):
    ahead = Pointer(generation=41, model_tag="parking:gone", rules_version="r", feature_service="s", published_at=AS_OF)
    write_pointer(home.settings.pointer_file, ahead)
    assert publish(home, tags[0]).generation == 42


def test_another_publish_that_got_in_first_is_a_conflict(home, tags, monkeypatch):
    publish(home, tags[0])
    real = flip.load_model

    def meanwhile(settings, tag):
        with transaction(home.engine) as session:
            session.add(
                Publish(generation=2, tag=tags[2], previous_tag=None, action="publish", at=AS_OF, who="x", why="y")
            )
        return real(settings, tag)

    monkeypatch.setattr(flip, "load_model", meanwhile)
    monkeypatch.setattr(flip.func, "max", lambda _: select(1).scalar_subquery())
    with pytest.raises(ConflictError, match="got in first"):
        publish(home, tags[1])
    assert states(home)[tags[0]] == "champion"


def test_states_move_only_along_the_allowed_ways(home, tags):
    a, b, _ = tags
    registry.move(home.engine, a, "shadow", "ann", "look", CLOCK)
    publish(home, a)
    with pytest.raises(ConflictError, match="is champion: it cannot become rejected"):
        registry.move(home.engine, a, "rejected", "ann", "w", CLOCK)
    with pytest.raises(ConflictError, match="cannot become champion"):
        registry.move(home.engine, b, "champion", "ann", "w", CLOCK)
    registry.move(home.engine, b, "rejected", "ann", "w", CLOCK)
    assert states(home)[b] == "rejected"


def test_latest_is_the_one_trained_last_whatever_the_clock_said(home, tags):
    """Three in one moment, and one after the clock had been set back."""
    assert registry.resolve(home.engine, "latest", "v1") == tags[-1]
    card = load_model(home.settings, tags[0]).card
    set_back = fixed_clock(AS_OF - timedelta(days=3))
    registry.register(home.engine, home.settings, "parking:0", card, home.settings.manifests_dir / "0.json", set_back)
    assert registry.resolve(home.engine, "latest", "v1") == "parking:0"
    flip.publish(home.settings, home.engine, tags[0], "ann", "why", CLOCK)
    assert registry.resolve(home.engine, "latest", "v1") == "parking:0"
    assert [model.tag for model in registry.models(home.engine)] == ["parking:0", *tags[::-1]]


def test_without_any_model_there_is_no_latest(new_home):
    empty = new_home(make_world(devices=1, per_device=1))
    with pytest.raises(NotFoundError, match="no model is registered"):
        registry.resolve(empty.engine, "latest", "v1")
