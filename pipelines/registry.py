"""MLflow, and nothing else here knows it: runs, figures, data sets, prompts, model versions and their aliases.

By default everything lies below `$KEFU_HOME` (`mlflow.db`, `mlartifacts`); `MLFLOW_TRACKING_URI` moves it to a server.
Calls name their run explicitly, so nothing depends on a thread's active run. A release is one version of the model
`kefu`, and the version carries only the release folder. Not covered: which version serves (`pipelines/rollout.py`).
"""

import getpass
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from data.artifact import home
from data.chat import Prompts
from data.errors import BadInput, EnvironmentLacks
from serving.release import Release

MODEL = "kefu"
Alias = Literal["challenger", "champion", "previous"]
BATCH = 20  # steps of a loss curve that are sent together
LONGEST_PARAM = 500
_NO_NAME = re.compile(r"[^\w\-. :/]", re.ASCII)  # what MLflow takes in no metric's name


class RegistryAway(EnvironmentLacks):
    """MLflow does not answer."""


@dataclass(frozen=True)
class Version:
    """One registered release."""

    number: str
    digest: str
    purpose: str
    decision: Literal["passed", "rejected"]
    source: str
    run_id: str
    name: str


@dataclass
class Run:
    """One MLflow run, open while its block runs."""

    client: Any
    run_id: str
    experiment_id: str
    artifact_uri: str
    _waiting: list[Any] = field(default_factory=list)

    @contextmanager
    def nested(self, name: str) -> Iterator["Run"]:
        """A stage's own run below this one."""
        with _running(self.client, self.experiment_id, name, {"mlflow.parentRunId": self.run_id}) as run:
            yield run

    def tag(self, **tags: Any) -> None:
        """Sets tags."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, str(value))

    def params(self, values: Any) -> None:
        """Logs a nested mapping as parameters with dotted names."""
        from mlflow.entities import Param

        flat = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in _flatten(values)]
        self.client.log_batch(self.run_id, params=flat)

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Logs the numbers among `values`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        numbers = {
            _NO_NAME.sub("_", name): value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self.client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, 0) for k, v in numbers.items()])

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Adds a point to the curves; a server that is away for a moment does not stop a training."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(key, float(value), now, step) for key, value in figures.items()]
        if step % BATCH == 0:
            try:
                self.flush()
            except RegistryAway:
                logging.getLogger(__name__).warning("MLflow does not answer; the loss curve is kept and sent later")

    def flush(self) -> None:
        """Sends the points that still wait."""
        if self._waiting:
            self.client.log_batch(self.run_id, metrics=self._waiting)
            self._waiting.clear()

    def dataset(self, name: str, digest: str, context: str, source: str) -> None:
        """Logs what was read as an input: its SHA-256 shortened to MLflow's 36 characters, whole in a tag."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name=name, digest=digest[:36], source_type="local", source=source, schema=None, profile=None)
        tags = [InputTag("mlflow.data.context", context), InputTag("sha256", digest)]
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def files(self, *paths: Path, folder: str | None = None) -> None:
        """Copies files, or whole folders, to the run's artifacts below `folder`."""
        for path in paths:
            if path.is_dir():
                self.client.log_artifacts(self.run_id, str(path), folder or path.name)
            else:
                self.client.log_artifact(self.run_id, str(path), folder)


