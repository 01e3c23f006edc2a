"""Which release serves: promotion, rollback, and the way from a name to a verified folder on this disk.

The ledger decides and MLflow's aliases follow. A move whose end is missing is finished on the next call; while MLflow
is away, the ledger's champion is served from `$KEFU_HOME/releases` and called stale. Not covered: swapping a running
engine.
"""

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

from data.artifact import home
from data.errors import BadInput, CheckFailed, EnvironmentLacks
from pipelines.ledger import Entry, Ledger, Mark, Standing, now
from pipelines.registry import Registry, RegistryAway, Version
from serving.release import Release


@dataclass(frozen=True)
class Resolved:
    """A release that lies on this disk and matches its digest. `stale`: MLflow could not be asked."""

    release: Release
    version: str | None
    stale: bool = False


@dataclass(frozen=True)
class Moved:
    """What a promotion or a rollback did. `pending`: the ledger has it, MLflow's aliases follow when it answers."""

    version: str
    previous: str | None
    seconds: float
    changed: bool
    pending: bool = False


class Rollout:
    """The releases of this home."""

    def __init__(self, registry: Registry, ledger: Ledger | None = None, releases: Path | None = None) -> None:
        self._registry = registry
        self._ledger = ledger or Ledger.default()
        self._releases = releases or home() / "releases"

    def promote(self, reference: str, *, mechanics: bool = False) -> Moved:
        """Makes a version the champion; the release is on this disk and verified before anything moves.

        Raises:
            BadInput: there is no such version.
            CheckFailed: the gate rejected it; `mechanics` lets one through that has no other purpose.
        """
        started = time.monotonic()
        with self._ledger.locked():
            standing = self._finish(self._ledger.standing())
            version = self._version(reference)
            _require_promotable(version, mechanics)
            before = standing.champion or self._champion_elsewhere()
            if before is not None and before.digest == version.digest:
                previous = standing.previous.version if standing.previous else None
                return Moved(version.number, previous, _since(started), changed=False)
            self._fetch(version)
            pending = self._move("promote", _mark(version), before)
            return Moved(version.number, before.version if before else None, _since(started), True, pending)

    def rollback(self) -> Moved:
        """Makes the champion before this one the champion again; works without MLflow, from this disk.

        Raises:
            CheckFailed: there is none to go back to.
        """
        started = time.monotonic()
        with self._ledger.locked():
            standing = self._ledger.standing()
            with contextlib.suppress(RegistryAway):  # the ledger suffices
                standing = self._finish(standing)
            leaving, target = standing.champion, standing.previous
            if leaving is None or target is None:
                raise CheckFailed("there is no earlier champion to go back to; `kefu ledger` lists all that happened")
            self._on_disk(target)
            pending = self._move("rollback", target, leaving)
            return Moved(target.version, leaving.version, _since(started), True, pending)

    def resolve(self, reference: str = "champion") -> Resolved:
        """The release behind an alias, a version number or a folder, on this disk and verified.

        Raises:
            BadInput: there is nothing by that name.
            EnvironmentLacks: MLflow is away and this disk does not hold it.
        """
        if (Path(reference) / "release.json").is_file():
            return Resolved(Release.open(Path(reference)), None)
        if reference != "champion":
            version = self._version(reference)
            return Resolved(self._fetch(version), version.number)
        champion = self.champion()
        if champion is None:
            raise BadInput("there is no champion yet; make one: kefu release recipes/smollm2-135m.yaml")
        return champion

    def champion(self) -> Resolved | None:
        """The release that serves, verified, or None if there never was one.

        Raises:
            EnvironmentLacks: MLflow is away and nothing was served here before.
        """
        with self._ledger.locked():
            return self._champion()

    def _champion(self) -> Resolved | None:
        standing, stale = self._ledger.standing(), False
        try:
            standing = self._finish(standing)
            elsewhere = self._champion_elsewhere()
            if elsewhere is not None and elsewhere != standing.champion:
                standing = self._reconcile(elsewhere, standing)
        except RegistryAway:
            stale = True
        if standing.champion is None:
            if stale:
                raise EnvironmentLacks(
                    f"MLflow at {self._registry.uri} does not answer, and no champion was served here before"
                )
            return None
        return Resolved(self._on_disk(standing.champion), standing.champion.version, stale)

    def _reconcile(self, elsewhere: Mark, standing: Standing) -> Standing:
        """The alias names another champion than the ledger: a home that has moved champions itself puts the alias back;
        one that only serves follows it."""
        if standing.moved:
            assert standing.champion is not None, "a move leaves a champion"
            self._registry.point("champion", standing.champion.version)
            return standing
        self._fetch(self._version("champion"))
        self._ledger.append(_entry("seen", "seen", elsewhere, None))
        return self._ledger.standing()

    def _version(self, reference: str) -> Version:
        version = self._registry.version(reference)
        if version is None:
            raise BadInput(
                f"no release {reference!r}; expected champion, previous, challenger, a version number or a folder"
            )
        return version

    def _champion_elsewhere(self) -> Mark | None:
        """The champion that the registry names, for a home whose ledger has no move yet."""
        version = self._registry.version("champion")
        return _mark(version) if version else None

    def _move(self, action: Literal["promote", "rollback"], champion: Mark, leaving: Mark | None) -> bool:
        """Writes the intent, moves the aliases, writes the end; True if MLflow is away and the end is still to come."""
        self._ledger.append(_entry(action, "intent", champion, leaving))
        try:
            self._finish(self._ledger.standing())
        except RegistryAway:
            return True
        return False

    def _finish(self, standing: Standing) -> Standing:
        """Completes an unfinished move: the aliases as the ledger says, then its end."""
        intent = standing.unfinished
        if intent is None:
            return standing
        previous = standing.previous.version if standing.previous else None
        self._registry.point("champion", intent.champion.version)
        self._registry.point("previous", previous)
        self._ledger.append(intent.model_copy(update={"step": "done", "at": now()}))
        return self._ledger.standing()

    def _on_disk(self, mark: Mark) -> Release:
        """The verified folder of a champion; fetched again if it is missing or damaged and MLflow answers."""
        try:
            return self._open(mark.digest)
        except BadInput:
            return self._fetch(self._version(mark.version))

    def _open(self, digest: str) -> Release:
        release = Release.open(self._releases / digest)
        if release.digest != digest:
            raise BadInput(f"{release.folder} holds the release {release.digest[:12]}, expected {digest[:12]}")
        return release

    def _fetch(self, version: Version) -> Release:
        """The release in `releases/DIGEST`: downloaded beside it, verified, and renamed."""
        try:
            return self._open(version.digest)
        except BadInput:
            shutil.rmtree(self._releases / version.digest, ignore_errors=True)
        self._releases.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=".incoming-", dir=self._releases))
        try:
            release = Release.open(self._registry.download(version, temporary))
            if release.digest != version.digest:
                raise BadInput(
                    f"version {version.number} should have the digest {version.digest[:12]}, "
                    f"what MLflow sent has {release.digest[:12]}; release it again"
                )
            release.folder.rename(self._releases / version.digest)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Release(self._releases / version.digest)


def _require_promotable(version: Version, mechanics: bool) -> None:
    if version.decision == "passed":
        return
    if version.purpose == "mechanics" and mechanics:
        return
    how = "; --mechanics promotes it in a test home" if version.purpose == "mechanics" else "; see its report"
    raise CheckFailed(f"the gate rejected version {version.number} ({version.name}), so it is not promoted{how}")


def _mark(version: Version) -> Mark:
    mechanics = version.decision == "rejected"
    return Mark(version=version.number, digest=version.digest, name=version.name, mechanics=mechanics)


def _entry(action: Any, step: Any, champion: Mark, previous: Mark | None) -> Entry:
    stamp = now()
    move = f"{stamp}-{action}-{champion.version}"
    return Entry(move=move, step=step, action=action, at=stamp, champion=champion, previous=previous)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)
