"""Child processes that never outlive the launcher."""
