# Every target does the set-up it needs and can be run twice. Debian 12, as root where it installs packages.

VENV := .venv
PYTHON := $(VENV)/bin/python
CONFIG ?= build/run/nodewarden.yaml
PREFIX ?= /opt/nodewarden
SYSCONFDIR ?= /etc/nodewarden
BINDIR ?= /usr/local/bin
UNITDIR ?= /etc/systemd/system
SYSUSERSDIR ?= /etc/sysusers.d

# What binds to the system comes from the distribution; the index's "bcc" is another project.
RUNTIME_PACKAGES := python3-venv python3-bpfcc python3-systemd python3-nftables nftables linux-libc-dev
TEST_PACKAGES := conntrack iproute2 nmap hping3 iputils-ping curl procps clang-format systemd-journal-remote apache2-utils \
    slowhttptest ethtool rsync bind9-dnsutils dnsmasq-base prometheus
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check

.PHONY: help setup packages run demo observe dashboards test lint bench lock docs install uninstall clean

help:
	@echo 'make demo       watch a scan being banned, in a private lab of network namespaces'
	@echo 'make observe    a lab under attack in Prometheus, for dashboards: MINUTES=5, KEEP=1 leaves it up'
	@echo 'make test       all tests; make lint: all checks; make bench: all figures'
	@echo 'make run        the daemon in the foreground, observing this machine (CONFIG=... for another configuration)'
	@echo 'make install    into $(PREFIX), with unit and configuration; make uninstall [PURGE=1]'
	@echo 'make setup      what the others need, without doing anything with it'

# $(1): package names. Installs the missing ones, or says what to do where that needs root. Prometheus is for tests
# and the demo, which start their own: the package's service is stopped again.
define install_packages
	@missing=$$(for package in $(1); do \
	    dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	    if [ "$$(id -u)" != 0 ]; then echo "as root: apt-get install" $$missing >&2; exit 1; fi; \
	    echo "installing" $$missing; \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing \
	        >/dev/null || exit 1; \
	    case "$$missing" in *prometheus*) \
	        [ ! -d /run/systemd/system ] || systemctl disable --quiet --now prometheus.service;; esac; \
	fi
endef

packages:
	$(call install_packages,$(RUNTIME_PACKAGES) $(TEST_PACKAGES))

$(VENV)/.ready: requirements.lock pyproject.toml hatch_build.py | packages
	/usr/bin/python3 -m venv --system-site-packages $(VENV)
	$(PIP) install --require-hashes --ignore-installed -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

setup: packages $(VENV)/.ready

build/run/nodewarden.yaml: systemd/nodewarden.yaml
	mkdir -p build/run/conf.d
	cp $< $@
	printf '%s\n' 'detectors: {port_scan: {mode: observe}, host_sweep: {mode: observe}, half_open: {mode: observe},' \
	    '  failures: {sshd: {mode: observe}}}' \
	    'control: {socket: $(CURDIR)/build/run/control.sock}' 'state: {directory: $(CURDIR)/build/run/state}' \
	    > build/run/conf.d/observe.yaml

run: setup build/run/nodewarden.yaml
	$(VENV)/bin/nodewarden run --config $(CONFIG)

demo: setup
	$(PYTHON) -m demo $(if $(KEEP),--keep)

# A lab in Prometheus, for a Grafana to be pointed at.
observe: setup
	$(PYTHON) -m demo.observe --minutes $(or $(MINUTES),5) $(if $(KEEP),--keep)

test: setup
	$(PYTHON) -m pytest

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	find bpf -name '*.[ch]' -exec clang-format --dry-run --Werror {} +

bench: setup
	$(PYTHON) -m bench

# Pins for development and for what is installed; no index or host is written into them.
lock: setup
	for extra in dev ''; do \
	    $(VENV)/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $${extra:+--extra $$extra} \
	        --output-file requirements$${extra:-.runtime}.lock pyproject.toml; \
	done
	mv requirementsdev.lock requirements.lock

# The JSON that Grafana reads, from the code beside it.
dashboards: setup
	$(PYTHON) -m dashboards

docs: setup
	$(PYTHON) -m monitor.config.reference > docs/configuration.md
	$(PYTHON) -m monitor.metrics.reference > docs/metrics.md

install:
	$(call install_packages,$(RUNTIME_PACKAGES))
	/usr/bin/python3 -m venv --system-site-packages $(PREFIX)
	$(PREFIX)/bin/python -m pip --quiet install --require-hashes --ignore-installed -r requirements.runtime.lock
	$(PREFIX)/bin/python -m pip --quiet install --no-deps --force-reinstall .
	install -d $(SYSCONFDIR)/conf.d $(BINDIR) $(UNITDIR) $(SYSUSERSDIR)
	[ -e $(SYSCONFDIR)/nodewarden.yaml ] || install -m 644 systemd/nodewarden.yaml $(SYSCONFDIR)/nodewarden.yaml
	ln -sf $(PREFIX)/bin/nodewarden $(BINDIR)/nodewarden
	sed 's|@PREFIX@|$(PREFIX)|' systemd/nodewarden.service > $(UNITDIR)/nodewarden.service
	install -m 644 systemd/nodewarden.sysusers $(SYSUSERSDIR)/nodewarden.conf
	systemd-sysusers $(SYSUSERSDIR)/nodewarden.conf
	$(BINDIR)/nodewarden config check --config $(SYSCONFDIR)/nodewarden.yaml
	[ ! -d /run/systemd/system ] || systemctl daemon-reload
	systemctl enable --quiet nodewarden.service
	@echo 'installed; read $(SYSCONFDIR)/nodewarden.yaml, then: systemctl start nodewarden'

# Leaves configuration and state unless PURGE=1; bans and the table go.
uninstall:
	[ ! -d /run/systemd/system ] || systemctl stop nodewarden.service
	[ ! -x $(PREFIX)/bin/nodewarden ] || $(PREFIX)/bin/nodewarden flush
	[ ! -e $(UNITDIR)/nodewarden.service ] || systemctl disable --quiet nodewarden.service
	rm -rf $(PREFIX) $(BINDIR)/nodewarden $(UNITDIR)/nodewarden.service $(SYSUSERSDIR)/nodewarden.conf
	$(if $(PURGE),rm -rf $(SYSCONFDIR) /var/lib/nodewarden)
	[ ! -d /run/systemd/system ] || systemctl daemon-reload

clean:
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
