"""What applications log of people who have a right to be there."""

from collections.abc import Iterator
from datetime import datetime

from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.traffic import connect, request


def _syslog(program: str, texts: Iterator[str] | list[str]) -> list[str]:
    now = datetime.now().astimezone().strftime("%b %e %H:%M:%S")
    return [f"{now} node {program}[{4000 + number}]: {text}" for number, text in enumerate(texts)]


def _web(address: str, user: str, path: str, status: int) -> str:
    now = datetime.now().astimezone().strftime("%d/%b/%Y:%H:%M:%S %z")
    return f'{address} - {user} [{now}] "GET {path} HTTP/1.1" {status} 179 "-" "Mozilla/5.0"'


def mistyped_password(visit: Visit) -> None:
    """A user mistypes the password four times and gets in at the fifth attempt; PAM logs each attempt as well."""
    (user,) = visit.outside()
    connect(visit.world, user, visit.address4, 22).close()
    failed = f"Failed password for alice from {user} port 40100 ssh2"
    visit.write_log("sshd", *_syslog("sshd", [failed] * 4), *_syslog("sshd", [_accepted(user)]))
    pam = "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=%s  user=alice"
    visit.write_log("pam-generic", *_syslog("sshd", [pam % user] * 4))


def _accepted(address: str) -> str:
    return f"Accepted password for alice from {address} port 40101 ssh2"


def agent_with_many_keys(visit: Visit) -> None:
    """A CI runner clones 20 times: wrong keys first, then the right one; one job has no key at all."""
    (runner,) = visit.outside()
    lines = []
    for job in range(20):
        port = 41000 + job
        lines += [f"Failed publickey for git from {runner} port {port} ssh2: ED25519 SHA256:{'x' * 43}"] * 3
        lines.append(f"Accepted publickey for git from {runner} port {port} ssh2: ED25519 SHA256:{'y' * 43}")
    for job in range(4):
        ended = f"Connection closed by authenticating user git {runner} port {42000 + job} [preauth]"
        lines += [f"Failed publickey for git from {runner} port {42000 + job} ssh2: RSA SHA256:{'z' * 43}", ended]
    visit.write_log("sshd", *_syslog("sshd", lines))


def too_many_keys(visit: Visit) -> None:
    """A user whose agent holds seven keys is turned away four times, and then names the key."""
    (user,) = visit.outside()
    refused = f"error: maximum authentication attempts exceeded for alice from {user} port 43000 ssh2 [preauth]"
    ended = f"Disconnecting authenticating user alice {user} port 43000: Too many authentication failures [preauth]"
    visit.write_log("sshd", *_syslog("sshd", [refused, ended] * 4), *_syslog("sshd", [_accepted(user)]))


def health_checks_of_sshd(visit: Visit) -> None:
    """A load balancer's checks of sshd end before the identification, 200 times."""
    (balancer,) = visit.outside()
    closed = (
        f"error: kex_exchange_identification: Connection closed by remote host\nConnection closed by {balancer} port 1"
    )
    reset = f"Connection reset by {balancer} port 44000 [preauth]"
    silent = f"Did not receive identification string from {balancer} port 44001"
    texts = [*closed.split("\n"), reset, silent] * 50
    visit.write_log("sshd", *_syslog("sshd", texts))


def password_manager(visit: Visit) -> None:
    """A password manager fills in an old password: three failures in each of four applications."""
    (user,) = visit.outside()
    request(visit.world, user, visit.address4, 443)
    now = datetime.now().astimezone()
    wrong = f"Username or password is incorrect. Try again. IP: {user}. Username: alice@example.com."
    stamp = now.strftime("%Y-%m-%d %H:%M:%S.123")
    visit.write_log("vaultwarden", *[f"[{stamp}][vaultwarden::api::identity][ERROR] {wrong}"] * 3)
    failed = (
        f"Failed authentication attempt for alice from {user}:40112: user's password is invalid [uid: 3, name: alice]"
    )
    stamp = now.strftime("%Y/%m/%d %H:%M:%S")
    visit.write_log("gitea", *[f"{stamp} ...ers/web/auth/auth.go:169:SignInPost() [I] {failed}"] * 3)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.123456%z")
    error = f'msg=Unauthorized error="[password-auth.failed] invalid password" remote_addr={user} traceID='
    login = f'msg="Request Completed" method=POST path=/login status=401 remote_addr={user} time_ms=58'
    head = f"logger=context userId=0 orgId=0 uname= t={stamp} level=info"
    visit.write_log("grafana", *[f"{head} {error}", f"{head} {login}"] * 3)
    visit.write_log("nginx-auth", *[_web(user, "alice", "/private/", 401)] * 3)


def login_prompts(visit: Visit) -> None:
    """A WebDAV client asks 200 times without credentials first, is asked to log in, and does."""
    (user,) = visit.outside()
    lines = [_web(user, "-", "/dav/", 401), _web(user, "alice", "/dav/", 207)] * 200
    visit.write_log("nginx-auth", *lines)


