# Every target does its own set-up and can be repeated. For Debian 12; root is required to install packages.

VENV := .venv
PYTHON := $(VENV)/bin/python
CONFIG ?= build/run/nodewarden.yaml
PREFIX ?= /opt/nodewarden
SYSCONFDIR ?= /etc/nodewarden
BINDIR ?= /usr/local/bin
UNITDIR ?= /etc/systemd/system
SYSUSERSDIR ?= /etc/sysusers.d
TMPFILESDIR ?= /etc/tmpfiles.d
APPARMORDIR ?= /etc/apparmor.d

# Bindings to the system come from the distribution; "bcc" on PyPI is another project.
RUNTIME_PACKAGES := python3-venv python3-bpfcc python3-systemd linux-libc-dev
TEST_PACKAGES := nftables python3-nftables conntrack iproute2 nmap hping3 iputils-ping curl procps clang-format systemd-journal-remote apache2-utils \
    slowhttptest ethtool rsync redis-server bind9-dnsutils dnsmasq-base mmdebstrap systemd-container medusa \
    sshpass prometheus prometheus-alertmanager rsyslog rsyslog-openssl etcd-server strace groff-base man-db lintian openssh-client \
    iptables ipset
# For building the Debian package, and nothing else.
BUILD_PACKAGES := debhelper dh-apparmor dh-python gcc python3-dev python3-pip python3-click python3-systemd python3-yaml
# Tests start hundreds of daemons, and without bytecode each would compile all modules first.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check

.PHONY: help setup packages native run demo fleet observe dashboards bands boards-cost test zoo forgers faults fuzz sanitize soak stutter newcomer test-pythons lint bench bench-peers lock docs man install uninstall deb debs clean

help:
	@echo 'make demo       show a scan being banned, in a lab of private network namespaces'
	@echo 'make fleet      ten nodes share bans over a redis-server: an attack, a pardon, a partition, a lost server, a traitor'
	@echo 'make observe    run a lab under attack with Prometheus, for dashboards (MINUTES=5; KEEP=1 keeps it running;'
	@echo '                SCENE=flood for one kind of trouble, see demo/scenes.py)'
	@echo 'make test       run all tests; make lint: all checks; make bench: all benchmarks'
	@echo 'make bench-peers  compare with fail2ban, CrowdSec, sshguard and psad; prints the table of the README'
	@echo 'make zoo        run legitimate traffic of every kind against the daemon; none of it may lead to a ban'
	@echo 'make forgers    run attackers who want somebody else banned; none of them may succeed'
	@echo 'make faults     have every system call of the daemon fail with every errno; it must survive all of them'
	@echo 'make fuzz       run the property tests with ROUNDS=10 times other random examples, and search for inputs on which'
	@echo '                native code and Python differ, for SECONDS=120 each'
	@echo 'make sanitize   run the tests of native code with AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make stutter    run kernel tests with a daemon that often stands still (TESTS=tests/kernel/test_x.py)'
	@echo 'make newcomer   follow the documents, command by command, on a fresh Debian 12 and 13'
	@echo 'make bands      measure over synthetic weeks what the Prometheus rules find, and false alerts'
	@echo 'make boards-cost  measure what the dashboards cost Prometheus with 500 nodes'
	@echo 'make test-pythons  run the unit tests on Python 3.13 and 3.14, those of Debian 13 and forky'
	@echo 'make run        run the daemon in the foreground, observing this machine (CONFIG=FILE for another configuration)'
	@echo 'make install    install into $(PREFIX), with unit and configuration; make uninstall [PURGE=1]'
	@echo 'make deb        build a Debian package in dist/; make debs: one for Debian 12 and one for Debian 13'
	@echo 'make native     build the native extension in place'
	@echo 'make setup      install what the other targets need'

