"""What counts as personal data in a text: shapes and check digits, and the words that decide between them."""

import pytest

from data.errors import EnvironmentLacks
from data.pii import find
from data.pii.spans import Span, merged
from data.pii.taggers import package_folder
from tests.data.pii.test_examples import needs_models


def found(text: str, people: bool = False) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in find(text, people)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cancel 20914477 and #5128", [("order", "20914477"), ("order", "5128")]),
        ("your coupon 20914477 and model 20914477", []),
        ("order 4111111111111111", [("order", "4111111111111111")]),
        ("paid with 4111111111111111", [("bank_card", "4111111111111111")]),
        ("my card 4111111111111112 is wrong", [("bank_card", "4111111111111112")]),
        ("call 2299103", [("phone", "2299103")]),
        ("order 13812345678", [("order", "13812345678")]),
        ("order 7712 is late, ring +49 30 901820", [("order", "7712"), ("phone", "+49 30 901820")]),
        (
            "单号１２３４５６７８，电话１３８１２３４５６７８",
            [("order", "１２３４５６７８"), ("phone", "１３８１２３４５６７８")],
        ),
        ("订单886120由圆通发出，快递单号YT8817203345518", [("order", "886120"), ("tracking", "YT8817203345518")]),
        ("身份证310104198511230019对吗", [("id_card", "310104198511230019")]),
        ("9 Mill Lane, Austin, TX 78741 for 55821", [("order", "55821")]),
        ("129900元，2026年11月27日，5000mAh，积分88210", []),
        ("It costs $12,999.00, 1920x1080, 128GB, at 14:35 on 2026-11-27 or 20261127", []),
        ("138****5678 and **** 4471", []),
    ],
)
def test_structured_kinds(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@needs_models
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mrs. Novak and her son Theo live in Manchester.", [("name", "Novak"), ("name", "Theo")]),
        (
            "its priya, send 552013 to 9 Mill Lane, Bath BA1 2NN",
            [("name", "priya"), ("order", "552013"), ("address", "9 Mill Lane, Bath BA1 2NN")],
        ),
        (
            "联系人：欧阳娜娜，寄到宁波市海曙区解放南路67号2幢803",
            [("name", "欧阳娜娜"), ("address", "宁波市海曙区解放南路67号2幢803")],
        ),
        ("我姓马，楼下李师傅收，Emily Zhao收也行", [("name", "马"), ("name", "李"), ("name", "Emily Zhao")]),
        ("我在上海，李宁的鞋几天能到杭州？", []),
    ],
)
def test_names_and_addresses(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text, people=True) == expected


def test_a_missing_model_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(EnvironmentLacks, match="pip install onnxruntime"):
        package_folder("no_such_package")


def test_of_spans_that_overlap_the_first_and_longest_stays() -> None:
    spans = [Span(3, 9, "phone"), Span(0, 4, "order"), Span(0, 5, "name"), Span(5, 6, "email")]
    assert merged(spans) == [Span(0, 5, "name"), Span(5, 6, "email")]
