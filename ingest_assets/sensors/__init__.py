"""The sensors: the queue of ended executions, failed runs, overdue months."""
