# SPDX-License-Identifier: MIT
"""The built package under a real dpkg: half installed, in use, and beside another one's upgrade."""

import subprocess
from pathlib import Path

import pytest

from tests.host.debian_package import ROOT, in_a_host_of_its_own
from tests.host.pam_services import shipped_lines

pytestmark = pytest.mark.timeout(600)  # the first test builds the package
PASSWORD = "correct horse"
ALICE = f"""
useradd --create-home alice
echo 'alice:{PASSWORD}' | chpasswd
log_in() {{ printf '%s\\n' "$1" | pamtester sshd alice authenticate; }}
"""
# A package that owns a file in /etc/pam.d, in two releases, as openssh-server does.
DOOR = """
release() { # VERSION LINE
    mkdir -p /tmp/door/DEBIAN /tmp/door/etc/pam.d
    printf '%s\\n' "$2" >/tmp/door/etc/pam.d/door
    echo /etc/pam.d/door >/tmp/door/DEBIAN/conffiles
    printf 'Package: door\\nVersion: %s\\nArchitecture: all\\nMaintainer: d <d@localhost>\\n' "$1" \
        >/tmp/door/DEBIAN/control
    echo 'Description: a service' >>/tmp/door/DEBIAN/control
    dpkg-deb --root-owner-group --build /tmp/door /tmp/door-$1.deb
}
release 1 '@include common-auth'
"""
# Twenty people log in all the time. dpkg gives a file its name every few milliseconds, as it does
# where each has to be on the disk first; it gets the processor that it would have on a real host.
LOGINS = f"""
slowly='nice -n -15 strace -f -qq -o /dev/null -e trace=rename -e inject=rename:delay_exit=3000'
install() {{ $slowly dpkg --no-triggers --force-depends -i "$@" >/dev/null; }}
begin_logins() {{
    mkdir /tmp/logins
    env -C {ROOT} /usr/bin/python3 -m tests.logins_at_once /tmp/logins >/tmp/said 2>&1 &
    logins=$!
    until [ "$(ls /tmp/logins | grep -c alice)" = 20 ]; do
        kill -0 $logins || {{ cat /tmp/said; exit 1; }}
        sleep 0.1
    done
}}
end_logins() {{
    touch /tmp/logins/end
    wait $logins
    cat /tmp/said
}}
"""


def on_a_host(package: Path, script: str) -> str:
    """All that the script says; it must succeed."""
    done = in_a_host_of_its_own(package, script)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    "choice", ["password-then-code", "key-then-code", "key-or-password-then-code", "one-prompt"]
)
def test_package_that_was_never_configured_is_removed_and_everybody_still_gets_in(
    package: Path, choice: str
) -> None:
    """dpkg runs no prerm then, which would have refused."""
    kept = "@include common-auth\\n" if choice == "password-then-code" else ""
    lines = "\\n".join(shipped_lines(choice))
    script = f"""{ALICE}
        dpkg --unpack "$deb"
        sed -i 's/^@include common-auth$/{kept}{lines}/' /etc/pam.d/sshd
        dpkg-query -W -f '${{db:Status-Abbrev}}\\n' pam-totp | grep -x 'iU '
        dpkg --remove pam-totp
        ls /usr/lib/*/security/pam_totp.so /usr/lib/pam-totp && exit 1
        log_in '{PASSWORD}'
        log_in wrong && exit 1
        dpkg --purge pam-totp
    """
    said = on_a_host(package, script)
    assert "warning: /etc/pam.d/sshd used pam-totp, which was removed" in said
    assert "successfully authenticated" in said


def test_package_that_an_upgrade_left_unpacked_is_removed_and_a_key_alone_gets_in_again(
    package: Path,
) -> None:
    """What enable wrote would make the sshd that runs ask PAM, of accounts without a password."""
    script = f"""{ALICE}
        usermod -p '*' alice
        ssh-keygen -q -A
        ssh-keygen -q -t ed25519 -N '' -f /tmp/key
        install -d -m 700 -o alice ~alice/.ssh
        install -m 600 -o alice /tmp/key.pub ~alice/.ssh/authorized_keys
        mkdir -p /run/sshd
        /usr/sbin/sshd
        enter() {{
            ssh -F /dev/null -i /tmp/key -o StrictHostKeyChecking=no -o BatchMode=yes \\
                -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR alice@127.0.0.1 id -un
        }}
        until enter; do sleep 0.1; done
        dpkg -i "$deb"
        pam-totp enable sshd --root key --yes --force --no-trial
        enter && exit 1
        dpkg --unpack "$deb"
        dpkg-query -W -f '${{db:Status-Status}}' pam-totp | grep -x unpacked
        dpkg --remove pam-totp
        until enter; do sleep 0.1; done
        echo == entered
    """
    said = on_a_host(package, script)
    assert "00-pam-totp.conf made sshd ask for codes, so it was renamed" in said
    assert said.endswith("alice\n== entered\n")


