"""What a fleet costs its server: unit costs measured on a real one, and what follows for many nodes."""
