"""The clients of product teams, over a real socket: the official OpenAI client, the requirement's LangChain samples."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.utils.function_calling import convert_to_openai_function
from langchain_openai import ChatOpenAI
from openai import APIStatusError, OpenAI
from pydantic import BaseModel


def query_order_status(order_id: str) -> str:
    """模拟查询订单状态"""
    return f"订单{order_id}已打包，待发货"


def update_delivery_address(order_id: str, new_addr: str) -> str:
    """模拟修改收货地址"""
    return f"订单{order_id}的收货地址已更新为：{new_addr}"


@pytest.fixture
def model(served: str) -> ChatOpenAI:
    return ChatOpenAI(
        model="Qwen3-1.7B",
        temperature=0.5,
        base_url=f"{served}/v1",
        api_key="EMPTY",
        extra_body={"enable_thinking": True, "return_reasoning": True},
        streaming=True,
    )


def test_openai_client_whole_and_streamed(served: str, engine: Any) -> None:
    engine.answer("你好！有什么可以帮您？", reasoning="想一想")
    client = OpenAI(base_url=f"{served}/v1", api_key="EMPTY")
    assert "kefu" in [model.id for model in client.models.list()]
    messages: Any = [{"role": "user", "content": "在吗，请问"}]
    whole = client.chat.completions.create(model="kefu", messages=messages)
    assert whole.choices[0].message.content == "你好！有什么可以帮您？"
    assert whole.usage is not None and whole.usage.total_tokens == 15
    assert whole.model_extra is not None and whole.model_extra["kefu"]["intent"] == "order_status"
    body = {"enable_thinking": True, "return_reasoning": True}
    stream = client.chat.completions.create(model="kefu", messages=messages, stream=True, extra_body=body)
    chunks = list(stream)
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert content == "<think>\n想一想\n</think>\n\n你好！有什么可以帮您？"
    assert chunks[-1].model_extra is not None and chunks[-1].model_extra["kefu"]["release"]


def test_openai_client_tools_and_errors(served: str, engine: Any, h: Any) -> None:
    engine.say(h.message(None, tool_calls=[h.call("f", {"a": 1})]))
    client = OpenAI(base_url=f"{served}/v1", api_key="EMPTY", max_retries=0)
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    messages: Any = [{"role": "user", "content": "hi"}]
    answer = client.chat.completions.create(model="kefu", messages=messages, tools=[tool])
    calls: Any = answer.choices[0].message.tool_calls
    assert calls[0].function.arguments == '{"a": 1}'
    with pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model="nope", messages=messages)
    assert caught.value.status_code == 404 and caught.value.code == "model_not_found"
    with client.chat.completions.stream(model="kefu", messages=messages, tools=[tool]) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"


def test_requirements_conversation_chain(model: ChatOpenAI, engine: Any) -> None:
    engine.answer("您好，已为您查询。", reasoning="查订单")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_classic.chains import ConversationChain
        from langchain_classic.memory import ConversationBufferMemory

        conversation = ConversationChain(llm=model, memory=ConversationBufferMemory(), verbose=True)
        response = conversation.invoke("我的订单#123456还没发货,能查一下吗?")
        conversation.invoke("谢谢")
    assert response["response"].startswith("<think>\n查订单\n</think>") and response["response"].endswith(
        "已为您查询。"
    )
    first, second = engine.requests
    assert first["messages"][0]["content"].startswith("你是网店客服")
    assert first["chat_template_kwargs"] == {"enable_thinking": True}
    assert "已为您查询" in second["messages"][-1]["content"]


def test_requirements_functions(model: ChatOpenAI, engine: Any, h: Any) -> None:
    engine.say(h.message(None, tool_calls=[h.call("query_order_status", {"order_id": "123456"})]))
    tools: list[Callable[..., Any]] = [query_order_status, update_delivery_address]
    functions = [convert_to_openai_function(f) for f in tools]
    result = model.invoke("帮我查下订单123456的状态", functions=functions)
    call = result.additional_kwargs["function_call"]
    assert call["name"] == "query_order_status" and call["arguments"] == '{"order_id": "123456"}'
    assert [tool["function"]["name"] for tool in engine.requests[0]["tools"]] == [f["name"] for f in functions]


def test_langchain_bound_tools_and_streaming(model: ChatOpenAI, engine: Any, h: Any) -> None:
    engine.say(
        h.message("我查一下。", reasoning="嗯", tool_calls=[h.call("query_order_status", {"order_id": "123456"})])
    )
    result = model.bind_tools([query_order_status]).invoke("订单123456")
    assert result.tool_calls[0]["args"] == {"order_id": "123456"}
    engine.answer("一。二。", reasoning="嗯")
    assert "".join(str(chunk.content) for chunk in model.stream("说两句话")) == "<think>\n嗯\n</think>\n\n一。二。"


def test_langgraphs_prebuilt_agent(served: str, engine: Any, h: Any) -> None:
    """Its loop in model mode: the call goes out, the tool runs at the caller's, the result comes back in, words come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langgraph.checkpoint.memory import MemorySaver
        from langgraph.prebuilt import create_react_agent

        model = ChatOpenAI(model="kefu", base_url=f"{served}/v1", api_key="EMPTY")
        tools: list[Any] = [query_order_status, update_delivery_address]
        agent = create_react_agent(model, tools, prompt="你是网店客服。", checkpointer=MemorySaver())
    calls = [
        h.call("query_order_status", {"order_id": "1"}),
        h.call("query_order_status", {"order_id": "2"}, id="call_b"),
    ]
    engine.say(h.message(None, tool_calls=calls), h.message("都已打包。"), h.message("不客气！"))
    config: Any = {"configurable": {"thread_id": "t"}}
    turns = agent.invoke({"messages": [("user", "订单1和2到哪了？")]}, config)["messages"]
    assert [turn.type for turn in turns] == ["human", "ai", "tool", "tool", "ai"] and turns[-1].content == "都已打包。"
    sent = engine.requests[1]["messages"]
    assert [turn["role"] for turn in sent] == ["system", "user", "assistant", "tool", "tool"]
    assert sent[3] == {"role": "tool", "content": "订单1已打包，待发货", "tool_call_id": "call_a"}
    streamed = agent.stream({"messages": [("user", "谢谢")]}, config, stream_mode="messages")
    assert "".join(str(piece.content) for piece, _ in streamed) == "不客气！"