class Registry:
    """An MLflow server or store."""

    def __init__(self, uri: str, artifacts: Path | None) -> None:
        self.uri = uri
        self._artifacts = artifacts
        self._client = _Client(uri)

    @classmethod
    def open(cls) -> Self:
        """The store below `$KEFU_HOME`, or the server in `MLFLOW_TRACKING_URI`."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a minute of silence helps nobody
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        if server := os.environ.get("MLFLOW_TRACKING_URI"):
            return cls(server, None)
        home().mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{home().resolve() / 'mlflow.db'}", home().resolve() / "mlartifacts")

    @property
    def launch(self) -> str:
        """The command, or the address, that shows what is in it."""
        return self.uri if self._artifacts is None else f"mlflow ui --backend-store-uri {self.uri}"

    @contextmanager
    def run(self, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
        """A parent run in the experiment `kefu`: FINISHED after the block, FAILED or KILLED if that raises."""
        with _running(self._client, self._experiment(), name, tags) as run:
            yield run

    def keep_prompts(self, prompts: Prompts) -> dict[str, str]:
        """Registers each prompt whose text is not the newest version's; returns every prompt's version."""
        texts = {f"{MODEL}-agent-{language}": text for language, text in prompts.agent.items()}
        texts[f"{MODEL}-intent"] = prompts.intent
        return {name: self._keep_prompt(name, text) for name, text in texts.items()}

    def register(self, release: Release, run: Run, decision: Literal["passed", "rejected"]) -> Version:
        """The version that carries this release; one that exists already (equal digest) is returned as it is."""
        found = self.find(release.digest)
        if found is not None:
            return found
        run.files(release.folder, folder="release")
        if not self._client.search_registered_models(f"name = '{MODEL}'"):
            self._client.create_registered_model(MODEL)
        tags = {
            "digest": release.digest,
            "purpose": release.info.purpose,
            "decision": decision,
            "name": release.info.name,
        }
        source = f"{run.artifact_uri}/release"
        return _version(self._client.create_model_version(MODEL, source=source, run_id=run.run_id, tags=tags))

    def find(self, digest: str) -> Version | None:
        """The version with this release digest."""
        found = self._client.search_model_versions(f"name = '{MODEL}' and tags.digest = '{digest}'")
        return _version(found[0]) if found else None

    def version(self, reference: str) -> Version | None:
        """The version that an alias or a number names, or None if there is none."""
        if reference.isdigit():
            found = self._client.search_model_versions(f"name = '{MODEL}' and version_number = {reference}")
            return _version(found[0]) if found else None
        found = self._client.search_registered_models(f"name = '{MODEL}'")
        number = found[0].aliases.get(reference) if found else None
        return self.version(str(number)) if number is not None else None

    def point(self, alias: Alias, number: str | None) -> None:
        """Moves an alias to a version, or removes it."""
        if number is not None:
            self._client.set_registered_model_alias(MODEL, alias, number)
        elif self.version(alias) is not None:
            self._client.delete_registered_model_alias(MODEL, alias)

    def mark(self, number: str, **tags: Any) -> None:
        """Sets tags of a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(MODEL, number, key, str(value).lower())

    def download(self, version: Version, folder: Path) -> Path:
        """Copies a version's release folder below `folder` and returns where it lies."""
        from mlflow.artifacts import download_artifacts

        with _answering(self.uri):
            return Path(download_artifacts(artifact_uri=version.source, dst_path=str(folder), tracking_uri=self.uri))

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(MODEL)
        if found is not None:
            return str(found.experiment_id)
        location = self._artifacts.as_uri() if self._artifacts else None
        return str(self._client.create_experiment(MODEL, artifact_location=location))

    def _keep_prompt(self, name: str, text: str) -> str:
        known = self._client.search_prompts(f"name = '{name}'")
        if known:
            newest = self._client.load_prompt(f"prompts:/{name}@latest")
            if newest.template == text:
                return str(newest.version)
        return str(self._client.register_prompt(name, text, commit_message="as released").version)


class _Client:
    """MLflow's client whose calls raise `RegistryAway` when the other side does not answer."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with _answering(uri):
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            with _answering(self._uri):
                return method(*arguments, **options)

        return call


@contextmanager
def _answering(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import OperationalError

    advice = "start it, or point MLFLOW_TRACKING_URI elsewhere"
    try:
        yield
    except (RequestException, OperationalError) as error:
        raise RegistryAway(f"MLflow at {uri} does not answer ({error}); {advice}") from error
    except MlflowException as error:
        if error.error_code not in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "UNAUTHENTICATED"):
            raise BadInput(f"MLflow at {uri} refuses: {error}") from error
        raise RegistryAway(f"MLflow at {uri} does not answer ({error}); {advice}") from error


@contextmanager
def _running(client: Any, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    user = {"mlflow.user": getpass.getuser(), "mlflow.source.name": "kefu"}
    info = client.create_run(experiment, run_name=name, tags={**user, **tags}).info
    run = Run(client, info.run_id, experiment, info.artifact_uri)
    try:
        yield run
        run.flush()
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        try:
            client.set_terminated(run.run_id, status)
        except RegistryAway:  # the first error is the one to tell
            logging.getLogger(__name__).warning("MLflow does not answer; run %s stays open there", run.run_id)
        raise
    client.set_terminated(run.run_id, "FINISHED")


def _version(found: Any) -> Version:
    tags = found.tags
    return Version(
        number=str(found.version),
        digest=tags.get("digest", ""),
        purpose=tags.get("purpose", ""),
        decision="passed" if tags.get("decision") == "passed" else "rejected",
        source=found.source,
        run_id=found.run_id or "",
        name=tags.get("name", ""),
    )


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value
