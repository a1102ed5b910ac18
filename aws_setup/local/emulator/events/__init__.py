"""EventBridge: corrections of the targets of rules. May import `core`."""
