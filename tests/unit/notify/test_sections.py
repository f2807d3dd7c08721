"""The settings of channels: what is refused, and that no secret can be written where `config show` shows it."""

import subprocess
import sys

import pytest

from monitor.notify.sections.abuseipdb import AbuseipdbSettings
from monitor.notify.sections.alertmanager import AlertmanagerSettings
from monitor.notify.sections.exec import ExecSettings
from monitor.notify.sections.smtp import MAILBOX, MailTls, SmtpSettings
from monitor.notify.sections.syslog import SyslogSettings
from monitor.notify.sections.web import HEADER, URL, TlsSettings
from monitor.notify.sections.webhook import TEMPLATE, VARIABLE, WebhookSettings


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("https://hooks.slack.com/services/T0/B0/secret", "use url_file"),
        ("https://discord.com/api/webhooks/1/secret", "use url_file"),
        ("https://user:secret@example.org/", "no user and password"),
        ("ftp://example.org/", "not the URL"),
        ("https://exa mple.org/", "not a URL"),
        ("https://example.org/\r\nX: y", "not a URL"),
        ("https://example.org:99999/", "not a URL"),
        ("https://[::1/", "not a URL"),
    ],
)
def test_urls_that_are_none_or_hold_a_secret_are_refused(value: str, fault: str) -> None:
    """And the fault does not repeat the secret."""
    with pytest.raises(ValueError, match=fault) as caught:
        URL.read(value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["Authorization: Bearer x", "X-Api-Key: x", "Cookie: x", "Host: x", "Content-Length: 1", "a", "a: b\r\nc: d"],
)
def test_headers_with_secrets_or_of_the_framing_are_refused(value: str) -> None:
    """Secrets belong into headers_file."""
    with pytest.raises(ValueError, match=r"header|headers_file|set by the notifier"):
        HEADER.read(value)
    assert HEADER.read("X-Team: blue") == "X-Team: blue"


@pytest.mark.parametrize(
    "value", ["a@b\r\nBcc: c@d", "a b@example.org", "a@", "@b", "a@b, c@d", "<a@b>", "ä@example.org"]
)
def test_mail_addresses_add_no_header(value: str) -> None:
    """One address, in ASCII."""
    with pytest.raises(ValueError, match="no mail address"):
        MAILBOX.read(value)


@pytest.mark.parametrize("value", ["slak", "own.json.j2", "/etc/passwd", "/a/\nb.json.j2", "../slack"])
def test_templates_are_built_in_or_files_whose_name_says_the_form(value: str) -> None:
    """Another name is refused when the configuration is read."""
    with pytest.raises(ValueError, match="no template"):
        TEMPLATE.read(value)
    assert VARIABLE.read("topic=a=b") == "topic=a=b"


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        (WebhookSettings(), "give either `url` or `url_file`"),
        (WebhookSettings(url="https://a.example/", url_file="hook"), "give either"),
        (WebhookSettings(url="https://a.example/", template="ntfy"), "topic=NAME"),
        (WebhookSettings(url="https://a.example/", proxy="https://p.example/"), "a proxy is written"),
        (WebhookSettings(url="https://a.example/", key_file="key"), "set cert_file"),
        (SmtpSettings(sender="a@b"), "at least one address"),
        (SmtpSettings(sender="a@b", to=("c@d",), username="x"), "both username and password_file"),
        (
            SmtpSettings(sender="a@b", to=("c@d",), host="mail.example", tls=MailTls.NONE),
            "without TLS only to this host",
        ),
        (SmtpSettings(sender="a@b", to=("c@d",) * 51), "at most 50"),
        (AlertmanagerSettings(), "at least one Alertmanager"),
        (AlertmanagerSettings(urls=("http://a.example",) * 9), "at most 8"),
        (AlertmanagerSettings(urls=("http://a.example",), labels=("host=x",)), "set by the notifier"),
        (SyslogSettings(path=""), "path of a socket"),
        (ExecSettings(), "absolute path"),
        (ExecSettings(command=("sh", "-c")), "absolute path"),
        (AbuseipdbSettings(), "need an API key"),
        (AbuseipdbSettings(api_key_file="k", url="http://a.example/"), "https only"),
    ],
)
def test_values_that_do_not_go_together_are_refused(section: TlsSettings | ExecSettings, fault: str) -> None:
    """The fault says what to do."""
    assert any(fault in conflict.text for conflict in section.conflicts())


def test_the_daemon_loads_no_library_of_channels() -> None:
    """It reads all sections, and sends nothing: its memory is part of the product."""
    code = (
        "import sys; import monitor.notify.settings; "
        "print([name for name in ('jinja2', 'smtplib', 'http.client', 'ssl', 'subprocess') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
