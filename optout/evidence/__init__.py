"""The evidence log: what was decided, on which bytes, in a form that a stranger can check."""
