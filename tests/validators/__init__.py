"""The validators of `make check` that have an environment of their own, and what they are given to look at."""
