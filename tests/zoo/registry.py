"""All behaviours of the zoo."""

from tests.zoo import (
    application_logs,
    behind_the_node,
    firewall_logs,
    infrastructure,
    kubernetes,
    load_balancers,
    monitoring,
    network_faults,
    people,
)
from tests.zoo.behaviour import Behaviour

ALL: tuple[Behaviour, ...] = (
    *load_balancers.BEHAVIOURS,
    *kubernetes.BEHAVIOURS,
    *behind_the_node.BEHAVIOURS,
    *firewall_logs.BEHAVIOURS,
    *monitoring.BEHAVIOURS,
    *people.BEHAVIOURS,
    *application_logs.BEHAVIOURS,
    *infrastructure.BEHAVIOURS,
    *network_faults.BEHAVIOURS,
)
