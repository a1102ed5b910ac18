"""Step Functions: task services that moto lacks, and corrections of its executions. May import `core`."""
