import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import BadInput, CheckFailed, EnvironmentLacks
from pipelines.ledger import Entry, Ledger, Mark, Standing, last_move_seconds
from pipelines.registry import Registry, RegistryAway
from pipelines.rollout import Rollout
from tests.pipelines.registered import MakeRelease, Register


class AwayRegistry(Registry):
    """A registry whose server went away."""

    def __init__(self) -> None:
        self.uri = "http://mlflow.example"

    def version(self, reference: str) -> None:
        raise RegistryAway("away")

    def point(self, alias: str, number: str | None) -> None:
        raise RegistryAway("away")


def test_promote_moves_the_aliases_and_writes_the_ledger(
    registry: Registry, rollout: Rollout, register: Register, ledger: Ledger
) -> None:
    first, second = register("one"), register("two")
    assert rollout.promote(first.number).previous is None
    moved = rollout.promote(second.number)
    assert (moved.version, moved.previous, moved.changed, moved.pending) == ("2", "1", True, False)
    assert registry.version("champion") == second and registry.version("previous") == first
    assert [(e.action, e.step) for e in ledger.entries()] == [("promote", "intent"), ("promote", "done")] * 2
    assert last_move_seconds(ledger.entries()) is not None


def test_promoting_the_champion_changes_nothing(rollout: Rollout, register: Register, ledger: Ledger) -> None:
    register("one")
    rollout.promote("1")
    assert not rollout.promote("1").changed
    assert len(ledger.entries()) == 2


def test_rollback_goes_one_back_and_then_says_there_is_no_more(
    registry: Registry, rollout: Rollout, register: Register
) -> None:
    for weights in ("one", "two", "three"):
        rollout.promote(register(weights).number)
    assert rollout.rollback().version == "2"
    moved = rollout.rollback()
    assert (moved.version, moved.previous) == ("1", "2")
    assert registry.version("previous") is None
    with pytest.raises(CheckFailed, match="no earlier champion"):
        rollout.rollback()


def test_a_rejected_release_is_never_promoted(rollout: Rollout, register: Register, ledger: Ledger) -> None:
    register("one", passed=False)
    for mechanics in (False, True):
        with pytest.raises(CheckFailed, match="the gate rejected version 1"):
            rollout.promote("1", mechanics=mechanics)
    assert ledger.entries() == []


def test_mechanics_is_promoted_only_when_asked_for(rollout: Rollout, register: Register, ledger: Ledger) -> None:
    register("one", purpose="mechanics", passed=False)
    with pytest.raises(CheckFailed, match="--mechanics"):
        rollout.promote("1")
    assert rollout.promote("1", mechanics=True).changed
    champion = ledger.standing().champion
    assert champion is not None and champion.mechanics


def test_resolve_gives_a_verified_folder(rollout: Rollout, register: Register, make_release: MakeRelease) -> None:
    with pytest.raises(BadInput, match="no champion yet"):
        rollout.resolve()
    version = register("one")
    rollout.promote("1")
    resolved = rollout.resolve()
    assert resolved.release.digest == version.digest and resolved.release.folder.name == version.digest
    assert not resolved.stale
    assert rollout.resolve("1").release.digest == version.digest
    assert rollout.resolve(str(make_release("two").folder)).version is None
    with pytest.raises(BadInput, match="no release 'nobody'"):
        rollout.resolve("nobody")


def test_a_damaged_release_is_fetched_again(rollout: Rollout, register: Register) -> None:
    register("one")
    rollout.promote("1")
    weights = rollout.resolve().release.model / "model.safetensors"
    weights.write_text("damaged", encoding="utf-8")
    assert (rollout.resolve().release.model / "model.safetensors").read_text(encoding="utf-8") == "one"


def test_what_mlflow_sends_must_have_the_digest(
    registry: Registry, rollout: Rollout, register: Register, kefu_home: Path
) -> None:
    version = register("one")
    registry.mark(version.number, digest="0" * 64)
    with pytest.raises(BadInput, match="should have the digest 000000000000"):
        rollout.promote("1")
    assert list((kefu_home / "releases").iterdir()) == []


