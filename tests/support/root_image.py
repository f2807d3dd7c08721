"""A small bootable Debian, created once by mmdebstrap and kept outside the checkout under a hash of its recipe."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import msgspec

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodewarden"
_ATTEMPTS = 3
PASSWORD = "correct horse"
"""The password of root in every image."""

_BASE = ("systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "iputils-ping", "procps", "python3")
RUNTIME = ("python3-venv", "python3-bpfcc", "python3-systemd", "linux-libc-dev")
"""The daemon's packages from the distribution (RUNTIME_PACKAGES in the Makefile)."""
_PACKAGE = ("python3-click", "python3-rich", "python3-yaml", "python3-apt")
"""Additional packages for the Debian package, and for installing it with Ansible."""
_BUILD = ("debhelper", "dh-apparmor", "dh-python", "gcc", "make", "python3-dev", "python3-pip")
"""For `make deb` (BUILD_PACKAGES in the Makefile)."""
_TEST = ("apparmor", "conntrack", "curl", "jq", "libcap2-bin", "libfaketime", "nftables")

_NOISE = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service"),
    *("dpkg-db-backup.timer", "getty@tty1.service", "systemd-logind.service"),
)
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
# nodelay: a wrong password is answered immediately, so a brute-force attack takes a second
_HOOKS = (
    'rm -f "$1/etc/hostname"; : > "$1/etc/machine-id"',  # otherwise copied from the host, and overrides --hostname
    f'chroot "$1" systemctl --quiet mask {" ".join(_NOISE)}',
    'sed -i "s/pam_unix.so nullok/pam_unix.so nullok nodelay/" "$1/etc/pam.d/common-auth"',
    f'echo "root:{PASSWORD}" | chroot "$1" chpasswd',
    r'printf "MaxStartups 500:30:1000\nPermitRootLogin yes\nUseDNS no\n" > "$1/etc/ssh/sshd_config.d/lab.conf"',
    'mkdir -p "$1/var/log/journal"',
)


class RootImage(msgspec.Struct, frozen=True):
    """A recipe: minbase of a release of Debian, the packages for all our machines, and `packages`."""

    suite: str = "bookworm"
    packages: tuple[str, ...] = (*RUNTIME, *_PACKAGE, *_BUILD, *_TEST)

    def path(self) -> Path:
        """Return the directory of the root file system, created now if it is not cached (a minute); never write to it.

        RuntimeError with the output of mmdebstrap if that fails.
        """
        command = self._command()
        name = f"{self.suite}-{hashlib.sha256(chr(0).join(command).encode()).hexdigest()[:16]}"
        CACHE.mkdir(parents=True, exist_ok=True)
        root = CACHE / f"root-{name}"
        with (CACHE / f"root-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.is_dir():
                self._make(command, root)
        return root

    def _command(self) -> list[str]:
        return [
            *("mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory", "--quiet"),
            *('--aptopt=Acquire::Languages "none"', "--dpkgopt=force-unsafe-io"),
            # indexes of forky expire within days: a mirror may lag behind
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
            f"--include={','.join((*_BASE, *self.packages))}",
            *(f"--customize-hook={hook}" for hook in _HOOKS),
            self.suite,
        ]

    def _make(self, command: list[str], root: Path) -> None:
        begun = root.with_suffix(".begun")
        for _ in range(_ATTEMPTS):  # a mirror may not answer at times
            shutil.rmtree(begun, ignore_errors=True)
            done = subprocess.run([*command, begun], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode == 0:
                begun.rename(root)
                return
        shutil.rmtree(begun, ignore_errors=True)
        raise RuntimeError(f"mmdebstrap could not create a Debian {self.suite}: {done.stdout.strip()}")


def python_version(root: Path) -> str:
    """Return the version of the Python in a root file system: `3.13`."""
    return (root / "usr/bin/python3").readlink().name.removeprefix("python")
