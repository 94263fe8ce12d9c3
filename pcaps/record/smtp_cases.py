"""The SMTP and LMTP cases. A case is a function that runs one client and returns the mails it was told to send and the replies it saw."""

import smtplib
import ssl
import time

from client import CLIENT, Session, finish, mail, message, stuff
from recorder import reply_codes, run

POSTFIX, POSTFIX6, POSTFIX_IMPATIENT, POSTFIX_REFUSES, POSTFIX_NORMALIZES, POSTFIX_NO_TLS, POSTFIX_STRICT = (
    "10.25.0.10", "fd25::10", "10.25.0.11", "10.25.0.12", "10.25.0.13", "10.25.0.14", "10.25.0.15")
EXIM, EXIM_REFUSES, OPENSMTPD, DOVECOT = "10.25.0.20", "10.25.0.21", "10.25.0.30", "10.25.0.40"
A, B = "alice@example.org", "bob@example.com"
CASES = {}


def case(server, client, shows, notes="", **more):
    """Registers a case under its function's name with dashes."""
    def register(function):
        name = function.__name__.replace("_", "-")
        CASES[name] = {"server": server, "client": client, "shows": shows, "notes": notes, "run": lambda: function(name), **more}
        return function
    return register


# ---- client programs

def swaks(name, server, *options, to=(B,), sender=A, body="Good morning.\r\n", encrypted=False):
    path = "/tmp/message"
    with open(path, "wb") as file:
        file.write(message(name, sender, to[0], body))
    text = run("swaks", "--server", server, "--local-interface", "10.25.0.2", "--helo", CLIENT, "--from", sender, "--to", ",".join(to),
               "--data", "@" + path, "--suppress-data", *options)
    codes = reply_codes(text, r"(?: ->|<-|<~|<\*\*) +")
    if encrypted:
        return []
    return [told(codes, mail(CLIENT, sender, to, message_id=f"{name}@{CLIENT}"))]


def curl(name, url, *options, to=(B,), sender=A, text=None):
    text = text or message(name, sender, to[0])
    with open("/tmp/message", "wb") as file:
        file.write(text)
    recipients = [word for address in to for word in ("--mail-rcpt", address)]
    log = run("curl", "-sv", "--url", f"{url}/{CLIENT}", "--mail-from", sender, *recipients, "--upload-file", "/tmp/message", *options)
    entry = told(reply_codes(log, "< "), mail(CLIENT, sender, to))
    entry["message"] = text
    return [entry]


def told(codes, entry):
    """The reply before that to QUIT is the one to the end of data; curl does not show the one to QUIT."""
    decisive = codes[:-1] if codes and codes[-1] == 221 else codes
    if len(decisive) < 5:
        raise RuntimeError(f"the session ended too early: {codes}")
    finish(entry, decisive[-1], "end of data")
    return entry


@case("Postfix", "swaks", "one mail, each command awaited")
def postfix_plain(name):
    return swaks(name, POSTFIX)


@case("Postfix", "swaks", "MAIL, RCPT, RCPT and DATA in a group (RFC 2920)")
def postfix_pipelined(name):
    return swaks(name, POSTFIX, "--pipeline", to=(B, "carol@example.com"))


