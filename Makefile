# SPDX-License-Identifier: MIT
# `make help` lists the targets. `make demo` and `make test` install what they need by themselves.

PREFIX = /usr
DESTDIR =

# Debian's python3 with Debian's libraries, whatever else is first on PATH.
PYTHON = /usr/bin/python3
HOST = tests/host/enter

LIBRARY = $(PREFIX)/lib/pam-totp
PROGRAMS = $(PREFIX)/libexec/pam-totp
MANUALS = $(PREFIX)/share/man
BASH_COMPLETION = $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETION = $(PREFIX)/share/zsh/$(if $(DEBIAN),vendor-completions,site-functions)
EXAMPLES = $(PREFIX)/share/doc/pam-totp/examples
TMPFILES = /usr/lib/tmpfiles.d
UNITS = /usr/lib/systemd/system
ROLL_BACK = pam-totp-roll-back.service
# Those of a host in a store of many hosts. `pam-totp store join` turns the sockets on, nothing else does.
AGENTS = pam-totp-agent pam-totp-enroll
AGENT_UNITS = $(foreach agent,$(AGENTS),$(agent).socket $(agent).service)
# Where libpam and Python look, wherever PREFIX is; and the stack that asks for the password, which on
# Debian alone is two, common-auth and common-account. Any other system has to be told.
DEBIAN = $(wildcard /etc/debian_version)
ifneq ($(DEBIAN),)
# Evaluated late: a bare machine has no dpkg-dev yet.
SECURITYDIR = /usr/lib/$(or $(shell dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null),$(shell \
	$(CC) -print-multiarch))/security
# Services that are not the administrator's to edit; a file of that name in /etc/pam.d comes first.
PAMDIR = /usr/lib/pam.d
PYTHONDIR = /usr/lib/python3/dist-packages
endif

CC = gcc
CFLAGS ?= -O2 -g
WARNINGS = -Wall -Wextra -Werror
# The first of the flags that this compiler takes for this processor.
accepts = $(shell for flag in $(1); do \
	echo 'int main(void) { return 0; }' | $(CC) -O2 -Werror $$flag -include features.h \
	-x c - -c -o /dev/null 2>/dev/null && echo $$flag && break; done)
HARDENING = -fPIC -fstack-protector-strong \
	$(call accepts,-fstack-clash-protection) \
	$(call accepts,-fcf-protection -mbranch-protection=standard) \
	-U_FORTIFY_SOURCE $(call accepts,-D_FORTIFY_SOURCE=3 -D_FORTIFY_SOURCE=2)
LINKING = -shared -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs \
	-Wl,--version-script=pam_totp/pam/pam_totp.map
# Of which release the module is, as other packages say it: `pam-totp doctor` compares it.
RELEASE = -Xlinker '--package-metadata={"name":"pam-totp","version":"$(VERSION)"}'
# $ORIGIN: the folder of the module itself.
PATHS = -DPAM_EXEC='"$$ORIGIN/pam_exec.so"' -DGATE='"$(PROGRAMS)/gate"' -DVERIFY='"$(PROGRAMS)/verify"'
COMPILE = $(CC) -std=gnu11 -D_GNU_SOURCE= $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(HARDENING) $(PATHS)
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

MODULE = pam_totp/pam/pam_totp.c
LAUNCHER = pam_totp/pam/launch.c pam_totp/pam/certain.c pam_totp/pam/ask_agent.c
# Static, if there is a libc.a: a loader would believe a variable of the caller's (LD_*).
STATIC = $(shell echo 'int main(void) { return 0; }' | $(CC) -static-pie -fPIE -x c - -o /dev/null 2>/dev/null && \
	echo -static-pie || echo -pie)
