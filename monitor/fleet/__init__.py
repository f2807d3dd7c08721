"""The fleet: nodes tell each other what they proved, over a Redis server that remembers it for them."""
