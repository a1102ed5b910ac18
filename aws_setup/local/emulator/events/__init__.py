"""EventBridge: rules and their targets."""
