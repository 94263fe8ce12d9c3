"""The DNS cases: queries of dig to BIND. A case returns, for each answer, what dig read in it."""

import re

from recorder import run

CASES = {}
HEADER = re.compile(r"opcode: (\w+), status: (\w+), id: (\d+)\n;; flags: ([\w ]*); QUERY: (\d+), ANSWER: (\d+), AUTHORITY: (\d+), ADDITIONAL: (\d+)")


def case(name, shows, questions, notes="", **more):
    CASES[name] = {"server": "BIND", "client": "dig", "shows": shows, "notes": notes, "dns": True,
                   "run": lambda: [answer for question in questions for answer in ask(question)], **more}


def ask(question):
    """One dig; the answers that it shows (a truncated one and that over TCP are one question, two answers)."""
    words = question.split()
    text = run("dig", "-b", "fd25::2" if "@fd25::53" in words else "10.25.0.2", "+tries=1", "+time=3", "+noall", "+comments", "+question", *words)
    name = [word for word in words if not word.startswith(("@", "+", "-"))]
    answers = []
    for found in HEADER.finditer(text):
        flags = found.group(4).split()
        asked = re.search(r"QUESTION SECTION:\n;(\S+)\s+\S+\s+(\S+)", text[found.end():])
        answers.append({"name": asked.group(1) if asked else name[0], "type": asked.group(2) if asked else name[1],
                        "transport": "tcp" if "+tcp" in words else "udp", "id": int(found.group(3)), "rcode": found.group(2),
                        "authoritative": "aa" in flags, "truncated": "tc" in flags, "answers": int(found.group(6)),
                        "authorities": int(found.group(7)), "additionals": int(found.group(8)),
                        "edns": "OPT PSEUDOSECTION" in text[found.end():]})
    if not answers:
        raise RuntimeError(f"dig {question} has no answer:\n{text}")
    return answers


TYPES = ["example.com MX", "mx.example.com A", "mx.example.com AAAA", "example.com TXT", "example.com SOA", "example.com NS",
         "_submission._tcp.example.com SRV", "www.example.com CNAME", "www.example.com A", "example.com CAA", "_sip._udp.example.com NAPTR",
         "selector._domainkey.example.com TXT", "10.0.25.10.in-addr.arpa PTR", "any.wild.example.com A", "missing.example.com A",
         "mx.example.com SRV", "elsewhere.example A"]

case("dns-udp", "all common types, a CNAME chain, a wild card, NXDOMAIN, no data, REFUSED, with EDNS",
     ["@10.25.0.53 " + question for question in TYPES] + ["@10.25.0.53 +noedns example.com MX", "@10.25.0.53 +dnssec +nsid example.com SOA"])
case("dns-tcp", "the same over TCP, one connection a question", ["@10.25.0.53 +tcp " + question for question in TYPES])
case("dns-ipv6", "queries over IPv6", ["@fd25::53 example.com MX", "@fd25::53 +tcp example.com TXT"])
case("dns-truncated", "an answer too long for 512 octets: TC over UDP, then the whole over TCP",
     ["@10.25.0.53 +noedns +ignore many.example.com A", "@10.25.0.53 +noedns +tcp many.example.com A"])
