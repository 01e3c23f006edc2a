"""The engine and the endpoint in front of it: agent, tools, memory, FAQ, identity."""
