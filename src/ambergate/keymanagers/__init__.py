"""Key managers: where the broker's keys are made and kept. Each fits `services.keybroker.ports.KeyManager`."""
