"""CrowdSec's local API in the daemon."""
