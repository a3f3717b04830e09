"""The command that an agent calls at each of its events, and its place in the agent's settings."""