def test_without_mlflow_the_last_champion_is_served_and_called_stale(rollout: Rollout, register: Register) -> None:
    with pytest.raises(EnvironmentLacks, match="no champion was served here before"):
        Rollout(AwayRegistry()).resolve()
    version = register("one")
    rollout.promote("1")
    resolved = Rollout(AwayRegistry()).resolve()
    assert resolved.stale and resolved.release.digest == version.digest


def test_rollback_works_without_mlflow_and_the_aliases_follow(
    registry: Registry, rollout: Rollout, register: Register, ledger: Ledger
) -> None:
    for weights in ("one", "two"):
        rollout.promote(register(weights).number)
    moved = Rollout(AwayRegistry()).rollback()
    assert moved.pending and moved.version == "1"
    assert Rollout(AwayRegistry()).resolve().version == "1"
    champion = registry.version("champion")
    assert champion is not None and champion.number == "2"
    assert rollout.resolve().version == "1"
    champion = registry.version("champion")
    assert champion is not None and champion.number == "1"
    assert ledger.standing().unfinished is None


def test_an_interrupted_promotion_is_finished_on_the_next_call(
    registry: Registry, rollout: Rollout, register: Register, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("one")

    def killed(alias: str, number: str | None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(registry, "point", killed)
        rollout.promote("1")
    assert ledger.standing().unfinished is not None
    assert rollout.resolve().version == "1"
    assert [entry.step for entry in ledger.entries()] == ["intent", "done"]


def test_another_home_follows_the_alias_and_remembers(
    registry: Registry, rollout: Rollout, register: Register, tmp_path: Path
) -> None:
    for weights in ("one", "two"):
        rollout.promote(register(weights).number)
    elsewhere = Ledger(tmp_path / "elsewhere" / "ledger.jsonl")
    other = Rollout(registry, elsewhere, tmp_path / "elsewhere" / "releases")
    assert other.resolve().version == "2"
    away = Rollout(AwayRegistry(), elsewhere, tmp_path / "elsewhere" / "releases")
    assert away.resolve().stale and away.resolve().version == "2"
    rollout.rollback()
    assert other.resolve().version == "1"
    assert [entry.step for entry in elsewhere.entries()] == ["seen", "seen"]


def test_a_torn_line_is_no_entry_and_a_broken_one_is_refused(
    ledger: Ledger, rollout: Rollout, register: Register
) -> None:
    register("one")
    rollout.promote("1")
    with ledger.path.open("a", encoding="utf-8") as file:
        file.write('{"move": "x", "ste')
    assert len(ledger.entries()) == 2
    ledger.append(ledger.entries()[-1])
    assert len(ledger.entries()) == 3
    ledger.path.write_text('{"x": 1}\n', encoding="utf-8")
    with pytest.raises(BadInput, match=r"ledger\.jsonl:1: not a ledger entry"):
        ledger.entries()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.one_of(st.integers(0, 5), st.just("back")), max_size=20))
def test_the_lines_add_up_to_a_stack(moves: list[int | str]) -> None:
    entries: list[Entry] = []
    stack: list[str] = []
    for number, move in enumerate(moves):
        leaving = Mark(version=stack[-1], digest=stack[-1]) if stack else None
        if move == "back":
            if len(stack) < 2:
                continue
            stack.pop()
        else:
            if stack and stack[-1] == str(move):
                continue
            stack.append(str(move))
        action = "rollback" if move == "back" else "promote"
        champion = Mark(version=stack[-1], digest=stack[-1])
        for step in ("intent", "done"):
            entry = {"move": str(number), "step": step, "action": action, "at": "", "champion": champion}
            entries.append(Entry.model_validate({**entry, "previous": leaving}))
    standing = Standing.of([Entry.model_validate(json.loads(entry.model_dump_json())) for entry in entries])
    assert [mark.version for mark in standing.champions] == stack
    assert standing.unfinished is None
