"""Checks the captures with tshark, a reader that is not ours: checksums, whole conversations, the MAIL and RCPT commands that expect.json names,
private addresses, sizes."""

import json
import os
import sys

from recorder import OUT, run

BAD = ("ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || tcp.analysis.lost_segment || "
       "tcp.analysis.ack_lost_segment || _ws.malformed")
FOREIGN = "(ip && !(ip.src == 10.25.0.0/16 && ip.dst == 10.25.0.0/16)) || (ipv6 && !(ipv6.src == fd25::/64 && ipv6.dst == fd25::/64))"
OPTIONS = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
LARGEST, LARGEST_OF_ALL = 150_000, 1_500_000


def main():
    with open(f"{OUT}/expect.json", encoding="utf-8") as file:
        files = json.load(file)["files"]
    faults, total = [], 0
    for name, entry in files.items():
        path = f"{OUT}/{name}"
        total += os.path.getsize(path)
        if os.path.getsize(path) > LARGEST:
            faults.append(f"{name} is larger than {LARGEST} octets")
        faults += [f"{name}: frame {line}" for line in tshark(path, f"{BAD} || {FOREIGN}", "frame.number")]
        faults += compare_addresses(name, path, entry)
    if total > LARGEST_OF_ALL:
        faults.append(f"all files together have {total} octets")
    if faults:
        sys.exit("\n".join(faults))
    print(f"  {len(files)} captures checked with tshark, {total} octets", file=sys.stderr)


def compare_addresses(name, path, entry):
    """The MAIL and RCPT commands in the segments to the servers, against those that the clients were told to send."""
    payloads = [bytes.fromhex(line.replace(":", ""))
                for line in tshark(path, "tcp.len > 0 && (tcp.dstport == 25 || tcp.dstport == 24)", "tcp.payload")]
    mails = entry["mails"] + entry.get("smuggled", [])
    faults = []
    for verb, expected in (("MAIL FROM:<", [mail["mail_from"] for mail in mails]),
                           ("RCPT TO:<", [recipient for mail in mails for recipient in mail["rcpt_to"]] + entry.get("stray_rcpt_to", []))):
        found = [address for payload in payloads for address in addresses(verb, payload)]
        if "smuggled" in entry or "stray_rcpt_to" in entry:
            found, expected = sorted(found), sorted(expected)  # these stand in lists of their own, not in their place
        if found != expected:
            faults.append(f"{name}: the capture has {verb} {found}, expected {expected}")
    return faults


def addresses(verb, payload):
    for line in payload.decode("utf-8", "replace").split("\n"):
        if line.upper().startswith(verb):
            yield line[len(verb):].split(">")[0]


def tshark(path, condition, field):
    text = run("tshark", *OPTIONS, "-n", "-r", path, "-Y", condition, "-T", "fields", "-e", field)
    return [line for line in text.splitlines() if line and not line.startswith("Running as")]


main()
