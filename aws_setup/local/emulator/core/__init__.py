"""What several services of the emulator share: service models, patches of moto, temporary credentials."""