# $(1): package names. Installs missing ones, or prints the command if root is required. Tests and demo start their own
# Prometheus, Alertmanager, rsyslog, Redis and etcd, so the services of the packages are disabled.
define install_packages
	@missing=$$(for package in $(1); do \
	    dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	    if [ "$$(id -u)" != 0 ]; then echo "as root: apt-get install" $$missing >&2; exit 1; fi; \
	    echo "installing" $$missing; \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing \
	        >/dev/null || exit 1; \
	    for service in prometheus prometheus-alertmanager redis-server rsyslog etcd; do case "$$missing" in *$$service*) \
	        [ ! -d /run/systemd/system ] || systemctl disable --quiet --now $$service.service;; esac; done; \
	fi
endef

packages:
	$(call install_packages,$(RUNTIME_PACKAGES) $(BUILD_PACKAGES) $(TEST_PACKAGES))

# Python compiles what is imported, which is a part of the packages.
$(VENV)/.ready: requirements.lock pyproject.toml hatch_build.py | packages
	/usr/bin/python3 -m venv --system-site-packages $(VENV)
	$(PIP) install --no-compile --require-hashes --ignore-installed -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.native: $(wildcard native/*.[ch]) native/build.py $(VENV)/.ready
	$(PYTHON) -m native.build monitor
	@touch $@

setup: packages $(VENV)/.ready $(VENV)/.native

# After a change in native/.
native: $(VENV)/.native

build/run/nodewarden.yaml: systemd/nodewarden.yaml
	mkdir -p build/run/conf.d
	cp $< $@
	cp systemd/observe.yaml build/run/conf.d/
	printf '%s\n' 'control: {socket: $(CURDIR)/build/run/control.sock}' 'state: {directory: $(CURDIR)/build/run/state}' \
	    > build/run/conf.d/places.yaml

run: setup build/run/nodewarden.yaml
	$(VENV)/bin/nodewarden run --config $(CONFIG)

demo: setup
	$(PYTHON) -m demo $(if $(KEEP),--keep)

# Ten nodes that share bans; NODES=3 takes less time.
fleet: setup
	$(PYTHON) -m demo.fleet $(if $(NODES),--nodes $(NODES)) $(if $(KEEP),--keep)

# A lab with Prometheus, as a data source for Grafana.
observe: setup
	$(PYTHON) -m demo.observe --minutes $(or $(MINUTES),5) $(if $(KEEP),--keep) $(if $(SCENE),--scene $(SCENE))

# Tests of nftables and connection tracking share nothing, since these belong to a network namespace; neither do those of
# packages, which attack nobody, and those of daemons that read only lines with a log prefix of their own.
APART := tests/system/packaging $(patsubst %,tests/kernel/test_%.py,audit_suggestions ban_faults bench_peers bans_model comparison conntrack drift \
    forged_entries journal leaks log_in_journal nft_versions nftables older_tables prefixes refused_table shun_semantics surroundings \
    audit_command audit_rulesets audit_untouched config_watch crowdsec notify notify_servers daemon_state dashboards fleet observe owner state)
# Booted containers, whose daemons have a log prefix of their own, too.
BOOTED := $(filter-out tests/system/packaging,$(wildcard tests/system/test_*.py))

# Says where the time went.
SLOWEST := --durations=25 --durations-min=3

# $(1): name, $(2): command, which takes pytest's options. Runs tests; output, status and what failed are kept in build/.
define stream
rm -rf build/$(1)-cache; { $(2) $(SLOWEST) -o cache_dir=build/$(1)-cache; echo $$? >build/$(1)-tests.status; }
endef

# What the native extension does in the filters is done in Python where it is not there: these tests run both ways.
WITHOUT_NATIVE := $(addprefix tests/unit/filters/test_,log_filter.py matcher.py builtin.py builtin_time.py connections.py \
    wrappers.py)
STREAMS := unit python apart booted main

# Other tests on the kernel watch the whole machine: they run one by one, and mostly wait. Unit tests take the time that
# is left. What failed runs again, alone (tests/again.py), but for tests that need the environment of their stream. Status 1 of
# pytest says that tests failed, and nothing else.
test: setup
	@mkdir -p build
	@$(call stream,unit,nice -n 19 $(PYTHON) -m pytest --numprocesses auto --dist worksteal tests/unit tests/peers \
	    tests/forgers/test_logs.py) >build/unit-tests.log 2>&1 & \
	$(call stream,python,NODEWARDEN_NATIVE=0 nice -n 19 $(PYTHON) -m pytest $(WITHOUT_NATIVE)) >build/python-tests.log 2>&1 & \
	$(call stream,apart,$(PYTHON) -m pytest $(APART)) >build/apart-tests.log 2>&1 & \
	$(call stream,booted,$(PYTHON) -m pytest $(BOOTED)) >build/booted-tests.log 2>&1 & \
	$(call stream,main,$(PYTHON) -m pytest tests/kernel tests/zoo tests/forgers/test_network.py tests/soak \
	    $(addprefix --ignore=,$(APART))); \
	wait; status=0; for stream in $(STREAMS); do [ $$stream = main ] || cat build/$$stream-tests.log; \
	    case "$$(cat build/$$stream-tests.status)" in 0) ;; 1) [ $$stream != python ] && [ $$status != 2 ] && status=1 || status=2;; *) status=2;; esac; done; \
	[ $$status != 1 ] || { $(PYTHON) -m tests.again $(patsubst %,build/%-cache,$(STREAMS)); status=$$?; }; exit $$status

# All behaviours against both addresses of the node, and a table; `make test` runs the reduced form.
zoo: setup
	$(PYTHON) -m tests.zoo

forgers: setup
	$(PYTHON) -m tests.forgers

# Every system call with every errno, and faults during the start: about twenty minutes. `make test` runs a part.
faults: setup
	$(PYTHON) -m tests.faults

# Property tests with examples that `make test` does not try: a run of that says the same about the same tree.
fuzz: setup
	status=0; for round in $$(seq $(or $(ROUNDS),10)); do \
	    nice -n 19 $(PYTHON) -m pytest -q --no-header --numprocesses auto --dist worksteal -m hypothesis --hypothesis-profile fuzz tests/unit \
	    || status=1; done; $(PYTHON) -m tests.sanitized --fuzz $(or $(SECONDS),120) || status=1; exit $$status

# Native code with AddressSanitizer and UndefinedBehaviorSanitizer, compared with Python. After a change in native/.
sanitize: setup
	$(PYTHON) -m tests.sanitized

# True offenders in a mixed attack, for MINUTES; `make test` runs two minutes.
soak: setup
	$(PYTHON) -m tests.soak --minutes $(or $(MINUTES),30)

# Tests with a daemon that often stands still: finds those that only pass where it is quick. TESTS chooses some. Those that
# bound how long something takes fail with reason.
stutter: setup
	NODEWARDEN_TEST_STUTTER=1 $(PYTHON) -m pytest $(or $(TESTS),tests/kernel)

# A newcomer's first hours, with documents followed word by word on fresh machines; `make test` runs a part.
newcomer: setup
	$(PYTHON) -m tests.newcomer

# Unit tests on newer Pythons, in roots of newer releases of Debian.
test-pythons: setup
	$(PYTHON) -m tests.pythons

# What the dashboards cost Prometheus with 500 nodes: about four minutes.
boards-cost: setup
	$(PYTHON) -m tests.fleet

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	find bpf native -name '*.[ch]' -exec clang-format --dry-run --Werror {} +

bench: setup
	$(PYTHON) -m bench

# What the README's table of peers needs, and the table.
bench-peers: setup
	$(PYTHON) -m bench --peers

# Pins for development and for installation; they contain no index or host.
lock: setup
	for extra in dev ''; do \
	    $(VENV)/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $${extra:+--extra $$extra} \
	        --output-file requirements$${extra:-.runtime}.lock pyproject.toml; \
	done
	mv requirementsdev.lock requirements.lock

man: setup
	$(PYTHON) -m manual build/man

# The JSON for Grafana, generated from the code in dashboards/.
dashboards: setup
	$(PYTHON) -m dashboards

# What the bands of dashboards/rules find over synthetic weeks: minutes. The table is kept in docs/dashboards.md.
bands: setup
	$(PYTHON) -m tests.bands

docs: setup
	$(PYTHON) -m monitor.settings.reference > docs/configuration.md
	$(PYTHON) -m monitor.daemon.catalogue.reference > docs/metrics.md
	$(PYTHON) -m monitor.filters.reference > docs/filters.md
	$(PYTHON) -m monitor.audit.reference > docs/audit-checks.md
	$(PYTHON) -m monitor.enforcers.nftables.table_text > docs/table.nft

install:
	$(call install_packages,$(RUNTIME_PACKAGES))
	/usr/bin/python3 -m venv --system-site-packages $(PREFIX)
	$(PREFIX)/bin/python -m pip --quiet install --require-hashes --ignore-installed -r requirements.runtime.lock
	$(PREFIX)/bin/python -m pip --quiet install --no-deps --force-reinstall .
	install -d $(SYSCONFDIR)/conf.d $(BINDIR) $(UNITDIR) $(SYSUSERSDIR) $(TMPFILESDIR)
	[ -e $(SYSCONFDIR)/nodewarden.yaml ] || install -m 644 systemd/observe.yaml $(SYSCONFDIR)/conf.d/10-observe.yaml
	[ -e $(SYSCONFDIR)/nodewarden.yaml ] || install -m 644 systemd/nodewarden.yaml $(SYSCONFDIR)/nodewarden.yaml
	ln -sf $(PREFIX)/bin/nodewarden $(BINDIR)/nodewarden
	sed 's|@PREFIX@|$(PREFIX)|' systemd/nodewarden.service > $(UNITDIR)/nodewarden.service
	sed 's|@PREFIX@|$(PREFIX)|' systemd/nodewarden-lists.service > $(UNITDIR)/nodewarden-lists.service
	install -m 644 systemd/nodewarden-lists.timer $(UNITDIR)/nodewarden-lists.timer
	sed 's|@PREFIX@|$(PREFIX)|' systemd/nodewarden-audit.service > $(UNITDIR)/nodewarden-audit.service
	install -m 644 systemd/nodewarden-audit.timer $(UNITDIR)/nodewarden-audit.timer
	sed 's|@PREFIX@|$(PREFIX)|' systemd/nodewarden-notify.service > $(UNITDIR)/nodewarden-notify.service
	[ ! -e /etc/kubernetes ] && [ ! -e /var/lib/rancher ] || install -D -m 644 systemd/kubernetes.conf \
	    $(UNITDIR)/nodewarden.service.d/kubernetes.conf
	install -m 644 systemd/nodewarden.sysusers $(SYSUSERSDIR)/nodewarden.conf
	install -m 644 systemd/nodewarden.tmpfiles $(TMPFILESDIR)/nodewarden.conf
	[ ! -d $(APPARMORDIR) ] || sed 's|@PREFIX@|$(PREFIX)|' systemd/nodewarden.apparmor > $(APPARMORDIR)/nodewarden
	[ ! -e $(APPARMORDIR)/nodewarden ] || [ ! -d /sys/kernel/security/apparmor ] || \
	    apparmor_parser --replace $(APPARMORDIR)/nodewarden
	systemd-sysusers $(SYSUSERSDIR)/nodewarden.conf
	systemd-tmpfiles --create $(TMPFILESDIR)/nodewarden.conf
	$(BINDIR)/nodewarden config check --config $(SYSCONFDIR)/nodewarden.yaml
	[ ! -d /run/systemd/system ] || systemctl daemon-reload
	systemctl enable --quiet nodewarden.service nodewarden-lists.timer nodewarden-notify.service
	[ ! -d /run/systemd/system ] || systemctl start nodewarden-lists.timer
	systemctl enable --quiet nodewarden-audit.timer
	[ ! -d /run/systemd/system ] || systemctl start nodewarden-audit.timer
	@$(PREFIX)/bin/python -P -c 'from monitor import native; print("native code:", native.why_not and "not in use, " + native.why_not \
	    + "; gcc and python3-dev build it; everything works without, more slowly" or "in use")'
	@echo 'installed: systemctl start nodewarden, then nodewarden doctor'
	@[ ! -e $(SYSCONFDIR)/conf.d/10-observe.yaml ] || \
	    echo 'it only observes until you delete $(SYSCONFDIR)/conf.d/10-observe.yaml; see there'

# Keeps configuration, state and account unless PURGE=1; removes bans and the table.
uninstall:
	[ ! -d /run/systemd/system ] || [ ! -e $(UNITDIR)/nodewarden-notify.service ] || \
	    systemctl stop nodewarden-notify.service
	[ ! -d /run/systemd/system ] || [ ! -e $(UNITDIR)/nodewarden-lists.timer ] || \
	    systemctl stop nodewarden-lists.timer nodewarden-lists.service
	[ ! -d /run/systemd/system ] || [ ! -e $(UNITDIR)/nodewarden-audit.timer ] || \
	    systemctl stop nodewarden-audit.timer nodewarden-audit.service
	[ ! -d /run/systemd/system ] || [ ! -e $(UNITDIR)/nodewarden.service ] || systemctl stop nodewarden.service
	[ ! -x $(PREFIX)/bin/nodewarden ] || $(PREFIX)/bin/nodewarden flush
	[ ! -e $(UNITDIR)/nodewarden.service ] || systemctl disable --quiet nodewarden.service
	[ ! -e $(UNITDIR)/nodewarden-lists.timer ] || systemctl disable --quiet nodewarden-lists.timer
	[ ! -e $(UNITDIR)/nodewarden-audit.timer ] || systemctl disable --quiet nodewarden-audit.timer
	[ ! -e $(UNITDIR)/nodewarden-notify.service ] || systemctl disable --quiet nodewarden-notify.service
	[ ! -e $(APPARMORDIR)/nodewarden ] || [ ! -d /sys/kernel/security/apparmor ] || \
	    apparmor_parser --remove $(APPARMORDIR)/nodewarden
	rm -rf $(PREFIX) $(BINDIR)/nodewarden $(UNITDIR)/nodewarden.service $(SYSUSERSDIR)/nodewarden.conf \
	    $(UNITDIR)/nodewarden-lists.service $(UNITDIR)/nodewarden-lists.timer $(UNITDIR)/nodewarden-notify.service \
	    $(UNITDIR)/nodewarden-audit.service $(UNITDIR)/nodewarden-audit.timer \
	    $(TMPFILESDIR)/nodewarden.conf $(APPARMORDIR)/nodewarden
	rm -f $(UNITDIR)/nodewarden.service.d/kubernetes.conf
	[ ! -d $(UNITDIR)/nodewarden.service.d ] || rmdir --ignore-fail-on-non-empty $(UNITDIR)/nodewarden.service.d
	[ ! -d $(SYSUSERSDIR) ] || rmdir --ignore-fail-on-non-empty $(SYSUSERSDIR)
	$(if $(PURGE),rm -rf $(SYSCONFDIR) /var/lib/nodewarden /var/cache/nodewarden \
	    /var/lib/nodewarden-audit /var/lib/systemd/timers/stamp-nodewarden-audit.timer \
	    /var/lib/systemd/timers/stamp-nodewarden-lists.timer)
	$(if $(PURGE),! getent passwd nodewarden >/dev/null || userdel nodewarden)
	[ ! -d /run/systemd/system ] || systemctl daemon-reload

# Needs neither the tools of the tests nor the virtual environment.
deb:
	$(call install_packages,$(BUILD_PACKAGES))
	DEB_RULES_REQUIRES_ROOT=no debian/rules --no-print-directory clean binary

# One for each release of Debian, in a root of its own; `make deb` builds for the release on which it runs.
debs: setup
	$(PYTHON) -m tests.newcomer.packages

clean:
	rm -rf build dist debian/nodewarden debian/.debhelper debian/completion debian/man debian/*.log debian/*.substvars
	rm -rf debian/backend debian/*.lock debian/nodewarden.service debian/nodewarden.nodewarden-*
	rm -f monitor/_native.*.so monitor/._native*
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
