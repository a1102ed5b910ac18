"""The template, the state machine, and the stack that they make.

May import nothing from `commands`, `checks` and `local`.
"""
