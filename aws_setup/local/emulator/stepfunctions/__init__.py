"""Step Functions: the task services that moto lacks, and its executions."""
