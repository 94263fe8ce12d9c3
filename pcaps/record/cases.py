"""Records the cases named on the command line, or all of them, then merges the demo and writes expect.json and the table of README.md.

expect.json is the truth for the tests. It comes from what the clients were told to send, the replies they saw and the mails that the
servers delivered, never from Portcullis.
"""

import json
import os
import re
import sys

import dns_cases
import smtp_cases
from recorder import OUT, collect, empty_mailboxes, record, run, settle, write_json

DEMO = ["dns-udp", "postfix-plain", "postfix-pipelined", "exim-plain", "opensmtpd-plain", "banned-sender", "postfix-auth-login",
        "postfix-starttls", "rejected-recipient", "dns-tcp", "multi-mail", "smuggling-lf-dot-lf", "rejected-data", "exim-client-bdat", "ipv6"]


def main():
    names = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    cases = {**dns_cases.CASES, **smtp_cases.CASES}
    unknown = [name for name in names if name not in cases]
    if unknown:
        sys.exit(f"no such case: {' '.join(unknown)}; there are: {' '.join(cases)}")
    files = earlier()
    for name in names or cases:
        files[name + ".pcap"] = one(name, cases[name])
        print(f"  {name}", file=sys.stderr)
    files = {name + ".pcap": files[name + ".pcap"] for name in cases if name + ".pcap" in files}
    if all(name + ".pcap" in files for name in DEMO):
        files["demo.pcap"] = demo(files)
    write_json(f"{OUT}/expect.json", {"versions": versions(), "files": files})
    write_table(files)


def earlier():
    """The entries of the cases that are not recorded anew."""
    try:
        with open(f"{OUT}/expect.json", encoding="utf-8") as file:
            return json.load(file)["files"]
    except FileNotFoundError:
        return {}


def one(name, case):
    empty_mailboxes()
    result = record(f"{OUT}/{name}.pcap", case["run"])
    entry = {key: case[key] for key in ("server", "client", "shows", "notes", "anomalies", "smuggled", "stray_rcpt_to") if case.get(key)}
    if "dns" in case:
        return {**entry, "mails": [], "dns": result}
    accepted = [mail for mail in result if mail["accepted"]]
    expected = case.get("deliveries", len(accepted))
    if case.get("mails_per_recipient"):
        expected = sum(len(mail["rcpt_to"]) for mail in accepted)
    deliveries, count = collect(expected)
    settle(name, result, deliveries)
    if case.get("sizes_from_deliveries") and len({size for size, _ in deliveries.values()}) == 1:
        for mail in accepted:
            mail["size"] = next(iter(deliveries.values()))[0]
    if case.get("mails_per_recipient") and count != expected:
        raise RuntimeError(f"{name}: {count} deliveries, not {expected}")
    if "deliveries" in case:
        if len(deliveries) != expected:
            raise RuntimeError(f"{name}: the server delivered {sorted(deliveries)}, which are not {expected} mails")
        entry["delivered"] = sorted(deliveries)
    return {**entry, "mails": result}


def demo(files):
    """The cases of DEMO in the order of their recording, which is that of time stamps and thus of the merged file."""
    parts = sorted(DEMO, key=lambda name: first_time(f"{OUT}/{name}.pcap"))
    run("mergecap", "-F", "pcap", "-w", f"{OUT}/demo.pcap", *[f"{OUT}/{name}.pcap" for name in parts])
    return {"server": "all", "client": "all", "shows": "the demo: " + ", ".join(parts), "notes": "mergecap of these files, by time.",
            "smuggled": [mail for name in parts for mail in files[name + ".pcap"].get("smuggled", [])],
            "mails": [mail for name in parts for mail in files[name + ".pcap"]["mails"]],
            "dns": [query for name in parts for query in files[name + ".pcap"].get("dns", [])]}


def first_time(path):
    return float(run("tshark", "-r", path, "-c", "1", "-T", "fields", "-e", "frame.time_epoch").split()[0])


def versions():
    postfix = run("postconf", "-h", "mail_version").strip()
    exim = run("chroot", "/roots/exim", "exim4", "-bV").split()[2]
    opensmtpd = re.search(r"OpenSMTPD ([\w.]+)", run("chroot", "/roots/opensmtpd", "smtpd", "-h", check=False))
    return {"Postfix": postfix, "Exim": exim, "OpenSMTPD": opensmtpd.group(1) if opensmtpd else package("opensmtpd", "/roots/opensmtpd"),
            "Dovecot": run("dovecot", "--version").split()[0], "BIND": run("named", "-v").split()[1], "swaks": package("swaks"),
            "curl": run("curl", "--version").split()[1], "smtp-source": postfix, "smtplib": sys.version.split()[0],
            "tcpdump": package("tcpdump")}


def package(name, root="/"):
    return run("dpkg-query", "--root", root, "-W", "-f", "${Version}", name)


def write_table(files):
    with open(f"{OUT}/README.md", encoding="utf-8") as file:
        text = file.read()
    with open(f"{OUT}/expect.json", encoding="utf-8") as file:
        programs = json.load(file)["versions"]
    rows = ["| file | octets | server | client | what it shows |", "|---|---|---|---|---|"]
    for name, entry in files.items():
        rows.append(f"| `{name}` | {os.path.getsize(f'{OUT}/{name}')} | {entry['server']} | {entry['client']} | {entry['shows']} |")
    rows += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in programs.items()) + "."]
    text = re.sub(r"(<!-- table -->\n).*(<!-- end of table -->)", lambda found: found[1] + "\n".join(rows) + "\n" + found[2], text, flags=re.S)
    with open(f"{OUT}/README.md", "w", encoding="utf-8") as file:
        file.write(text)


main()
