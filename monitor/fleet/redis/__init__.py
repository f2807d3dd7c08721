"""The fleet's engine over the Redis protocol; imported only where `fleet.url` is set, since the client needs 10 MB."""
