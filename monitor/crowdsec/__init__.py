"""CrowdSec's local API (LAPI): what it decided is taken over, what is proven here is pushed to it."""
