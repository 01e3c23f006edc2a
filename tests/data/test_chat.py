"""The prompt builder: what is trained is what the served template renders."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.chat import (
    END_OF_TURN,
    Prompts,
    completion,
    dialog_rows,
    intent_messages,
    language_of,
    parse_intent,
    render,
    template,
    wire,
)
from data.errors import BadInput
from data.schema import Dialog, Function, Message, ToolCall
from data.shop import Shop

PROMPTS = Prompts(agent={"en": "Be kind.", "zh": "请友善。"}, intent="Name the intent.")
TEXT = (
    st.text(st.characters(codec="utf-8", exclude_characters="<>", exclude_categories=("Cs", "Cc")), min_size=1)
    .map(str.strip)
    .filter(bool)
)
ARGUMENTS = st.dictionaries(st.sampled_from(["order_id", "new_addr", "reason"]), TEXT, max_size=3)
CALLS = st.lists(
    st.builds(Function, name=st.sampled_from(["query_order_status", "track_delivery"]), arguments=ARGUMENTS)
)


class TemplateTokenizer:
    """Renders by the served template, as a Transformers tokenizer does."""

    def apply_chat_template(self, conversation: Any, **options: Any) -> str:
        options.pop("chat_template"), options.pop("tokenize")
        return str(compiled().render(messages=conversation, **options))


@cache
def compiled() -> Any:
    import json

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(template())


@given(question=TEXT, answer=TEXT, reasoning=TEXT, calls=CALLS, thinking=st.booleans())
def test_prompt_and_completion_are_the_template_s_own_rendering(
    question: str, answer: str, reasoning: str, calls: list[Function], thinking: bool
) -> None:
    tokenizer = TemplateTokenizer()
    message = Message(
        role="assistant",
        content=answer,
        reasoning_content=reasoning if thinking else None,
        tool_calls=tuple(ToolCall(function=call) for call in calls),
    )
    prompt = (Message(role="user", content=question),)
    trained = render(tokenizer, prompt, thinking=thinking) + completion(message, thinking) + END_OF_TURN + "\n"
    whole = tokenizer.apply_chat_template(
        [
            {"role": "user", "content": question},
            {
                "role": "assistant",
                "content": answer,
                "reasoning_content": reasoning if thinking else "",
                "tool_calls": [{"function": call.model_dump()} for call in calls],
            },
        ],
        tools=None,
        chat_template=None,
        tokenize=False,
        add_generation_prompt=False,
    )
    assert trained == whole


def test_a_dialog_gives_one_row_for_each_trained_turn() -> None:
    call = ToolCall(function=Function(name="query_order_status", arguments={"order_id": "88"}))
    dialog = Dialog(
        id="d",
        language="en",
        source="test",
        tools=("query_order_status",),
        messages=(
            Message(role="user", content="88?"),
            Message(role="assistant", content="wrong", trained=False),
            Message(role="user", content="again"),
            Message(role="assistant", reasoning_content="look it up", tool_calls=(call,)),
            Message(role="tool", content="packed"),
            Message(role="assistant", content="It is packed."),
        ),
        thinking=True,
    )
    rows = list(dialog_rows(dialog, PROMPTS, Shop.default().tools))
    assert [row.task for row in rows] == ["thinking", "answer"]
    assert rows[0].messages[0].content == "Be kind."
    assert rows[0].completion.startswith("<think>\nlook it up\n</think>\n\n<tool_call>\n")
    assert rows[1].messages[-2].reasoning_content is None
    assert rows[1].tools is not None
    with pytest.raises(BadInput, match="unknown tool"):
        list(dialog_rows(dialog, PROMPTS, {}))


@given(st.text())
def test_only_an_exact_identifier_is_a_label(text: str) -> None:
    names = ("order_status", "return_item")
    assert parse_intent(text, names) == (text.strip() if text.strip() in names else None)
    assert parse_intent(f" {names[0]}\n", names) == "order_status"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is it?", "en"),
        ("我的订单呢", "zh"),
        ("帮我check一下order", "zh"),
        ("is 退款 done for my shiny blue order", "en"),
    ],
)
def test_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_wire_carries_arguments_as_json_strings() -> None:
    call = ToolCall(id="c1", function=Function(name="f", arguments={"a": "值"}))
    wired = wire([*intent_messages("hi", PROMPTS), Message(role="assistant", tool_calls=(call,))])
    assert wired[0] == {"role": "system", "content": "Name the intent."}
    assert wired[2]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": "值"}'}
