"""What the endpoint answers when it cannot serve a request, and the HTTP status of each case.

ServiceError (a KefuError)
├── BadRequest            400  the request cannot be served as it is
├── Unauthorized          401  no valid API key, or a customer token that does not hold
├── Forbidden             403  the API key lacks the scope
├── NotFound              404  unknown model, or a conversation that is not the caller's
├── TooLarge              413  the body is larger than the limit
├── RateLimited           429  this caller asks for more than it may; others are served
├── Unavailable           503  something that every caller needs is away; try again later
│   ├── EngineUnavailable      the engine is down, or fails
│   └── Overloaded             too many requests wait for the engine already
├── EngineTimeout         504  the engine did not answer before the deadline
└── DeadlineExceeded      504  the request as a whole took too long
"""

import math
from typing import Any

from data.errors import KefuError

OUR_FAULT = "something went wrong on our side"


class ServiceError(KefuError):
    """An error that leaves the endpoint in OpenAI's shape: message, type, param, code."""

    type = "server_error"
    retry_after_s: float | None = None

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.code = message, param, code
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status of this class, or of the nearest class above it that the table names."""
        return next(STATUS[cls] for cls in type(self).__mro__ if cls in STATUS)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer: when to come again, in whole seconds, never too early."""
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))} if self.retry_after_s is not None else {}

    def body(self) -> dict[str, Any]:
        """The JSON body that OpenAI's clients expect."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(ServiceError):
    """The request is malformed, or asks for something that is not offered."""

    type = "invalid_request_error"


class Unauthorized(ServiceError):
    """The caller did not prove who it is."""

    type = "authentication_error"

    @property
    def headers(self) -> dict[str, str]:
        """How to prove it (RFC 6750)."""
        return {"WWW-Authenticate": 'Bearer realm="kefu"'}


class Forbidden(ServiceError):
    """The caller is known, and may not do this."""

    type = "invalid_request_error"


class NotFound(ServiceError):
    """There is no such thing for this caller; what belongs to others answers the same."""

    type = "invalid_request_error"


class TooLarge(ServiceError):
    """The body is over the limit."""

    type = "invalid_request_error"


class RateLimited(ServiceError):
    """This caller is over one of its limits; `type` is what is limited, as OpenAI has it: requests or tokens."""

    def __init__(self, message: str, *, type: str, code: str = "rate_limit_exceeded", retry_after_s: float) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)
        self.type = type


class Unavailable(ServiceError):
    """Nobody can be served right now."""

    retry_after_s = 5


class EngineUnavailable(Unavailable):
    """The engine cannot be reached, refuses work, or failed."""


class Overloaded(Unavailable):
    """As many requests wait as may wait."""


class EngineTimeout(ServiceError):
    """The engine did not finish in time."""


class DeadlineExceeded(ServiceError):
    """The request did not finish in time."""


STATUS: dict[type[Exception], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    TooLarge: 413,
    RateLimited: 429,
    Unavailable: 503,
    EngineTimeout: 504,
    DeadlineExceeded: 504,
    ServiceError: 500,
}
