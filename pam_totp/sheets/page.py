# SPDX-License-Identifier: MIT
"""A sheet as a page of HTML: it needs no script and no network, and loads nothing.

- All that is not ours MUST be escaped: names, labels and contacts may hold what people like.
- Nothing MUST be said by colour, and the QR code MUST have the key beside it as text.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from pam_totp.sheets.texts import Texts, escaped

STYLE = """
@page { margin: 12mm 15mm }
* { box-sizing: border-box; margin: 0; padding: 0 }
html { font: 10.5pt/1.3 "DejaVu Sans", "Liberation Sans", Arial, sans-serif; color: #000;
  background: #fff; overflow-wrap: anywhere }
.sheet { break-inside: avoid; max-width: 180mm; margin: 0 auto }
.sheet + .sheet { break-before: page }
h1 { font-size: 18pt; line-height: 1.15; margin-bottom: 2.5mm }
h2 { font-size: 12pt; margin: 3.5mm 0 1mm }
.warning { border: 0.6mm solid #000; padding: 1.2mm 2.5mm; margin: 3mm 0; font-weight: bold }
ol { padding-left: 7mm }
ol li { margin-bottom: 0.9mm; padding-left: 1mm }
.key { display: flex; gap: 5mm; align-items: center; margin-top: 2mm }
.key svg { width: 58mm; height: 58mm; flex: none; shape-rendering: crispEdges }
.key h2 { margin-top: 2.5mm }
dl { display: grid; grid-template-columns: max-content 1fr; column-gap: 4mm; font-size: 9.5pt }
dd { font-weight: bold }
code { font: 12.5pt/1.4 "DejaVu Sans Mono", "Liberation Mono", monospace }
.key code { display: block; margin-bottom: 1mm }
.key .long { font-size: 8.5pt; line-height: 1.25 }
.slip { border-top: 0.4mm dashed #000; margin-top: 3mm }
.codes { columns: 2; list-style: none; margin: 1.5mm 0 0 }
.codes li { break-inside: avoid }
small { font-size: 9.5pt; font-weight: normal }
.dense { font-size: 8.5pt }
.dense h1 { font-size: 15pt }
.dense h2 { font-size: 11pt; margin-top: 2.5mm }
.dense dl, .dense small { font-size: 7.5pt }
.dense .codes code { font-size: 10.5pt }
.codes li::before { content: ""; display: inline-block; width: 3.2mm; height: 3.2mm;
  border: 0.3mm solid #000; margin-right: 3mm }
"""
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{}'"
LONG_KEY = 64  # characters, with spaces; the usual one has 39
MUCH = 250  # characters of names and key that need smaller letters to fit one page
STEPS = ("step_1", "step_2", "step_3", "step_4", "step_5")
QUIET_MODULES = 4  # ISO/IEC 18004; paper has room for it
KEPT, NONE = "codes_kept", "codes_none"


@dataclass(frozen=True)
class Sheet:
    """What one user's sheet says. account: as the app shows it; modules: of the QR code
    (pam_totp.enrollment.symbol); uri: what it says; key: its secret in groups; codes: those to
    print; without any, no_codes says why: KEPT or NONE."""

    user: str
    account: str
    modules: list[str]
    uri: str
    key: str
    algorithm: str
    digits: int
    period: int
    codes: list[str]
    no_codes: str = KEPT


@dataclass(frozen=True)
class Around:
    """What is the same on all sheets. contact: whom to ask, empty for the administrator; day: when
    they were made, as text."""

    texts: Texts
    server: str
    contact: str
    day: str


def head(around: Around, more: str = "") -> str:
    """The beginning of a document, before its pages; `more`: elements for its head."""
    texts = around.texts.knowing(server=around.server)
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    policy = POLICY.format(digest)
    return (
        f'<!DOCTYPE html>\n<html lang="{texts.language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{more}'
        f"<title>{texts.plain('title')}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )


END = "</body>\n</html>\n"


def page(sheet: Sheet, around: Around, number: int = 1) -> str:
    """One page of a document, the `number`th."""
    texts = around.texts.knowing(
        user=sheet.user,
        server=around.server,
        contact=around.contact,
        algorithm=sheet.algorithm,
        digits=str(sheet.digits),
        period=str(sheet.period),
    )
    say = texts.say
    facts = {"user": sheet.user, "server": around.server, "account": sheet.account}
    facts["made"] = around.day
    steps = [*STEPS, "step_6_with_codes" if sheet.codes else "step_6"]
    rows = "".join(
        f"<dt>{say(key)}</dt><dd><bdi>{escaped(value)}</bdi></dd>\n" for key, value in facts.items()
    )
    is_much = sum(map(len, [*facts.values(), around.contact, sheet.key])) > MUCH
    key = f'<code class="long">{sheet.key}</code>'
    if len(sheet.key) <= LONG_KEY:
        key = f"<code>{sheet.key}</code>"
    return (
        f'<article class="sheet{" dense" if is_much else ""}">\n'
        f"<h1>{say('title')}</h1>\n<p>{say('intro')}</p>\n"
        f'<p class="warning">{say("warning")}</p>\n'
        f"<h2>{say('steps')}</h2>\n<ol>\n"
        + "".join(f"<li>{say(step)}</li>\n" for step in steps)
        + f'</ol>\n<div class="key">\n{qr_code(sheet.modules, texts.plain("qr_code"), number)}\n'
        f"<div><dl>\n{rows}</dl>\n<h2>{say('key')}</h2>\n{key}\n"
        f"<p>{say('key_note')}</p></div>\n</div>\n"
        f"{_slip(sheet, around, texts)}</article>\n"
    )


def _slip(sheet: Sheet, around: Around, texts: Texts) -> str:
    """What is cut off and kept, so it names the account once more."""
    say = texts.say
    whose = f"<bdi>{escaped(sheet.user)}</bdi>, <bdi>{escaped(around.server)}</bdi>"
    text = f'<section class="slip">\n<h2>{say("codes")} <small>{whose}</small></h2>\n'
    if sheet.codes:
        shown = "".join(f"<li><code>{grouped(code)}</code></li>\n" for code in sheet.codes)
        text += f'<p>{say("codes_note")}</p>\n<ul class="codes">\n{shown}</ul>\n'
    else:
        text += f"<p>{say(sheet.no_codes)}</p>\n"
    asked = say("contact" if around.contact else "contact_administrator")
    return f"{text}<h2>{say('help')}</h2>\n<p>{asked}</p>\n</section>\n"


def grouped(code: str) -> str:
    """A recovery code as it is read and typed."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def qr_code(modules: list[str], title: str, number: int) -> str:
    """The QR code as an SVG element with a title, which must be escaped; a path around each run of
    dark modules."""
    size = len(modules) + 2 * QUIET_MODULES
    path = ""
    for down, row in enumerate(modules, QUIET_MODULES):
        for run in re.finditer("1+", row):
            width = run.end() - run.start()
            path += f"M{run.start() + QUIET_MODULES} {down}h{width}v1h-{width}z"
    name = f"qr-{number}"
    return (
        f'<svg viewBox="0 0 {size} {size}" role="img" aria-labelledby="{name}">'
        f'<title id="{name}">{title}</title><path d="{path}" fill="#000"/></svg>'
    )
