"""The manual pages, made from the commands and from the configuration's schema."""