def test_langchains_structured_output(served: str, engine: Any, h: Any) -> None:
    model = ChatOpenAI(model="kefu", base_url=f"{served}/v1", api_key="EMPTY")
    schema = {"title": "verdict", "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    engine.say(h.message(None, tool_calls=[h.call("verdict", {"ok": True})]))
    assert model.with_structured_output(schema, method="function_calling").invoke("ok?") == {"ok": True}
    assert engine.requests[0]["tool_choice"] == {"type": "function", "function": {"name": "verdict"}}
    engine.answer('{"ok": false}')
    formatted = model.bind_tools([query_order_status], response_format=schema).invoke("ok?")
    assert formatted.content == '{"ok": false}'
    assert engine.requests[1]["response_format"]["json_schema"]["schema"]["required"] == ["ok"]


def test_openai_client_parses_into_a_model(served: str, engine: Any) -> None:
    class Verdict(BaseModel):
        about_order: bool

    engine.answer('{"about_order": true}')
    tool: Any = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}
    client = OpenAI(base_url=f"{served}/v1", api_key="EMPTY")
    messages: Any = [{"role": "user", "content": "hi"}]
    answer = client.chat.completions.parse(model="kefu", messages=messages, tools=[tool], response_format=Verdict)
    assert answer.choices[0].message.parsed == Verdict(about_order=True)
    assert engine.requests[0]["response_format"]["json_schema"]["name"] == "Verdict"