def test_package_that_a_line_by_hand_needs_refuses_to_go_and_changes_nothing(
    package: Path,
) -> None:
    """Deleting the lines alone would leave key-then-code without anything that asks."""
    lines = "\\n".join(shipped_lines("key-then-code"))
    script = f"""{ALICE}
        dpkg -i "$deb"
        pam-totp enable login --yes --force
        DEBIAN_FRONTEND=noninteractive pam-auth-update --enable pam-totp
        sed -i 's/^@include common-auth$/{lines}/' /etc/pam.d/sshd
        cp -a /etc/pam.d /tmp/before
        dpkg --remove pam-totp && exit 1
        diff -r /tmp/before /etc/pam.d
        ls /usr/lib/*/security/pam_totp.so /usr/lib/pam-totp/pam_totp/__pycache__/gate.*.bundle
        dpkg-query -W -f '${{db:Status-Status}}' pam-totp | grep -x installed
        sed -i -e '0,/^auth .*pam_totp/s/^auth .*pam_totp.*/@include common-auth/' \
            -e '/pam_totp/d' /etc/pam.d/sshd
        dpkg --purge pam-totp
        log_in '{PASSWORD}'
    """
    said = on_a_host(package, script)
    fault = "still in use in /etc/pam.d, by lines that pam-totp did not add: sshd"
    assert f"pam-totp: error: {fault}\nhint: " in said
    hint = said.partition("hint: ")[2].splitlines()[0]
    assert "a file without any other auth line then needs '@include common-auth'" in hint


@pytest.mark.parametrize("action", ["remove", "purge"])
@pytest.mark.parametrize("first", ["either", "password", "key"])
def test_package_that_was_turned_on_is_removed_without_an_editor(
    package: Path, action: str, first: str
) -> None:
    """By apt, which asks nothing: every service is as it was, and sshd's settings too."""
    script = f"""{ALICE}
        ssh-keygen -q -A
        dpkg -i "$deb"
        pam-totp users
        cp -a /etc/pam.d /etc/ssh /tmp/
        pam-totp enable sshd login su su-l sudo sudo-i --first-factor {first} \
            --root key --yes --force --no-trial
        diff -rq /tmp/pam.d /etc/pam.d && exit 1
        apt-get -y --allow-remove-essential {action} pam-totp </dev/null
        diff -r /tmp/pam.d /etc/pam.d
        diff -r /tmp/ssh /etc/ssh
        sshd -t
        log_in '{PASSWORD}'
        log_in wrong && exit 1
        echo == left
        ls /usr/lib/*/security/pam_totp.so /usr/bin/pam-totp 2>/dev/null || true
    """
    said = on_a_host(package, script)
    assert "successfully authenticated" in said
    assert said.endswith("== left\n")


def test_purge_in_the_middle_of_a_trial_leaves_a_host_that_logs_in(package: Path) -> None:
    """With the command that waits for an answer still there, and with it killed."""
    script = f"""{ALICE}
        ssh-keygen -q -A
        cp -a /etc/pam.d /etc/ssh /tmp/
        for signal in 0 KILL; do
            dpkg -i "$deb"
            pam-totp enable sshd --root key --yes --force --trial 10m </dev/null >/tmp/trial 2>&1 &
            trial=$!
            until [ -e /etc/ssh/sshd_config.d/00-pam-totp.conf ] && grep -q totp /etc/pam.d/sshd; do
                kill -0 $trial || {{ cat /tmp/trial; exit 1; }}
                sleep 0.1
            done
            kill -$signal $trial
            dpkg --purge pam-totp
            diff -r /tmp/pam.d /etc/pam.d
            diff -r /tmp/ssh /etc/ssh
            log_in '{PASSWORD}'
            log_in wrong && exit 1
            wait $trial || true
            diff -r /tmp/pam.d /etc/pam.d
            ls /var/lib/pam-totp /usr/lib/pam-totp /usr/libexec/pam-totp && exit 1
        done
        echo == ended
    """
    assert on_a_host(package, script).endswith("== ended\n")


