"""Child processes that never outlive the process that started them.

Imports nothing of the project.
"""