# After so many seconds the program is ended.
build/gate: SECONDS = 10
build/verify: SECONDS = 30
MANUAL_SOURCES = $(wildcard pam_totp/manual/*.scd)
MANUAL_PAGES = $(patsubst pam_totp/manual/%.scd,build/man/%,$(MANUAL_SOURCES))

COMPLETIONS = build/completion/pam-totp build/completion/_pam-totp

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
# Both are in the repository: a fault of what writes them must not remove them.
.PRECIOUS: config/config.yaml pam_totp/manual/pam-totp.yaml.5.scd
.PHONY: all build help install uninstall check-places demo demo-fleet test quick test-bare test-roots test-profile test-services check \
	bench fuzz soak deb release clean FORCE \
	check-style check-types check-shell check-module check-architecture check-package

all: build

build: build/pam_totp.so build/gate build/verify $(MANUAL_PAGES) $(COMPLETIONS) ## compile the module, gate and verify, make the manual pages

# The example of the settings file, and the keys in its manual.
config/config.yaml pam_totp/manual/pam-totp.yaml.5.scd &: scripts/describe-settings \
		pam_totp/records/config/table.py pam_totp/review/allowed_values.py
	$(PYTHON) -B scripts/describe-settings
	touch config/config.yaml pam_totp/manual/pam-totp.yaml.5.scd

build/pam_totp.so: $(MODULE) pam_totp/pam/pam_totp.map build/flags
	$(COMPILE) $(LDFLAGS) $(LINKING) $(RELEASE) -o $@ $(MODULE) -lpam -ldl

build/gate build/verify: $(LAUNCHER) pam_totp/pam/launch.h build/program.h build/flags
	@[ "$(STATIC)" = -static-pie ] || echo 'make: warning: there is no libc.a: see "What holds only as it is shipped"' \
		'in SECURITY.md' >&2
	$(COMPILE) $(LDFLAGS) $(STATIC) -Wl,-z,relro,-z,now,-z,noexecstack $(RELEASE) -Ibuild -DSECONDS=$(SECONDS) \
		-DNAME='"$(@F)"' -o $@ $(LAUNCHER)

# A part of the launcher: there is no file that could be missing, or cut short before its guard.
build/program.h: scripts/login.py build/flags
	{ echo '#define PROGRAM \'; sed -e 's|/usr/lib/pam-totp|$(LIBRARY)|g' -e 's/[\"]/\\&/g' \
		-e 's/.*/"&\\n" \\/' $<; echo '""'; } >$@

# For the fuzzers: the same module, which ends the process at the first memory error.
build/pam_totp.sanitized.so: $(MODULE) pam_totp/pam/pam_totp.map build/flags
	$(COMPILE) -U_FORTIFY_SOURCE $(SANITIZE) -UPAM_EXEC -DPAM_EXEC='"$(SECURITYDIR)/pam_exec.so"' -shared -o $@ $(MODULE) -lpam -ldl

build/man/%: pam_totp/manual/%.scd
	@mkdir -p build/man
	scdoc <$< >$@
	@# Says that the page has tables, for tbl (man(1)); scdoc leaves it out.
	@if grep -q '^\.TS' $@; then sed -i "1i '\\\\\" t" $@; fi

# By what `pam-totp --help` is made of, so that no verb or option is ever missing.
build/completion/pam-totp: completed = bash
build/completion/_pam-totp: completed = zsh
$(COMPLETIONS): scripts/write-completion pam_totp/main.py $(wildcard pam_totp/commands/*.py)
	@mkdir -p build/completion
	$(PYTHON) -B scripts/write-completion $(completed) >$@

# Remembers how all was compiled: another PREFIX, or a libc.a that is there now, compiles it again.
build/flags: FORCE
	@mkdir -p build
	@printf '%s\n' '$(subst ','\'',$(COMPILE) $(LDFLAGS) $(RELEASE) $(STATIC))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(COMPILE) $(LDFLAGS) $(RELEASE) $(STATIC))' >$@

# $(call put,MODE,SOURCE,TARGET): a text that names the folders of PREFIX=/usr, and so runs from the
# tree too, gets the folders of this PREFIX; it takes its name only when it is whole.
put = install -D -m $(1) /dev/null '$(DESTDIR)'$(3).new && sed -e 's|/usr/lib/pam-totp|$(LIBRARY)|g' \
	-e 's|/usr/libexec/pam-totp|$(PROGRAMS)|g' -e 's|/usr/lib/pam\.d|$(PAMDIR)|g' \
	-e 's|/usr/lib/python3/dist-packages|$(PYTHONDIR)|g' \
	$(if $(STACK),-e 's|^@include common-\([a-z]*\)|\1 include $(STACK)|') \
	$(2) >'$(DESTDIR)'$(3).new && \
	mv '$(DESTDIR)'$(3).new '$(DESTDIR)'$(3) || exit 1
# The same of a file that stays as it is.
place = install -D -m $(1) $(2) '$(DESTDIR)'$(3).new && mv '$(DESTDIR)'$(3).new '$(DESTDIR)'$(3) || exit 1
# The first line deletes what an older release left: no stray module may stay importable.
# As whom codes are sent. Without it the log says that it is missing; nothing else needs it.
ADD_ACCOUNT = useradd --system --no-create-home --home-dir /nonexistent \
	--shell /usr/sbin/nologin pam-totp-send
install: check-places build ## into DESTDIR, PREFIX=/usr (as root)
	rm -rf '$(DESTDIR)$(LIBRARY)/pam_totp'
	for file in $$(find pam_totp -name '*.py' -o -name '*.yaml' -o -name '*.sql'); do $(call put,644,$$file,$(LIBRARY)/$$file); done
	for name in show-enrollment send-code; do $(call put,755,scripts/login.py,$(PROGRAMS)/$$name); done
	for name in roll-back agent; do $(call put,755,scripts/$$name,$(PROGRAMS)/$$name); done
	for name in gate verify; do $(call place,755,build/$$name,$(PROGRAMS)/$$name); done
	$(call put,755,scripts/pam-totp,$(PREFIX)/bin/pam-totp)
	$(call put,644,config/pam.d/pam-totp,$(PAMDIR)/pam-totp)
	$(call put,644,config/tmpfiles.d/pam-totp.conf,$(TMPFILES)/pam-totp.conf)
	for unit in $(ROLL_BACK) $(AGENT_UNITS); do $(call put,644,config/systemd/$$unit,$(UNITS)/$$unit); done
# Part of every boot, without anybody who turns it on: it has no [Install].
	install -d '$(DESTDIR)$(UNITS)/sysinit.target.wants'
	ln -sf ../$(ROLL_BACK) '$(DESTDIR)$(UNITS)/sysinit.target.wants/$(ROLL_BACK)'
# Empty: the settings are the administrator's to write, and every one has a default.
	install -d '$(DESTDIR)/etc/pam-totp'
	for file in $$(find config -type f ! -path 'config/*.d/*' \
			$(foreach unit,$(ROLL_BACK) $(AGENT_UNITS),! -name $(unit))); do \
		$(call put,644,$$file,$(EXAMPLES)/$${file#*/}); done
	$(call put,755,scripts/mfa,$(EXAMPLES)/mfa)
	for page in $(notdir $(MANUAL_PAGES)); do \
		$(call put,644,build/man/$$page,$(MANUALS)/man$${page##*.}/$$page); done
	$(call put,644,build/completion/pam-totp,$(BASH_COMPLETION)/pam-totp)
	$(call put,644,build/completion/_pam-totp,$(ZSH_COMPLETION)/_pam-totp)
	$(call place,644,build/pam_totp.so,$(SECURITYDIR)/pam_totp.so)
# The package's own postinst does the rest for Debian: another Python may read it there.
ifndef PACKAGING
	umask 022 && $(PYTHON) -BIS -m compileall -q -f -s '$(DESTDIR)' '$(DESTDIR)$(LIBRARY)'
	umask 022 && $(PYTHON) -BIS '$(DESTDIR)$(LIBRARY)/pam_totp/bundle.py'
	install -d -m 700 '$(DESTDIR)/run/pam-totp' '$(DESTDIR)/var/lib/pam-totp' \
		'$(DESTDIR)/var/lib/pam-totp/secrets'
	[ -n '$(DESTDIR)' ] || getent passwd pam-totp-send >/dev/null || $(ADD_ACCOUNT) || true
endif

# What people wrote stays: secrets, settings, and records without which used codes would be good again.
uninstall: check-places ## what install put there (as root, with the same PREFIX)
	@named=$$(cd '$(DESTDIR)/etc/pam.d' 2>/dev/null && \
		grep -lsE '^[^#]*(pam_totp\.so|$(PROGRAMS)/)' ./* | cut -c3- | \
		grep -vE '\.(dpkg|ucf|rpm|pac)|~$$|\.bak$$' | xargs); \
	[ -z "$$named" ] || { printf '%s\n' "make uninstall: error: still in use in /etc/pam.d: $$named" \
		'hint: pam-totp disable --all   # then take out the lines that were added by hand' >&2; exit 1; }
	@[ -n '$(DESTDIR)' ] || [ ! -d /run/systemd/system ] || systemctl stop $(AGENT_UNITS)
	rm -rf '$(DESTDIR)$(LIBRARY)' '$(DESTDIR)$(PROGRAMS)' '$(DESTDIR)$(dir $(EXAMPLES))' \
		'$(DESTDIR)/run/pam-totp' '$(DESTDIR)/var/lib/pam-totp/changes' \
		$(foreach agent,$(AGENTS),'$(DESTDIR)/var/lib/private/$(agent)' '$(DESTDIR)/var/lib/$(agent)')
	rm -f '$(DESTDIR)$(SECURITYDIR)/pam_totp.so' '$(DESTDIR)$(PREFIX)/bin/pam-totp' \
		'$(DESTDIR)$(PAMDIR)/pam-totp' '$(DESTDIR)$(TMPFILES)/pam-totp.conf' \
		$(foreach unit,$(ROLL_BACK) $(AGENT_UNITS),'$(DESTDIR)$(UNITS)/$(unit)') \
		'$(DESTDIR)$(UNITS)/sysinit.target.wants/$(ROLL_BACK)' \
		$(foreach agent,$(AGENTS),'$(DESTDIR)/etc/systemd/system/sockets.target.wants/$(agent).socket') \
		'$(DESTDIR)$(BASH_COMPLETION)/pam-totp' '$(DESTDIR)$(ZSH_COMPLETION)/_pam-totp' \
		$(foreach page,$(notdir $(MANUAL_PAGES)),'$(DESTDIR)$(MANUALS)/man$(subst .,,$(suffix $(page)))/$(page)')
	@for folder in /etc/pam-totp /var/lib/pam-totp/secrets /var/lib/pam-totp; do \
		rmdir "$(DESTDIR)$$folder" 2>/dev/null || [ ! -e "$(DESTDIR)$$folder" ] || \
		echo "kept, because people wrote files there: $$folder"; done

check-places:
	@$(if $(and $(SECURITYDIR),$(PAMDIR),$(PYTHONDIR),$(or $(DEBIAN),$(STACK))),,printf '%s\n' \
		"make: error: this is not Debian, and where its PAM modules, PAM services and Python \
	libraries are, and which stack asks for the password, was not said; nothing was installed" \
		"hint: make install SECURITYDIR=/usr/lib64/security PAMDIR=/usr/lib/pam.d \
	PYTHONDIR=/usr/lib/python3/site-packages STACK=system-auth   # for example" >&2; exit 1)

demo: ## log in over real ssh on a throw-away host
	@scripts/install-dependencies demo
	@$(MAKE) build
	@$(HOST) $(PYTHON) scripts/demo

demo-fleet: ## two hosts with one store, and its failover, on throw-away machines
	@scripts/install-dependencies demo fleet
	@$(MAKE) build
	@$(HOST) $(PYTHON) scripts/demo-fleet

# Two workers for each processor, as a test waits half of its time: each in a throw-away host of its
# own (tests/conftest.py). The architecture is among the tests.
test: ## everything: the linters, then all tests, real sshd included
	@scripts/install-dependencies demo test fleet deb check
	@$(MAKE) check ARCHITECTURE=
	@$(MAKE) build
	@echo 'running all tests, a dot for each, on '$$(nproc)' processors: up to an hour'
	@$(PYTHON) -m pytest tests -q -n $$((2 * $$(nproc))) --dist loadfile --max-worker-restart 1

# What needs neither root nor a host nor the module.
QUICK = tests/rules tests/imports/test_exports.py tests/imports/test_users_oath.py \
	tests/imports/test_seeds.py tests/records/test_rule_reader.py tests/stack/test_services.py \
	tests/records/test_settings_manual.py tests/commands/test_shadowed_rules.py \
	tests/stack/test_reading_services.py tests/stack/test_ways_in.py tests/test_security_page.py
quick: ## the pure rules and parsers, in seconds, as any user
	@scripts/install-dependencies quick
	@$(PYTHON) -m pytest -q --noconftest $(QUICK)

test-bare: ## make test in bare Debian 12 and 13
	@scripts/install-dependencies roots
	@tests/run_in_root bookworm
	@tests/run_in_root trixie

test-roots: ## install the package into whole Debian 12 and 13 systems, and log in there
	@scripts/install-dependencies demo test deb roots
	@$(MAKE) deb
	@echo 'making two whole systems, of 400 MB each, and logging in there: some minutes'
	@$(PYTHON) tests/package_roots

test-profile: ## the profile for pam-auth-update in the services of Debian's packages
	@scripts/install-dependencies demo test
	@echo 'downloading 90 packages, 110 MB, into build/profile, and installing none'
	@$(PYTHON) tests/every_profile

test-services: ## enable in each service of Debian's packages
	@scripts/install-dependencies demo test
	@echo 'downloading 90 packages, 110 MB, into build/profile, and installing none'
	@$(PYTHON) tests/every_service

# Programs by their first line, whatever their name.
first_line = $(shell find scripts tests .ci debian -name __pycache__ -prune -o -type f -exec \
	awk 'FNR == 1 && /^.!.*$(1)/ { print FILENAME }' {} +)
PYTHON_SCRIPTS = $(call first_line,python3)
SHELL_SCRIPTS = $(call first_line,\/(ba|da)?sh)
PYTHON_FILES = pam_totp tests $(PYTHON_SCRIPTS)
ARCHITECTURE = check-architecture
check: ## linters, types, the architecture: all faults at once
	@scripts/install-dependencies demo test fleet check deb
	@$(MAKE) build/check/ready
	@$(MAKE) -k -j$$(nproc) --output-sync=target check-package check-types check-style check-shell \
		check-module $(ARCHITECTURE)

check-style:
	build/check/bin/ruff check $(PYTHON_FILES)
	build/check/bin/ruff format --check $(PYTHON_FILES)

check-types:
	build/check/bin/mypy --strict --scripts-are-modules $(PYTHON_FILES)

check-shell:
	shellcheck $(SHELL_SCRIPTS)

check-module: build/program.h
	for source in $(MODULE) $(LAUNCHER); do $(COMPILE) -Wconversion -Wshadow -Wstrict-prototypes -fanalyzer \
		-Ibuild -DSECONDS=10 -DNAME='"gate"' -c -o /dev/null $$source || exit 1; done

check-architecture:
	$(PYTHON) -m pytest -q --noconftest tests/test_architecture.py

# Without systemd there is no unit of the boot: the next command of root's does what it would do. It is
# no override of the package: the lintian of Debian 13 does not know this tag, and faults the override.
NO_INIT_SCRIPT = package-supports-alternative-init-but-no-init.d-script
check-package: deb
	lintian --allow-root --pedantic $$(! lintian-explain-tags $(NO_INIT_SCRIPT) >/dev/null 2>&1 || \
		echo --suppress-tags $(NO_INIT_SCRIPT)) --fail-on error,warning,info,pedantic build/deb/pam-totp_*.dsc build/deb/pam-totp_*.deb

build/check/ready: pyproject.toml
	@echo 'installing the linters that Debian does not have into build/check: about 60 MB, a minute'
	rm -rf build/check
	$(PYTHON) -m venv --system-site-packages build/check
	build/check/bin/python -m pip install -q $$($(PYTHON) -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["check"])')
	touch $@

bench: ## the performance table
	@scripts/install-dependencies demo test bench
	@$(MAKE) build
	@$(HOST) $(PYTHON) tests/bench

fuzz: ## look for inputs that break a promise, FUZZ_SECONDS=60 in all
	@scripts/install-dependencies demo test check fuzz
	@$(MAKE) build build/pam_totp.sanitized.so build/fuzz/atheris-$(ATHERIS)
	@$(HOST) env FUZZ_SECONDS='$(FUZZ_SECONDS)' $(PYTHON) tests/fuzz

FUZZ_SECONDS = 60
ATHERIS = 3.0.0
build/fuzz/atheris-$(ATHERIS):
	rm -rf build/fuzz
	$(PYTHON) -m venv --system-site-packages build/fuzz
	build/fuzz/bin/python -m pip install -q atheris==$(ATHERIS)
	touch $@

soak: ## every system call made to fail in every way, 1,000 kills, a million stacks: over an hour
	@scripts/install-dependencies demo test
	@$(MAKE) build
	@PAM_TOTP_SOAK=1 $(PYTHON) -m pytest tests/faults tests/stack/test_model.py tests/trial/test_crashes.py \
		-q -n $$(nproc) -o suite_timeout=14400 --durations=20

VERSION = $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' pam_totp/__init__.py)
# The same bytes from the same tree, whoever packs it, when and where.
SAME_TAR = --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX \
	--mtime="@$$(dpkg-parsechangelog -l debian/changelog -S Timestamp)"
# From a copy: the tree stays as it was.
deb: ## the Debian package, into build/
	@scripts/install-dependencies demo deb
	rm -rf build/deb build/pam-totp_*.deb
	@echo 'building the package: half a minute'
	mkdir -p build/deb/source
	tar -c --exclude=./build --exclude=./.git --exclude=__pycache__ --exclude='./.*_cache' \
		--exclude=./.hypothesis $(SAME_TAR) . | tar -x -C build/deb/source
	tar -c -C build/deb --exclude=source/debian --transform 's|^source|pam-totp-$(VERSION)|' \
		$(SAME_TAR) source | gzip -9n >build/deb/pam-totp_$(VERSION).orig.tar.gz
	cd build/deb/source && DEB_BUILD_OPTIONS="noautodbgsym $$DEB_BUILD_OPTIONS" \
		env -u MAKEFLAGS dpkg-buildpackage -us -uc
	cp build/deb/pam-totp_*.deb build/

release: ## tag this version, if the tree is clean and all files name the same one
	@scripts/release

clean: ## removes build/ and caches
	rm -rf build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' Makefile
