"""What an endpoint is opened with, and who a request comes from by its headers.

API keys are required off loopback, and wherever there is a key or a store of keys in the settings. Not covered: making keys
(`serving/keys.py`).
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from data.errors import BadInput
from serving.customer_keys import CustomerKeys
from serving.database import database_url
from serving.embedder import Embedder
from serving.errors import Forbidden, Unauthorized
from serving.identity import DEMO_CUSTOMER, customer_of
from serving.keys import KeyStore, Scope, fingerprint
from serving.limits import NO_LIMIT, Allowance
from serving.memory import Bounds, Owner
from serving.release import Release


@dataclass(frozen=True)
class GatewaySettings:
    """Everything that `create_app` needs; nothing is read from anywhere else afterwards."""

    release: Release
    engine_base_url: str  # without /v1
    customer_keys: CustomerKeys = field(repr=False)
    engine_model: str = "kefu"  # the name that the engine serves the model under
    shop_url: str = field(default_factory=lambda: database_url("shop.db"))
    conversations_url: str = field(default_factory=lambda: database_url("conversations.db"))
    host: str = "127.0.0.1"
    demo: bool = False  # requests without a customer token come from the demo customer; loopback only
    api_keys: tuple[str, ...] = field(default=(), repr=False)  # with the scope chat alone
    key_store: KeyStore | None = field(default=None, repr=False)  # more keys, with scopes; closed with the endpoint
    page_embedders: tuple[str, ...] = ()  # origins whose pages may hold the chat page in a frame
    stale: bool = False  # served from the last verified copy because the registry was away
    predict_intent: bool = True
    engine_timeout_s: float = 120.0
    request_timeout_s: float = 180.0  # of a request as a whole, all its engine calls and its stream included
    engine_seats: int | None = None  # requests with the engine at a time; None: twice what it computes at a time
    engine_queue: int | None = None  # requests that may wait for a seat; None: four times the seats
    key_allowance: Allowance = NO_LIMIT
    customer_allowance: Allowance = NO_LIMIT
    redis_url: str | None = field(default=None, repr=False)  # counts limits for several gateways; None: in this process
    max_body_bytes: int = 1 << 20
    cors_origins: tuple[str, ...] = ()  # pages elsewhere that may call the endpoint
    trusted_hosts: tuple[str, ...] = ()  # names to which it answers; empty: any
    keep_alive_s: float = 15.0  # a stream that is silent for so long says that it lives
    bounds: Bounds = field(default_factory=Bounds)  # of conversations: messages, bytes, retention time
    traces_uri: str | None = None  # the MLflow that gets traces; None: none does
    trace_share: float = 0.1  # of the requests
    embedder: Embedder | None = None  # of the FAQ; None: as the environment says
    champion: Callable[[], Release] | None = None  # the release that should serve now, to take a new FAQ from

    def __post_init__(self) -> None:
        """Raises `BadInput` where the settings would open the shop to anybody."""
        if not 0 <= self.trace_share <= 1:
            raise BadInput(f"trace_share is a share of the requests, 0 to 1, not {self.trace_share}")
        loopback = is_loopback(self.host)
        if self.demo and not loopback:
            raise BadInput(f"--demo signs everybody in as one customer; it is for loopback only, not for {self.host}")
        if self.api_keys or (loopback and self.key_store is None):
            return
        if self.key_store is None or not self.key_store.any_active():
            raise BadInput(
                f"bound to {self.host}, the endpoint needs at least one API key: kefu keys create NAME; "
                "on 127.0.0.1 it needs none"
            )

    def owner(self, headers: Mapping[str, str], scope: Scope | None = "chat") -> Owner:
        """Who sends a request: the API key's fingerprint and the signed-in customer. Without keys everybody has each scope.

        Raises:
            Unauthorized: a key is required and missing or wrong, or the customer token does not hold.
            Forbidden: the key lacks `scope` (None: any key will do).
        """
        key = None
        if self.api_keys or self.key_store is not None:
            key, scopes = self._key(headers.get("authorization", ""))
            if scope is not None and scope not in scopes:
                raise Forbidden(f"this API key lacks the scope {scope}", code="missing_scope")
        token = headers.get("x-customer-token")
        customer = customer_of(token, self.customer_keys) if token else DEMO_CUSTOMER if self.demo else None
        return Owner(customer, key)

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names that the endpoint answers to, each once."""
        info = self.release.info
        return tuple(dict.fromkeys(("kefu", "Qwen3-1.7B", info.name, *info.model_names)))

    @cached_property
    def _given(self) -> frozenset[str]:
        return frozenset(fingerprint(key) for key in self.api_keys)

    def _key(self, authorization: str) -> tuple[str, tuple[Scope, ...]]:
        """A key's fingerprint and scopes. Found by its hash, which tells nothing about how near a wrong one came."""
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() == "bearer":
            digest = fingerprint(secret.strip())
            if digest in self._given:
                return digest, ("chat",)
            found = self.key_store.find(digest) if self.key_store is not None else None
            if found is not None:
                return digest, found.scopes
        raise Unauthorized("a valid API key is required: Authorization: Bearer KEY", code="invalid_api_key")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