@case("Postfix", "swaks", "AUTH PLAIN with the initial response in the command, 235")
def postfix_auth_plain(name):
    return swaks(name, POSTFIX, "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "wonderland")


@case("Postfix", "swaks", "AUTH LOGIN, user name and password as base64 lines, 235")
def postfix_auth_login(name):
    return swaks(name, POSTFIX, "--auth", "LOGIN", "--auth-user", "alice", "--auth-password", "wonderland")


@case("Postfix", "swaks", "STARTTLS, handshake, the mail itself encrypted",
      "What follows the 220 to STARTTLS is opaque: no mail may be reported from it.")
def postfix_starttls(name):
    return swaks(name, POSTFIX, "--tls", encrypted=True)


@case("Exim", "curl", "STARTTLS, handshake, the mail itself encrypted", "As postfix-starttls.")
def exim_starttls(name):
    curl(name, f"smtp://{EXIM}", "--ssl-reqd", "--insecure", to=("bob@example.net",))
    return []


@case("Postfix", "swaks", "STARTTLS answered with 454, the mail goes on in clear")
def starttls_refused(name):
    return swaks(name, POSTFIX_NO_TLS, "--tls-optional")


@case("Postfix", "curl", "one mail over IPv6")
def ipv6(name):
    return curl(name, f"smtp://[{POSTFIX6}]")


@case("Exim", "curl", "one mail")
def exim_plain(name):
    return curl(name, f"smtp://{EXIM}", to=("bob@example.net",))


@case("OpenSMTPD", "swaks", "one mail to a server without PIPELINING")
def opensmtpd_plain(name):
    return swaks(name, OPENSMTPD, to=("bob@example.test",))


@case("Postfix", "curl", "a body with lines that begin with dots, stuffed by the client")
def dot_stuffed(name):
    body = ".\r\n..\r\n.hidden\r\n...three\r\nnot.first\r\n.\r\n"
    return curl(name, f"smtp://{POSTFIX}", text=message(name, A, B, body))


@case("Postfix", "curl", "a message of 64 KiB in many segments")
def large_mail(name):
    body = "".join(f"{number:06} The quick brown fox jumps over the lazy dog.\r\n" for number in range(1260))
    return curl(name, f"smtp://{POSTFIX}", text=message(name, A, B, body))


@case("Postfix", "Exim", "Exim as a client: BDAT with LAST, pipelined after RCPT (RFC 3030)")
def exim_client_bdat(name):
    path = "/roots/exim/record/message"
    with open(path, "wb") as file:
        file.write(message(name, A, B, "A line of Exim's.\r\n" * 200).replace(b"\r\n", b"\n"))
    with open(path, "rb") as file:
        log = run("chroot", "/roots/exim", "exim4", "-v", "-odf", "-oi", "-f", A, B, stdin=file)
    entry = mail("exim-client.example.org", A, [B], message_id=f"{name}@{CLIENT}", body="BDAT")
    return [told(reply_codes(log, r" +(?:SMTP<< )?"), entry)]


@case("Postfix", "smtp-source", "100 recipients in one mail", mails_per_recipient=True, sizes_from_deliveries=True)
def many_recipients(name):
    run("smtp-source", "-M", CLIENT, "-f", A, "-t", B, "-r", "100", "-m", "1", "-l", "600", f"inet:{POSTFIX}:25")
    entry = mail(CLIENT, A, [f"{number}{B}" for number in range(100, 1, -1)] + [B])
    finish(entry, 250, "end of data")
    return [entry]


@case("Postfix", "smtp-source", "eight mails in four connections at a time",
      "smtp-source ends with an error unless every reply is 2yz or 354. Which mail is first is for the network to say; they are alike.",
      sizes_from_deliveries=True)
def concurrent(name):
    run("smtp-source", "-M", CLIENT, "-f", A, "-t", B, "-s", "4", "-m", "8", "-l", "1500", f"inet:{POSTFIX}:25")
    entries = [mail(CLIENT, A, [B]) for _ in range(8)]
    for entry in entries:
        finish(entry, 250, "end of data")
    return entries


@case("Dovecot", "swaks", "LMTP: two recipients, two replies after the dot (RFC 2033)", "Both replies are 250.")
def lmtp(name):
    return swaks(name, DOVECOT, "--port", "24", "--protocol", "LMTP", to=(B, "dave@example.com"))


# ---- Python's smtplib

class Library(smtplib.SMTP):
    """smtplib, with the replies kept."""

    def __init__(self, host):
        self.codes = []
        super().__init__(host, 25, local_hostname=CLIENT, timeout=8, source_address=("10.25.0.3", 0))

    def getreply(self):
        code, text = super().getreply()
        self.codes.append(code)
        return code, text


def library(name, text, to, options):
    with Library(POSTFIX) as smtp:
        smtp.sendmail(options.pop("sender", A), to, text, mail_options=options["mail_options"])
    return smtp.codes


@case("Postfix", "smtplib", "BODY=8BITMIME and a body of UTF-8")
def eight_bit(name):
    text = message(name, A, B, "Grüße aus Köln, 10 °C.\r\n", extra="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Content-Transfer-Encoding: 8bit\r\n")
    codes = library(name, text, [B], {"mail_options": ["BODY=8BITMIME"]})
    entry = told(codes, mail(CLIENT, A, [B]))
    entry["message"] = text
    return [entry]


@case("Postfix", "smtplib", "SMTPUTF8: addresses and a subject in UTF-8 (RFC 6531)")
def smtputf8(name):
    sender, to = "jürgen@example.org", "δοκιμή@example.com"
    text = message(name, sender, to, subject="Grüße")
    codes = library(name, text, [to], {"mail_options": ["SMTPUTF8", "BODY=8BITMIME"], "sender": sender})
    entry = told(codes, mail(CLIENT, sender, [to]))
    entry["message"] = text
    return [entry]


# ---- raw sockets: what no client program sends

def chunks(name, server, recipient):
    session = Session(server)
    session.hello()
    text = message(name, A, recipient, ".\r\nA dot that is not stuffed,\r\nand a chunk that ends within a word.\r\n")
    entry = session.begin(A, [recipient], body="BDAT")
    for start, end in ((0, 50), (50, len(text) - 9), (len(text) - 9, len(text))):
        session.send(b"BDAT %d\r\n" % (end - start) + text[start:end])
        if session.reply() != 250:
            raise RuntimeError("a chunk was refused")
    finish(entry, session.command("BDAT 0 LAST"), "BDAT LAST")
    entry["message"] = text
    session.quit()
    return session.mails


@case("Postfix", "raw", "three chunks and BDAT 0 LAST, with a line of one dot in the message")
def postfix_bdat(name):
    return chunks(name, POSTFIX, B)


@case("Exim", "raw", "three chunks and BDAT 0 LAST, with a line of one dot in the message")
def exim_bdat(name):
    return chunks(name, EXIM, "bob@example.net")


@case("Postfix", "raw", "AUTH LOGIN with a user name whose base64 is the line `data`",
      "The line `data` after 334 is an answer to a challenge, not a command.")
def auth_login_line_data(name):
    session = Session(POSTFIX)
    session.hello()
    session.command("AUTH LOGIN", 334)
    session.command("data", 334)
    session.command("d29uZGVybGFuZA==", 235)
    session.mail(A, [B], message(name, A, B))
    session.quit()
    return session.mails


@case("Postfix", "raw", "AUTH LOGIN cancelled by `*` (501), then AUTH PLAIN with a wrong password (535), then a mail")
def auth_cancelled(name):
    session = Session(POSTFIX)
    session.hello()
    session.command("AUTH LOGIN", 334)
    session.command("*", 501)
    session.command("AUTH PLAIN AGFsaWNlAHdyb25n", 535)
    session.mail(A, [B], message(name, A, B))
    session.quit()
    return session.mails


@case("Postfix", "raw", "a command in the segment of STARTTLS, then a real handshake (the injection of CVE-2011-0411)",
      "The server throws the injected RSET away: inside TLS there is no reply to it. No mail is sent.")
def starttls_injection(name):
    session = Session(POSTFIX)
    session.hello()
    session.send(b"STARTTLS\r\nRSET\r\n")
    if session.reply() != 220:
        raise RuntimeError("STARTTLS was refused")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session.socket = context.wrap_socket(session.socket)
    session.hello()
    session.quit()
    return []


@case("Postfix", "raw", "one recipient of three refused and the mail sent, then a mail all of whose recipients are refused")
def rejected_recipient(name):
    session = Session(POSTFIX)
    session.hello()
    session.mail(A, ["nobody@example.com", B, "eve@elsewhere.example"], message(name, A, B))
    session.mail(A, ["eve@elsewhere.example"], message(name, A, B))
    session.quit()
    return session.mails


@case("Postfix", "raw", "554 instead of a greeting, then QUIT")
def rejected_greeting(name):
    session = Session(POSTFIX_REFUSES)
    if session.codes != [554]:
        raise RuntimeError(f"greeted with {session.codes}")
    session.quit()
    return []


@case("Exim", "raw", "550 instead of a greeting, and the server closes")
def exim_rejected_greeting(name):
    session = Session(EXIM_REFUSES)
    if session.codes != [550]:
        raise RuntimeError(f"greeted with {session.codes}")
    session.reply()
    session.close()
    return []


@case("Postfix", "raw", "the message refused after the dot (550), then a mail that is taken")
def rejected_data(name):
    session = Session(POSTFIX)
    session.hello()
    session.mail(A, [B], message(name + ".1", A, B, subject="forbidden"))
    session.mail(A, [B], message(name + ".2", A, B))
    session.quit()
    return session.mails


@case("Exim", "raw", "DATA refused with 550, no message follows; then RSET and a mail that is taken")
def rejected_data_command(name):
    session = Session(EXIM)
    session.hello()
    session.mail("early@example.org", ["bob@example.net"], b"")
    session.command("RSET", 250)
    session.mail(A, ["bob@example.net"], message(name, A, "bob@example.net"))
    session.quit()
    return session.mails


@case("Postfix", "raw", "three mails and two RSET in one session, the null sender among them")
def multi_mail(name):
    session = Session(POSTFIX)
    session.hello()
    session.mail(A, [B], message(name + ".1", A, B))
    session.command("RSET", 250)
    session.mail("", ["carol@example.com", B], message(name + ".2", "mailer-daemon@example.org", B))
    entry = session.begin("dropped@example.org", [B])
    session.command("RSET", 250)
    entry.update(outcome="reset", final_reply=None)
    session.hello("second.example.org", "HELO")
    session.mail("erin@example.org", [B], message(name + ".3", "erin@example.org", B))
    session.quit()
    return session.mails


def smuggle(name, server, recipient, reading):
    """A mail whose body holds LF.LF and the commands and text of another one."""
    session = Session(server)
    session.hello()
    entry = session.begin(A, [recipient], compare=False)
    session.command("DATA", 354)
    inner = message(name + ".inner", "ceo@example.com", recipient, "This was smuggled.\r\n")
    first = message(name + ".outer", A, recipient, b"The mail that all see.")
    commands = f"MAIL FROM:<ceo@example.com>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()
    whole = first + b"\n.\n" + commands + inner
    session.send(whole + b".\r\n")
    entry["message"] = whole
    finish(entry, session.reply(), "end of data")
    if reading == "two":
        for code in (250, 250, 354, 250):
            got = session.reply()
            if got != code:
                raise RuntimeError(f"a smuggled command was answered with {got}, not {code}")
    if entry["final_reply"] != (550 if reading == "refused" else 250):
        raise RuntimeError(f"the end of data was answered with {entry['final_reply']}")
    session.quit()
    return session.mails


def smuggled_to(recipient):
    return [{"mail_from": "ceo@example.com", "rcpt_to": [recipient]}]


@case("Postfix", "raw", "smuggling: LF.LF ends the mail for this server, two are delivered",
      "`mails` is the reading of RFC 5321: one mail. The server delivers two, and answers the smuggled commands: four replies more than commands.",
      deliveries=2, smuggled=smuggled_to(B),
      anomalies=["bare LF", "end of data other than CRLF.CRLF"])
def smuggling_lf_dot_lf(name):
    return smuggle(name, POSTFIX, B, "two")


@case("Exim", "raw", "the same smuggling, which this server reads as one mail", deliveries=1, smuggled=smuggled_to("bob@example.net"),
      anomalies=["bare LF", "end of data other than CRLF.CRLF"])
def smuggling_exim(name):
    return smuggle(name, EXIM, "bob@example.net", "one")


@case("Postfix", "raw", "the same smuggling against smtpd_forbid_bare_newline = normalize: one mail", deliveries=1, smuggled=smuggled_to(B),
      anomalies=["bare LF", "end of data other than CRLF.CRLF"])
def smuggling_normalized(name):
    return smuggle(name, POSTFIX_NORMALIZES, B, "one")


@case("Postfix", "raw", "the same smuggling against smtpd_forbid_bare_newline = reject: 550", deliveries=0, smuggled=smuggled_to(B),
      anomalies=["bare LF", "end of data other than CRLF.CRLF"])
def smuggling_forbidden(name):
    return smuggle(name, POSTFIX_STRICT, B, "refused")


@case("Postfix", "raw", "MAIL, RCPT, DATA, the message and QUIT in one segment", "All is served.", anomalies=["early data"])
def early_data(name):
    session = Session(POSTFIX)
    session.hello()
    entry = mail(session.helo, A, [B])
    text = message(name, A, B)
    session.send(f"MAIL FROM:<{A}>\r\nRCPT TO:<{B}>\r\nDATA\r\n".encode() + stuff(text) + b".\r\nQUIT\r\n")
    codes = [session.reply() for _ in range(5)]
    if codes != [250, 250, 354, 250, 221]:
        raise RuntimeError(f"answered with {codes}")
    entry["message"] = text
    finish(entry, codes[3], "end of data")
    session.close()
    return [entry]


@case("Exim", "raw", "MAIL, RCPT, DATA, the message and QUIT in one segment: refused and closed", anomalies=["early data"])
def early_data_exim(name):
    session = Session(EXIM)
    session.hello()
    entry = mail(session.helo, A, ["bob@example.net"])
    text = message(name, A, "bob@example.net")
    session.send(f"MAIL FROM:<{A}>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n".encode() + stuff(text) + b".\r\nQUIT\r\n")
    codes = []
    while (code := session.reply()) is not None:
        codes.append(code)
    entry.update(final_reply=554, outcome="rejected at DATA")
    if 554 not in codes:
        raise RuntimeError(f"answered with {codes}")
    session.close()
    return [entry]


@case("Postfix", "raw", "the dot right after DATA: a message of no octets")
def empty_message(name):
    session = Session(POSTFIX)
    session.hello()
    session.mail(A, [B], b"")
    session.quit()
    return session.mails


@case("Postfix", "raw", "a NOOP of 5000 octets, a path of 600 octets, then a mail", anomalies=["over-long command"])
def long_command(name):
    session = Session(POSTFIX)
    session.hello()
    session.command("NOOP " + "x" * 4993)
    sender = "x" * 588 + "@example.org"
    entry = session.begin(sender, [])
    if entry["final_reply"] == 250:
        session.command("RSET", 250)
        entry.update(outcome="reset", final_reply=None)
    else:
        entry["outcome"] = "rejected at MAIL"
    session.mail(A, [B], message(name, A, B))
    session.quit()
    return session.mails


@case("Exim", "raw", "NOOP, HELP, VRFY, EXPN, an unknown command, a lower-case one, spaces at the end; then a mail")
def vrfy_expn_help_noop(name):
    session = Session(EXIM)
    session.hello()
    for line in ("NOOP", "HELP", "VRFY bob@example.net", "EXPN bob@example.net", "FOO bar", "noop", "RSET  "):
        session.command(line)
    session.mail(A, ["bob@example.net"], message(name, A, "bob@example.net"))
    session.quit()
    return session.mails


@case("Postfix", "raw", "an idle client: after two seconds 421, which answers no command, and the server closes")
def timeout_421(name):
    session = Session(POSTFIX_IMPATIENT)
    session.hello()
    entry = session.begin(A, [B])
    if session.reply() != 421:
        raise RuntimeError("no 421")
    entry.update(final_reply=None, outcome="the server closed with 421")
    session.close()
    return session.mails


@case("Postfix", "raw", "RST from the client in the midst of the message")
def client_aborts(name):
    session = Session(POSTFIX)
    session.hello()
    entry = session.begin(A, [B])
    session.command("DATA", 354)
    session.send(message(name, A, B, "The first line.\r\nThe second, of which only"))
    entry.update(final_reply=None, outcome="the client reset the connection")
    time.sleep(0.2)
    session.reset_connection()
    return session.mails


@case("Postfix", "raw", "MAIL, RCPT, DATA without any EHLO or HELO, which this server serves")
def mail_before_ehlo(name):
    session = Session(POSTFIX)
    session.mail(A, [B], message(name, A, B))
    session.quit()
    return session.mails


@case("Exim", "raw", "RCPT before MAIL and DATA before RCPT (503), then EHLO again and a mail", stray_rcpt_to=["bob@example.net"])
def out_of_order(name):
    session = Session(EXIM)
    session.hello()
    session.command("RCPT TO:<bob@example.net>", 503)
    session.command("DATA", 503)
    session.hello("again.example.org")
    session.mail(A, ["bob@example.net"], message(name, A, "bob@example.net"))
    session.quit()
    return session.mails


@case("Postfix", "raw", "a mail from a domain that the shipped policy bans")
def banned_sender(name):
    session = Session(POSTFIX, source="10.25.0.4")
    session.hello("relay.banned.example")
    session.mail("spammer@banned.example", [B], message(name, "spammer@banned.example", B, subject="You have won"))
    session.quit()
    return session.mails


@case("Dovecot", "raw", "LMTP: three recipients, one of whom is over quota: 250, 552, 250 after the dot", "`final_reply` is the last one.")
def lmtp_mixed_replies(name):
    session = Session(DOVECOT, port=24)
    session.hello(verb="LHLO")
    entry = session.begin(A, [B, "carol@example.com", "dave@example.com"])
    session.command("DATA", 354)
    text = message(name, A, B)
    session.send(stuff(text) + b".\r\n")
    replies = [session.reply() for _ in range(3)]
    entry["message"] = text
    entry["lmtp_replies"] = replies
    finish(entry, replies[-1], "end of data")
    session.quit()
    return session.mails
