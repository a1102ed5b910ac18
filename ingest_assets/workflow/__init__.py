"""The resource that runs an execution of the state machine, follows it, and explains its failures."""
