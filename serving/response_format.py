"""What an answer in model mode must look like: text, any JSON, or JSON that fits a schema, which the engine enforces.

Not covered: agent mode, where the server words a part of the answers itself.
"""

from typing import Annotated, Any, Literal

from jsonschema import Draft202012Validator, SchemaError
from pydantic import Field, field_validator

from serving.body import Body


class TextFormat(Body):
    """Plain text, the default."""

    type: Literal["text"]


class JsonObjectFormat(Body):
    """Some JSON object."""

    type: Literal["json_object"]


class NamedSchema(Body):
    """A JSON schema under a name."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None

    @field_validator("schema_")
    @classmethod
    def _a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        try:
            Draft202012Validator.check_schema(schema)
        except (SchemaError, RecursionError) as error:
            raise ValueError(f"not a JSON schema: {str(error).splitlines()[0]}") from error
        return schema


class JsonSchemaFormat(Body):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
