"""Native code under AddressSanitizer and UndefinedBehaviorSanitizer."""
