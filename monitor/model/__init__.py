"""What flows from source to set: addresses, events, alerts, bans and the errors between them."""
