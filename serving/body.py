"""The common form of what callers send: nothing is converted ("5" is no number, 1 is no true), no field is unknown."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request's body, or an object within it."""

    model_config = ConfigDict(extra="forbid", strict=True)
