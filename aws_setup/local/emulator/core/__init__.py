"""What services of the emulator share: service models, patches of moto, credentials. Imports no service."""
