"""What several tests ask of a dialog with calls: do they fit the tools that it declares?"""

import jsonschema

from data.schema import Dialog


def assert_calls_fit(dialog: Dialog) -> None:
    """Every call names a declared tool and has arguments that its schema allows."""
    offered = {tool["function"]["name"]: tool["function"] for tool in dialog.tools if isinstance(tool, dict)}
    for call in (call.function for message in dialog.messages for call in message.tool_calls):
        parameters = {**offered[call.name]["parameters"], "additionalProperties": False}
        jsonschema.validate(call.arguments, parameters, jsonschema.Draft202012Validator)