def old_links(visit: Visit) -> None:
    """Visitors and search engines ask for pages that are gone, hundreds of times."""
    for visitor in visit.outside(2):
        paths = [f"/old/{number}.html" for number in range(200)]
        paths += ["/robots.txt", "/favicon.ico", "/sitemap.xml", "/ads.txt", "/.well-known/security.txt"] * 10
        paths += ["/apple-touch-icon.png", "/environment", "/wp-content/a.png", "/blog/git/"] * 10
        visit.write_log("nginx-scan", *[_web(visitor, "-", path, 404) for path in paths])


def rate_limited(visit: Visit) -> None:
    """A page with many parts runs into nginx's limit_req four times, and is delayed often."""
    (visitor,) = visit.outside()
    stamp = datetime.now().astimezone().strftime("%Y/%m/%d %H:%M:%S")
    end = f'client: {visitor}, server: example.com, request: "GET / HTTP/1.1", host: "example.com"'
    limited = f'limiting requests, excess: 5.360 by zone "api", {end}'
    delayed = f'delaying request, excess: 0.960, by zone "api", {end}'
    visit.write_log(
        "nginx-limit-req", *[f"{stamp} [warn] 812#812: *45 {text}" for text in [limited] * 4 + [delayed] * 50]
    )


def mail_logins(visit: Visit) -> None:
    """A new telephone is set up: wrong passwords twice by IMAP, twice by SMTP; monitoring logs in without a user."""
    telephone, monitoring = visit.outside(2)
    login = "method=PLAIN, rip=%s, lip=192.0.2.1, TLS, session=<0FxUDhAGJNPAAAEB>"
    failed = f"imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<alice>, {login % telephone}"
    empty = f"imap-login: Disconnected (no auth attempts in 0 secs): user=<>, {login % monitoring}"
    logins = f"imap-login: Login: user=<alice>, {login % telephone}"
    visit.write_log("dovecot", *_syslog("dovecot", [failed] * 2 + [empty] * 200 + [logins] * 25))
    wrong = f"warning: unknown[{telephone}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"
    lost = f"warning: unknown[{telephone}]: SASL LOGIN authentication failed: Connection lost to authentication server"
    visit.write_log("postfix", *_syslog("postfix/smtpd", [wrong] * 2 + [lost] * 20))


def office_in_the_morning(visit: Visit) -> None:
    """Four people behind one address mistype once each, and the other 40 log in at once."""
    (office,) = visit.outside()
    lines = [f"Failed password for user{number} from {office} port {45000 + number} ssh2" for number in range(4)]
    lines += [f"Accepted password for user{number} from {office} port {46000 + number} ssh2" for number in range(40)]
    visit.write_log("sshd", *_syslog("sshd", lines))


def resolver_is_refused(visit: Visit) -> None:
    """A resolver asks four times for a zone that was moved; others ask a lot."""
    (resolver,) = visit.outside()
    stamp = datetime.now().astimezone().strftime("%d-%b-%Y %H:%M:%S.123")
    denied = f"client @0x7f3c5c0a1b68 {resolver}#53124 (example.com): query (cache) 'example.com/A/IN' denied"
    asked = f"client @0x7f3c5c0a1b68 {resolver}#53124 (example.com): query: example.com IN A +E(0)K (192.0.2.53)"
    visit.write_log("named-refused", *[f"{stamp} security: info: {text}" for text in [denied] * 4 + [asked] * 300])


def vpn_with_expired_certificate(visit: Visit) -> None:
    """A VPN client with an expired certificate tries four times; others reconnect all the time."""
    (client,) = visit.outside()
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    texts = [f"{client}:40112 VERIFY ERROR: depth=0, error=certificate has expired: CN=alice"] * 4
    texts += [f"{client}:40112 TLS: Initial packet from [AF_INET]{client}:40112, sid=1 2"] * 100
    visit.write_log("openvpn", *[f"{stamp} {text}" for text in texts])


BEHAVIOURS = (
    Behaviour("login: password mistyped four times", mistyped_password),
    Behaviour("login: CI runner tries wrong keys first", agent_with_many_keys),
    Behaviour("login: agent with too many keys", too_many_keys),
    Behaviour("login: health checks of sshd", health_checks_of_sshd),
    Behaviour("login: password manager with an old password", password_manager),
    Behaviour("login: client asks without credentials first", login_prompts),
    Behaviour("login: new telephone for mail", mail_logins),
    Behaviour("login: office in the morning", office_in_the_morning),
    Behaviour("login: VPN client with an expired certificate", vpn_with_expired_certificate),
    Behaviour("web: old links and search engines", old_links),
    Behaviour("web: page that meets a rate limit", rate_limited),
    Behaviour("dns: resolver that is refused", resolver_is_refused),
)