@pytest.mark.parametrize("first", ["either", "password", "key"])
def test_package_that_does_not_run_any_more_is_removed_all_the_same(
    package: Path, first: str
) -> None:
    """Logins fail then, and removing it is what an administrator tries at the console."""
    script = f"""{ALICE}
        ssh-keygen -q -A
        dpkg -i "$deb"
        pam-totp enable sshd login --first-factor {first} --root key --yes --force --no-trial
        echo 'raise SystemExit(9)' >/usr/lib/pam-totp/pam_totp/main.py
        dpkg --remove pam-totp
        log_in '{PASSWORD}'
        log_in wrong && exit 1
        grep -hr '^[^#]*totp' /etc/pam.d --exclude=*.bak && exit 1
        echo == ended
    """
    said = on_a_host(package, script)
    assert "warning: the program does not run" in said
    assert said.endswith("== ended\n")


def test_removal_that_an_edited_common_auth_stops_leaves_a_package_that_works(
    package: Path,
) -> None:
    """pam-auth-update does not touch it then; what prerm had removed is there again."""
    script = f"""{ALICE}
        dpkg -i "$deb"
        DEBIAN_FRONTEND=noninteractive pam-auth-update --enable pam-totp
        sed -i 's/^# here are the per-package modules.*/auth optional pam_warn.so/' \
            /etc/pam.d/common-auth
        cp /etc/pam.d/common-auth /tmp/
        dpkg --remove pam-totp && exit 1
        diff /tmp/common-auth /etc/pam.d/common-auth
        ls /usr/lib/*/security/pam_totp.so /usr/lib/pam-totp/pam_totp/__pycache__/gate.*.bundle
        dpkg-query -W -f '${{db:Status-Status}}' pam-totp | grep -x installed
        log_in '{PASSWORD}'
    """
    said = on_a_host(package, script)
    assert "still in use in /etc/pam.d, by lines that pam-totp did not add: common-auth" in said


def test_files_that_dpkg_and_editors_leave_do_not_stop_a_purge(package: Path) -> None:
    script = """
        dpkg -i "$deb"
        for name in sshd.dpkg-old sshd.dpkg-dist sshd.ucf-old sshd~ sshd.bak; do
            echo 'auth required pam_totp.so' >/etc/pam.d/$name
        done
        dpkg --purge pam-totp
    """
    assert "pam-totp: warning" not in on_a_host(package, script)


def test_line_lost_to_another_packages_conffile_is_told_at_once_and_by_the_next_command(
    package: Path,
) -> None:
    script = f"""{DOOR}
        dpkg -i "$deb" /tmp/door-1.deb
        echo 'auth required pam_totp.so' >>/etc/pam.d/door
        pam-totp users
        release 2 '# the next release
@include common-auth'
        echo == the upgrade
        dpkg -i --force-confnew /tmp/door-2.deb
        echo == the next command
        pam-totp users
        echo == accepted
        rm /var/lib/pam-totp/services/door
        pam-totp users
    """
    said = on_a_host(package, script).partition("== the upgrade")[2]
    upgrade, _, rest = said.partition("== the next command")
    next_one, _, accepted = rest.partition("== accepted")
    warning = "no longer asking for a code, because the pam_totp.so line is gone: door"
    warning = f"pam-totp: warning: {warning}\nhint: "
    assert warning in upgrade and warning in next_one
    assert "pam-totp: warning" not in accepted


