"""A mail client over a raw socket, for what no client program sends. It keeps what it was told to send and what it was answered."""

import socket
import struct

CLIENT = "client.example.org"


class Session:
    """One connection; every `send` is one segment, every `reply` one whole reply."""

    def __init__(self, server, source="10.25.0.2", port=25, greeting=True):
        self.mails = []
        self.codes = []
        self.helo = None
        self.buffer = b""
        self.socket = socket.create_connection((server, port), timeout=8, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if greeting:
            self.reply()

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        """The code of the next reply, None when the server has closed."""
        while True:
            line, code = self.line(), None
            if line is None:
                return None
            if line[3:4] != b"-":
                code = int(line[:3])
                self.codes.append(code)
                return code

    def line(self):
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def command(self, line, code=None):
        """Sends a line and returns the code of its reply; with `code` given, any other reply is an error of the recording."""
        self.send(line.encode() + b"\r\n")
        got = self.reply()
        if code is not None and got != code:
            raise RuntimeError(f"{line!r} was answered with {got}, not {code}")
        return got

    def hello(self, name=CLIENT, verb="EHLO"):
        self.helo = name
        return self.command(f"{verb} {name}", 250)

    def begin(self, sender, recipients, parameters="", **more):
        """MAIL and one RCPT a recipient, each awaited; the mail so far is the last of `mails`."""
        entry = mail(self.helo, sender, [], **more)
        self.mails.append(entry)
        entry["final_reply"] = self.command(f"MAIL FROM:<{sender}>{parameters}")
        for recipient in recipients:
            entry["rcpt_to"].append(recipient)
            code = self.command(f"RCPT TO:<{recipient}>")
            if code // 100 != 2:
                entry["rcpt_refused"][recipient] = code
        return entry

    def mail(self, sender, recipients, message, parameters=""):
        """A whole mail with DATA."""
        entry = self.begin(sender, recipients, parameters)
        if finish(entry, self.command("DATA"), rejected_at="DATA") == 354:
            self.data(entry, message)
        return entry

    def data(self, entry, message):
        """The message in the form of the wire, after DATA was answered with 354."""
        self.send(stuff(message) + b".\r\n")
        entry["size"] = len(message)
        entry["message"] = message
        finish(entry, self.reply(), rejected_at="end of data")

    def quit(self):
        self.command("QUIT", 221)
        self.close()

    def close(self):
        self.socket.close()

    def reset_connection(self):
        """Closes with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def mail(helo, sender, recipients, **more):
    """An entry of expect.json: one MAIL command and what came of it."""
    return {"helo": helo, "mail_from": sender, "rcpt_to": list(recipients), "rcpt_refused": {}, "size": None,
            "accepted": False, "final_reply": None, "outcome": "unfinished", **more}


def finish(entry, code, rejected_at):
    """Notes the reply that decided a mail; 354 decides nothing yet."""
    if code == 354:
        return code
    entry["final_reply"] = code
    entry["accepted"] = code is not None and code // 100 == 2
    entry["outcome"] = "accepted" if entry["accepted"] else f"rejected at {rejected_at}"
    return code


def stuff(message):
    """Doubles the dot at the start of a line (RFC 5321, section 4.5.2)."""
    lines = message.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)


def message(name, sender, recipient, body="Good morning.\r\n", subject="A capture", extra=""):
    """A message with all the header fields that a server might add otherwise."""
    text = (f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\nDate: Thu, 01 Jan 2026 09:00:00 +0000\r\n"
            f"Message-ID: <{name}@{CLIENT}>\r\n{extra}\r\n")
    return text.encode() + (body if isinstance(body, bytes) else body.encode())
