"""What the endpoint answers when it cannot serve a request, and the HTTP status of each case.

ServiceError (a KefuError)
├── BadRequest            400  the request cannot be served as it is
├── Unauthorized          401  no valid API key, or a customer token that does not hold
├── NotFound              404  unknown model, or a conversation that is not the caller's
├── TooLarge              413  the body is larger than the limit
├── EngineUnavailable     503  the engine is down or overloaded; try again later
└── EngineTimeout         504  the engine did not answer before the deadline
"""

from typing import Any

from data.errors import KefuError

OUR_FAULT = "something went wrong on our side"


class ServiceError(KefuError):
    """An error that leaves the endpoint in OpenAI's shape: message, type, param, code."""

    type = "server_error"
    retry_after_s: int | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message, self.param, self.code = message, param, code

    @property
    def status(self) -> int:
        """The HTTP status of this class, or of the nearest class above it that the table names."""
        return next(STATUS[cls] for cls in type(self).__mro__ if cls in STATUS)

    def body(self) -> dict[str, Any]:
        """The JSON body that OpenAI's clients expect."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(ServiceError):
    """The request is malformed, or asks for something that is not offered."""

    type = "invalid_request_error"


class Unauthorized(ServiceError):
    """The caller did not prove who it is."""

    type = "authentication_error"


class NotFound(ServiceError):
    """There is no such thing for this caller; what belongs to others answers the same."""

    type = "invalid_request_error"


class TooLarge(ServiceError):
    """The body is over the limit."""

    type = "invalid_request_error"


class EngineUnavailable(ServiceError):
    """The engine cannot be reached, refuses work, or failed."""

    retry_after_s = 5


class EngineTimeout(ServiceError):
    """The engine did not finish in time."""


STATUS: dict[type[Exception], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    NotFound: 404,
    TooLarge: 413,
    EngineUnavailable: 503,
    EngineTimeout: 504,
    ServiceError: 500,
}