def test_line_lost_to_a_service_that_moves_to_another_folder_is_told_at_once(package: Path) -> None:
    """As polkitd's did: the conffile of /etc is put aside, and the new one is no conffile."""
    script = f"""{DOOR}
        dpkg -i "$deb" /tmp/door-1.deb
        echo 'auth required pam_totp.so' >>/etc/pam.d/door
        pam-totp users
        release 2 '@include common-auth'
        mkdir -p /tmp/door/usr/lib/pam.d
        mv /tmp/door/etc/pam.d/door /tmp/door/usr/lib/pam.d
        rm -r /tmp/door/etc /tmp/door/DEBIAN/conffiles
        for when in preinst postinst postrm; do
            printf '#!/bin/sh\\nexec dpkg-maintscript-helper rm_conffile %s 2~ -- "$@"\\n' \
                /etc/pam.d/door >/tmp/door/DEBIAN/$when
            chmod 755 /tmp/door/DEBIAN/$when
        done
        dpkg-deb --root-owner-group --build /tmp/door /tmp/door-2.deb
        echo == the upgrade
        dpkg -i /tmp/door-2.deb
        echo == over
        ls /etc/pam.d/door && exit 1
        cat /etc/pam.d/door.dpkg-bak
    """
    said, _, kept = on_a_host(package, script).partition("== the upgrade")[2].partition("== over")
    assert "pam_totp.so" in kept
    assert "no longer asking for a code, because the pam_totp.so line is gone: door" in said


def test_line_that_stood_before_the_package_was_configured_is_remembered(package: Path) -> None:
    """And one that dpkg itself saw last, with no command of ours between."""
    script = f"""{DOOR}
        dpkg -i /tmp/door-1.deb
        echo 'auth required pam_totp.so' >>/etc/pam.d/door
        dpkg -i "$deb"
        ls /var/lib/pam-totp/services
        release 2 '# the next release
@include common-auth'
        dpkg -i --force-confnew /tmp/door-2.deb
    """
    assert "no longer asking for a code, because the pam_totp.so line is gone: door" in on_a_host(
        package, script
    )


def test_upgrade_that_is_unpacked_and_not_configured_runs_the_new_code(package: Path) -> None:
    """What was compiled from the old modules is not loaded for the new ones."""
    script = """
        dpkg -i "$deb"
        dpkg-deb -R "$deb" /tmp/new
        sed -i 's/^Version: .*/Version: 9/' /tmp/new/DEBIAN/control
        for program in gate verify; do
            echo 'import posix; posix.mkdir("/tmp/new-'$program'")' \
                >>/tmp/new/usr/lib/pam-totp/pam_totp/login/$program.py
        done
        dpkg-deb --root-owner-group --build /tmp/new /tmp/new.deb
        useradd --create-home alice
        export PAM_USER=alice PAM_SERVICE=sshd
        /usr/libexec/pam-totp/gate
        ls /tmp/new-gate && exit 1
        dpkg --unpack /tmp/new.deb
        /usr/libexec/pam-totp/gate
        printf 123456 | /usr/libexec/pam-totp/verify || true
        ls -d /tmp/new-gate /tmp/new-verify
    """
    on_a_host(package, script)


def test_upgrade_and_the_way_back_under_20_logins_refuse_none(package: Path) -> None:
    """Half of the one release's modules with half of the other's would refuse everybody."""
    script = f"""{LOGINS}
        dpkg-deb -R "$deb" /tmp/new
        sed -i 's/^Version: .*/Version: 9/' /tmp/new/DEBIAN/control
        (
            cd /tmp/new/usr/lib/pam-totp/pam_totp
            mv rules/otp.py rules/one_time.py
            find . -name '*.py' -exec sed -i -E \
                -e 's/pam_totp\\.rules\\.otp\\b/pam_totp.rules.one_time/' \
                -e 's/\\b(gather_facts|verdict_on|read_request|count_try)\\b/\\1_anew/g' {{}} +
        )
        dpkg-deb --root-owner-group -Znone --build /tmp/new /tmp/new.deb
        dpkg -i "$deb"
        begin_logins
        install /tmp/new.deb
        ls /usr/lib/pam-totp/pam_totp/rules/otp.py && exit 1
        install "$deb"
        ls /usr/lib/pam-totp/pam_totp/rules/one_time.py && exit 1
        end_logins
    """
    said = on_a_host(package, script)
    count, _, rest = said.rpartition(" logins, ")
    assert rest == "0 refused\n", said
    assert int(count.split()[-1]) >= 40


