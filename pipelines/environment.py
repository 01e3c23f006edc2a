"""The environment variables of `kefu serve`, in one place: what each means, and what it is when it is not set.

`kefu serve --help` lists them. Not covered: where state lives (KEFU_HOME, KEFU_DATABASE_URL, MLFLOW_TRACKING_URI) and
the embedder (KEFU_EMBEDDER_URL, KEFU_EMBEDDER_MODEL), which every command reads. Imports nothing heavy, so that the help
can show it.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from data.errors import BadInput

DAY_S = 86_400.0
_REDIS = ("redis://", "rediss://", "unix://")


def _names(text: Any) -> Any:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _amount(text: Any) -> Any:
    return 0 if text == "none" else text


def _is_redis(url: str) -> bool:
    return url.startswith(_REDIS)


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Amount = Annotated[int | None, BeforeValidator(_amount), Field(ge=0)]  # 0, or none: without bound


class ServeEnvironment(BaseModel):
    """What the environment says about an endpoint. The name of a variable is KEFU_ and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_keys: Names = Field((), description="API keys with the scope chat, beside those of kefu keys", repr=False)
    require_api_keys: bool = Field(False, description="1: ask for API keys on loopback too (behind a proxy)")
    key_requests_per_minute: Amount = Field(
        None, description="requests a minute of an API key; 0: any number (off loopback 3,000)"
    )
    key_tokens_per_minute: Amount = Field(None, description="its prompt and completion tokens a minute (1,000,000)")
    key_concurrency: Amount = Field(None, description="its requests at once (64)")
    customer_requests_per_minute: Amount = Field(None, description="requests a minute of a customer (off loopback 60)")
    customer_tokens_per_minute: Amount = Field(None, description="a customer's tokens a minute (100,000)")
    customer_concurrency: Amount = Field(None, description="a customer's requests at once (4)")
    redis_url: str | None = Field(
        None, description="counts limits for several gateways: redis://HOST:6379/0", repr=False
    )
    engine_seats: PositiveInt | None = Field(
        None, description="requests with the engine at once (twice its max_num_seqs)"
    )
    engine_queue: Annotated[int | None, Field(ge=0)] = Field(
        None, description="requests that may wait for the engine (four times the seats)"
    )
    request_timeout_s: PositiveFloat = Field(180.0, description="seconds that a request may take, its stream included")
    max_body_bytes: PositiveInt = Field(1 << 20, description="bytes of a request")
    cors_origins: Names = Field((), description="origins whose pages may call the endpoint: https://shop.example")
    page_embedders: Names = Field(
        (), description="origins whose pages may hold the chat page in a frame: https://shop.example"
    )
    trace_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="share of requests that MLflow gets traces of; 0: none"
    )
    retention_days: Annotated[float, Field(ge=1 / 24, le=3650)] = Field(
        30.0, description="days that conversations and feedback are kept after their last use"
    )
    trusted_hosts: Names = Field(
        (), description="host names that are answered, *.shop.example or * (on loopback localhost, else any)"
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "ServeEnvironment":
        """Reads the variables; an empty one counts as not set.

        Raises:
            BadInput: values do not do; every one is named, secrets are not shown.
        """
        from serving.web import is_host, is_origin

        given = {name: environment.get(variable(name)) for name in cls.model_fields}
        try:
            found = cls.model_validate({name: value for name, value in given.items() if value})
        except ValidationError as error:
            raise BadInput("\n".join(_told(problem) for problem in error.errors())) from error
        for name, values, fits, shape in (
            ("redis_url", [found.redis_url or _REDIS[0]], _is_redis, f"a URL that begins with {', '.join(_REDIS)}"),
            ("cors_origins", found.cors_origins, is_origin, "https://shop.example[:PORT], without a path"),
            ("page_embedders", found.page_embedders, is_origin, "https://shop.example[:PORT], without a path"),
            ("trusted_hosts", found.trusted_hosts, is_host, "shop.example, *.shop.example or an address, no port"),
        ):
            if wrong := [value for value in values if not fits(value)]:
                told = f"; found {', '.join(wrong)}" if cls.model_fields[name].repr else ""
                raise BadInput(f"{variable(name)}: expected {shape}{told}")
        return found

    def settings(self, host: str, conversations_url: str) -> dict[str, Any]:
        """The fields of `GatewaySettings` for an endpoint that is bound to `host`. On loopback, which one person uses,
        nothing is limited unless it is said.

        Raises:
            BadInput, EnvironmentLacks: the database of the keys cannot be opened.
        """
        from pipelines.registry import Registry
        from serving.keys import KeyStore
        from serving.limits import Allowance
        from serving.memory import Bounds
        from serving.settings import is_loopback
        from serving.web import LOOPBACK_HOSTS

        loopback = is_loopback(host)
        keys = bool(self.api_keys) or self.require_api_keys or not loopback
        names = ("requests_per_minute", "tokens_per_minute", "concurrency")
        allowances = {}
        for party, usual in (("key", (3000, 1_000_000, 64)), ("customer", (60, 100_000, 4))):
            said = [getattr(self, f"{party}_{name}") for name in names]
            amounts = [
                (None if loopback else normal) if amount is None else amount or None
                for amount, normal in zip(said, usual, strict=True)
            ]
            allowances[f"{party}_allowance"] = Allowance(*amounts)
        any_host = "*" in self.trusted_hosts or not (self.trusted_hosts or loopback)
        return {
            "api_keys": self.api_keys,
            "key_store": KeyStore.open(conversations_url) if keys else None,
            **allowances,
            "redis_url": self.redis_url,
            "engine_seats": self.engine_seats,
            "engine_queue": self.engine_queue,
            "request_timeout_s": self.request_timeout_s,
            "max_body_bytes": self.max_body_bytes,
            "cors_origins": self.cors_origins,
            "page_embedders": self.page_embedders,
            "trace_share": self.trace_share,
            "traces_uri": Registry.open().uri if self.trace_share else None,
            "bounds": Bounds(retention_s=self.retention_days * DAY_S),
            "trusted_hosts": () if any_host else (*self.trusted_hosts, *LOOPBACK_HOSTS),
        }


def variable(name: str) -> str:
    """The environment variable of a field."""
    return f"KEFU_{name.upper()}"


def documentation() -> Iterator[tuple[str, str]]:
    """Every variable and what it means."""
    for name, field in ServeEnvironment.model_fields.items():
        default = f" ({field.default:,})" if isinstance(field.default, int | float) and field.default else ""
        yield variable(name), f"{field.description}{default}"


def _told(problem: Any) -> str:
    name = str(problem["loc"][0])
    found = f" (found {problem['input']!r})" if ServeEnvironment.model_fields[name].repr else ""
    return f"{variable(name)}: {problem['msg']}{found}"
