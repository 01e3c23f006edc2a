"""The fixed conversations on which training and serving are held against each other, as the trainer's own rows.

Not covered: rows of a corpus, which come beside them (`pipelines/readings.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data.chat import Prompts, Row, dialog_rows
from data.schema import Dialog, Language, Message

Json = dict[str, Any]


class Case(NamedTuple):
    """One prompt that every side must read alike."""

    name: str
    row: Row


def conversations(prompts: Prompts, tools: Sequence[Mapping[str, Any]]) -> list[Case]:
    """One turn to many, in both languages, thinking on and off, with and without `tools`, with and without a system prompt."""
    cases = []
    for language, turns in TURNS.items():
        for thinking in (False, True):
            for offered in ((), tuple(dict(tool) for tool in tools)):
                id = f"{language}, thinking {'on' if thinking else 'off'}, {len(offered) or 'no'} tools"
                dialog = Dialog(
                    id=id, messages=turns, tools=offered, language=language, source="parity", thinking=thinking
                )
                rows = list(dialog_rows(dialog, prompts, {}))
                cases += [Case(f"{id}, turn {number}", row) for number, row in enumerate(rows, 1)]
                bare = rows[0].model_copy(update={"messages": rows[0].messages[1:]})
                cases.append(Case(f"{id}, no system prompt", bare))
    return cases


def _turns(*turns: Json) -> tuple[Message, ...]:
    return tuple(Message.model_validate(turn) for turn in turns)


def _calls(*calls: tuple[str, Json]) -> list[Json]:
    return [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]


# What templates, JSON and tokenizers trip over: quotes, tags in a customer's text, runs of spaces, line ends, emoji, nested
# and empty arguments, several results in a row, both scripts in one sentence.
TURNS: dict[Language, tuple[Message, ...]] = {
    "en": _turns(
        {"role": "user", "content": 'Where is order #123456?  The app says <b>"sent"</b>,\n\nI paid twice 🙏 '},
        {
            "role": "assistant",
            "reasoning_content": "The number is known: look it up.",
            "tool_calls": _calls(("query_order_status", {"order_id": "123456"})),
        },
        {"role": "tool", "content": '{"status": "packed", "eta": null, "note": "size \\"M\\""}'},
        {"role": "assistant", "reasoning_content": "Packed.", "content": "It is packed & leaves tomorrow."},
        {"role": "user", "content": "Then 12 Rue de l'Église, apt. \\B; and what does </think> on my label mean?"},
        {
            "role": "assistant",
            "reasoning_content": "Change the address.\nThen track it.",
            "content": "One moment.",
            "tool_calls": _calls(
                (
                    "update_delivery_address",
                    {"order_id": "123456", "new_addr": {"street": "Rue de l'Église", "no": 12}},
                ),
                ("track_delivery", {}),
            ),
        },
        {"role": "tool", "content": "done"},
        {"role": "tool", "content": "At the depot,\n2 stops away"},
        {"role": "assistant", "reasoning_content": "Both worked.", "content": "Done, it is two stops away."},
    ),
    "zh": _turns(
        {"role": "user", "content": "我的订单＃123456 到哪儿了？App 上写着“已发货”，\n可是 tracking 一直没动😤"},
        {
            "role": "assistant",
            "reasoning_content": "有订单号，先查状态。",
            "tool_calls": _calls(("query_order_status", {"order_id": "123456"})),
        },
        {"role": "tool", "content": '{"状态": "已打包", "时间": "2026-11-23 10:00"}'},
        {"role": "assistant", "reasoning_content": "已打包。", "content": "您的订单已打包，明天发出。"},
        {"role": "user", "content": "那改到 上海市 浦东新区 世纪大道100号（B座），谢谢～"},
        {
            "role": "assistant",
            "reasoning_content": "改地址，\n再查物流。",
            "content": "请稍等。",
            "tool_calls": _calls(
                ("update_delivery_address", {"order_id": "123456", "new_addr": "上海市浦东新区世纪大道100号"}),
                ("track_delivery", {"order_id": "123456", "detail": [1, 2.5, None, True]}),
            ),
        },
        {"role": "tool", "content": "已提交"},
        {"role": "tool", "content": "快件在“浦东”站点"},
        {"role": "assistant", "reasoning_content": "都好了。", "content": "地址已提交修改，快件在浦东站点。"},
    ),
}
