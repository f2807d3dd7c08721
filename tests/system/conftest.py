"""What the tests in a booted machine share."""
