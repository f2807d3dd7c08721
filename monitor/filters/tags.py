"""Replaces fail2ban's tags in expressions by groups for `re` (jail.conf(5), "FILTER FILES")."""

import re
import warnings

from monitor.filters.definition import FilterError

# What a later Python may read differently, such as `[[`, is nothing to print to an operator.
warnings.filterwarnings("ignore", "Possible (nested )?set", FutureWarning)

_IPV4 = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
# Text that looks like an address; parse_address decides whether it is one.
_IPV6 = r"(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):)"
_IP4 = rf"(?:::f{{4,6}}:)?(?P<ip4>{_IPV4})"
_IP6 = rf"(?P<ip6>{_IPV6})"
_ADDR = rf"\[?(?:{_IP4}|{_IP6})\]?"
_DNS = r"(?P<dns>[\w\-.^_]*\w)"
_CIDR = r"(?P<cidr>\d+)"
_SUBNET = rf"\[?(?:{_IP4}|{_IP6})(?:/{_CIDR})?\]?"
_TAGS = {
    "HOST": f"(?:{_ADDR}|{_DNS})",
    "ADDR": _ADDR,
    "IP4": _IP4,
    "IP6": _IP6,
    "DNS": _DNS,
    "CIDR": _CIDR,
    "SUBNET": _SUBNET,
}
_TAGS |= {f"F-{name}/": text for name, text in _TAGS.items() if name != "HOST"}
_TAGS |= {"F-ID/": r"(?P<fid>\S+)", "F-PORT/": r"(?P<fport>\w+)"}
_GROUPS = {"id": "fid", "port": "fport"}
_TAG = re.compile(r"</?[\w\-]+/?>")
_CUSTOM = re.compile(r"(/?)F-([A-Z0-9_]+)")
_INNER_FLAGS = re.compile(r"(?<!\\)\((?:\?:)?\(\?([a-z]+)\)")
_MAX_LENGTH = 65_536

HOST_GROUPS = ("ip4", "ip6", "dns")


def resolve(expression: str) -> str:
    """Return an expression for `re` with `<HOST>`, `<ADDR>`, `<F-USER>` ... `<SKIPLINES>` as groups.

    Addresses are in the groups `ip4` and `ip6`, names in `dns`, the ID of a failure in `fid`, other tags `<F-X>` in a
    group named `x`. Tags that fail2ban does not define stay as they are.
    """
    if len(expression) > _MAX_LENGTH:
        raise FilterError(f"an expression is longer than {_MAX_LENGTH} characters: {expression[:60]!r}...")
    opened: set[str] = set()
    skipped = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal skipped
        tag = match[0][1:-1]
        if tag == "SKIPLINES":
            skipped += 1
            return rf"\n(?P<skiplines{skipped - 1}>(?:(?:.*\n)*?))"
        if tag in _TAGS:
            return _TAGS[tag]
        custom = _CUSTOM.fullmatch(tag)
        if custom is None:
            return match[0]
        name = custom[2].lower()
        if custom[1]:
            return ")" if name in opened else match[0]
        opened.add(name)
        return f"(?P<{_GROUPS.get(name, name)}>"

    # Old filters set a flag for a group inside it; `re` expects it in the head of the group.
    return _INNER_FLAGS.sub(r"(?\1:", _TAG.sub(replace, expression))


def compile_expression(expression: str, *, is_multiline: bool = False) -> re.Pattern[str]:
    """Compile an expression with tags; FilterError if it is invalid."""
    if not expression.strip():
        raise FilterError("an expression is empty: it would match every line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of notations that a later Python may read otherwise
            return re.compile(resolve(expression), re.MULTILINE if is_multiline else 0)
    except (re.error, RecursionError, OverflowError) as error:
        raise FilterError(f"not a valid regular expression: {error}: {expression[:200]!r}") from error
