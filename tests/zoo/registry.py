"""All behaviours of the zoo."""

from tests.zoo import behind_the_node, firewall_logs, load_balancers
from tests.zoo.behaviour import Behaviour

ALL: tuple[Behaviour, ...] = (
    *load_balancers.BEHAVIOURS,
    *behind_the_node.BEHAVIOURS,
    *firewall_logs.BEHAVIOURS,
)
