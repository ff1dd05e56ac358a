# SPDX-License-Identifier: MIT
"""Services whose programs ask one question only. Pure."""

EXAMPLE = "/usr/share/doc/pam-totp/examples/pam/one-prompt"
# Programs whose protocol has one answer, the password: a second question fails, or gets it again.
ONE_PROMPT = (
    *("vsftpd", "proftpd", "pure-ftpd", "ftp", "dovecot", "imap", "imap4", "pop", "pop3", "smtp"),
    *("smtpd", "sieve", "cyrus", "exim", "postfix", "saslauthd", "radiusd", "openvpn", "ocserv"),
    *("samba", "postgresql", "mysql", "mariadb", "nginx", "apache2", "httpd", "pwauth", "squid"),
    *("popa3d", "courier", "esmtp", "uucp", "tigervnc", "pluto", "vmtoolsd", "monit"),
    *("cups", "xmpp", "ejabberd", "prosody", "gitea", "vnc", "x11vnc", "netatalk", "ppp", "rexec"),
)