def test_replaced_python_under_20_logins_refuses_none(package: Path) -> None:
    """Its two packages, made of what is installed: a security update has the same names."""
    script = f"""{LOGINS}
        pack() {{ # NAME
            mkdir -p /tmp/$1/DEBIAN
            dpkg -L $1 | tar -cP --no-recursion --ignore-failed-read -T - | tar -x -C /tmp/$1
            for part in preinst prerm postinst postrm; do
                dpkg-query --control-show $1 $part >/tmp/$1/DEBIAN/$part 2>/dev/null &&
                    chmod 755 /tmp/$1/DEBIAN/$part || rm /tmp/$1/DEBIAN/$part
            done
            dpkg-query -s $1 | sed -e '/^Status:/d' -e '/^Conffiles:/d' -e '/^ \\//d' \
                -e 's/^Version: .*/&+9/' >/tmp/$1/DEBIAN/control
            dpkg-deb --root-owner-group -Znone --build /tmp/$1 /tmp/$1.deb
        }}
        name=$(basename "$(readlink -f /usr/bin/python3)")-minimal
        pack $name
        pack lib$name
        dpkg -i "$deb"
        begin_logins
        install /tmp/lib$name.deb
        install /tmp/$name.deb
        dpkg-query -W -f '${{Version}}\\n' $name | grep '+9$'
        end_logins
    """
    said = on_a_host(package, script)
    assert said.endswith(" logins, 0 refused\n"), said


def test_launchers_get_their_names_after_all_modules(package: Path) -> None:
    """dpkg keeps to this order; a launcher without its new name says that they may be mixed."""
    lines = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in lines.splitlines()]
    launchers = [names.index(f"./usr/libexec/pam-totp/{name}") for name in ("gate", "verify")]
    modules = [n for n, name in enumerate(names) if name.startswith("./usr/lib/pam-totp/")]
    assert max(modules) < min(launchers)


def test_when_python_changes_what_logins_load_is_compiled_again(package: Path) -> None:
    """As python3's own postinst calls what is in /usr/share/python3/runtime.d."""
    script = """
        dpkg -i "$deb"
        cd /usr/lib/pam-totp/pam_totp/__pycache__
        ls gate.*.bundle verify.*.bundle
        rm *.bundle
        for hook in /usr/share/python3/runtime.d/pam-totp*.rtupdate; do
            $hook pre-rtupdate python3.10 python3.11
            $hook rtupdate python3.10 python3.11
            $hook post-rtupdate python3.10 python3.11
        done
        ls gate.*.bundle verify.*.bundle
    """
    on_a_host(package, script)


def test_purge_leaves_nothing_where_nobody_wrote_anything(package: Path) -> None:
    script = """
        ours() { find / -xdev -path /proc -prune -o -name '*pam[-_]totp*' -print | sort; }
        ours >/tmp/before
        dpkg -i "$deb"
        pam-totp users
        dpkg --purge pam-totp
        ours >/tmp/after
        echo == left
        comm -13 /tmp/before /tmp/after
    """
    assert on_a_host(package, script).endswith("== left\n")


def test_purge_keeps_what_people_wrote_and_says_where(package: Path) -> None:
    """Secrets of `store: system` cannot be made again, and settings are the administrator's."""
    script = """
        dpkg -i "$deb"
        mkdir -m 700 /var/lib/pam-totp/secrets/alice
        echo otpauth >/var/lib/pam-totp/secrets/alice/secret
        mkdir -p /var/lib/pam-totp/used
        echo used >/var/lib/pam-totp/used/1000
        echo 'store: system' >/etc/pam-totp/config.yaml
        dpkg --purge pam-totp
        cat /var/lib/pam-totp/secrets/alice/secret /var/lib/pam-totp/used/1000
        cat /etc/pam-totp/config.yaml
        test ! -e /run/pam-totp
    """
    said = on_a_host(package, script)
    assert (
        "pam-totp: kept, because people wrote files there: /var/lib/pam-totp /etc/pam-totp\nhint: "
        in said
    )


@pytest.mark.parametrize("name", ["smoke", "ssh-login"])
def test_packages_own_tests_leave_no_user_service_or_record_behind(
    package: Path, name: str
) -> None:
    script = f"""
        dpkg -i "$deb"
        seen() {{
            cat /etc/passwd; ls /etc/pam.d /home
            find /run/pam-totp /var/lib/pam-totp ! -type d \
                ! -path '*/settings*' ! -path '*/changes/*'
        }}
        seen >/tmp/before
        sh {ROOT}/debian/tests/{name}
        seen >/tmp/after
        diff /tmp/before /tmp/after
    """
    on_a_host(package, script)
