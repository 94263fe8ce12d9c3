"""Records one case: starts tcpdump, runs the client, collects what the servers delivered and compares it with what was sent."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

OUT = "/record/out"
MAIL = "/record/mail"
# What a server puts before the message that it was given, at most once each.
ADDED = {"return-path", "x-original-to", "delivered-to", "received", "envelope-to", "delivery-date"}


def record(path, work):
    """Runs `work` while tcpdump writes `path`; returns what `work` returned."""
    dump = subprocess.Popen(
        ["tcpdump", "-i", "wire0", "-n", "-U", "-s", "0", "-Z", "root", "--immediate-mode", "-w", path, "tcp or udp"],
        stderr=subprocess.PIPE, text=True)
    try:
        while "listening on" not in dump.stderr.readline():
            if dump.poll() is not None:
                raise RuntimeError("tcpdump did not start")
        result = work()
        time.sleep(0.3)  # the last FIN and ACK of both sides
    finally:
        dump.send_signal(signal.SIGINT)
        dump.wait(5)
    return result


def run(*command, check=True, **more):
    """A client program's output, standard error after standard output."""
    done = subprocess.run(command, stdin=more.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=30, **more)
    text = done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{text[-2000:]}")
    return text


def reply_codes(transcript, mark):
    """The codes of the whole replies in a program's transcript; `mark` is what it writes before a reply's line."""
    return [int(code) for code in re.findall(rf"^{mark}(\d\d\d)(?: |\r?$)", transcript, re.M)]


def empty_mailboxes():
    for server in os.listdir(MAIL):
        for box in os.listdir(f"{MAIL}/{server}"):
            shutil.rmtree(f"{MAIL}/{server}/{box}", ignore_errors=True)


def collect(count):
    """Waits for the deliveries of a case, returns {message id: (size, sha256)} and the number of files."""
    files = []
    for _ in range(40):
        files = [f"{folder}/{name}" for folder, _, names in os.walk(MAIL) if folder.endswith("/new") for name in names]
        if len(files) >= count:
            break
        time.sleep(0.1)
    found = {}
    for path in files:
        with open(path, "rb") as file:
            text = file.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        text = strip_added(text)
        identity = re.search(rb"^Message-Id: *<([^>]*)>", text, re.M | re.I)
        key = identity.group(1).decode() if identity else ""
        found[key] = (len(text), hashlib.sha256(text).hexdigest())
    return found, len(files)


def strip_added(text):
    seen = set()
    while True:
        field, _, rest = text.partition(b"\r\n")
        name = field.split(b":")[0].decode("latin1").lower()
        if name not in ADDED or name in seen:
            return text
        seen.add(name)
        while rest[:1] in (b" ", b"\t"):
            _, _, rest = rest.partition(b"\r\n")
        text = rest


def settle(name, entries, deliveries):
    """Sizes and digests from the deliveries; an accepted mail that was not delivered as it was sent is an error."""
    for number, entry in enumerate(entries):
        sent = entry.pop("message", None)
        compare = entry.pop("compare", True)
        identity = entry.pop("message_id", None)
        if sent is not None:
            entry["size"], entry["sha256"] = len(sent), hashlib.sha256(sent).hexdigest()
            found = re.search(rb"^Message-Id: *<([^>]*)>", sent, re.M | re.I)
            identity = found.group(1).decode() if found else None
        if not entry["accepted"] or not compare or not identity:
            continue
        if identity not in deliveries:
            raise RuntimeError(f"{name}: mail {number} <{identity}> was accepted but not delivered; there are {sorted(deliveries)}")
        if sent is not None and deliveries[identity] != (entry["size"], entry["sha256"]):
            raise RuntimeError(f"{name}: mail {number} was delivered with {deliveries[identity][0]} octets, not {entry['size']}")
        entry["size"], entry["sha256"] = deliveries[identity]


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")
