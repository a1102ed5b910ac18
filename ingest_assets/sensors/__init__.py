"""The sensors: ended executions in the queue, failed runs, overdue months.

May import everything but the assets and the workflow.
"""
