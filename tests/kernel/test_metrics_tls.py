"""Metrics over TLS with a real client, and a daemon without OpenSSL where nobody asked for it."""

from pathlib import Path

import pytest

from tests.kernel.conftest import Site

pytestmark = pytest.mark.kernel


def _maps_openssl(site: Site) -> bool:
    return "libcrypto" in Path(f"/proc/{site.daemon.pid}/maps").read_text()


def test_openssl_is_loaded_where_the_configuration_asks_for_it(site: Site, tmp_path: Path) -> None:
    """A default daemon runs without OpenSSL; with a web configuration its metrics come over TLS, and only so."""
    site.daemon.start()
    assert not _maps_openssl(site)
    site.daemon.stop()
    certificate, key, web = (tmp_path / name for name in ("cert.pem", "key.pem", "web.yaml"))
    site.node.run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
    )
    web.write_text(f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n")
    site.configure(f"metrics: {{web_config_file: {web}}}\n")
    site.daemon.start()
    page = site.node.run("curl", "-sf", "--cacert", certificate, "https://localhost:9843/metrics").stdout
    assert "nodewarden_source_up" in page
    assert _maps_openssl(site)
    assert site.node.run("curl", "-s", "http://localhost:9843/metrics", check=False).stdout == ""
