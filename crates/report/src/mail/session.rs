//! The assembler of one flow.

use std::collections::VecDeque;
use std::mem;

use portcullis_lang::Direction;

use super::{Command, Mail, MailReply, Place, Said, Verb};
use crate::limits::{MAX_PENDING_COMMANDS, MAX_REPLY_TEXT, MAX_TEXT, MAX_WAITING_MAILS, MAX_WAITING_OCTETS};
use crate::text::cut;
use crate::time::Moment;

/// What is known of one flow's mails. It is a plain value that is kept with the flow.
#[derive(Debug, Default)]
pub struct MailSession {
    helo: Option<Box<[u8]>>,
    lmtp: bool,
    tls: bool,
    auth_mechanism: Option<Box<[u8]>>,
    auth_accepted: Option<bool>,
    /// The number of the next transaction.
    next: u64,
    /// The transaction that commands belong to.
    current: Option<Box<Mail>>,
    /// Those that are complete or discarded, but whose last reply has not come, in order.
    waiting: VecDeque<Mail>,
    /// The commands whose replies have not come, in order.
    pending: VecDeque<Pending>,
    /// The transaction that the text in transmission belongs to.
    in_text: Option<u64>,
    /// The last packet that something was said in.
    last: Moment,
    /// A chunk was refused: those that follow belong to no transaction.
    chunks_refused: bool,
}

/// A command, or the end of a text, that waits for its reply.
#[derive(Debug)]
enum Pending {
    Auth,
    /// The transaction, and whether the chunk is its last.
    Chunk(Option<u64>, bool),
    Data(u64),
    Hello {
        name: Box<[u8]>,
        lmtp: bool,
        /// Whether it was taken to be accepted before the reply came.
        settled: bool,
        /// The transaction that it discards.
        discards: Option<u64>,
    },
    Mail(u64, Box<[u8]>),
    Other,
    /// The transaction, and which of its recipients, if that is kept.
    Recipient(u64, Option<usize>),
    /// The transaction that it discards.
    Reset(Option<u64>),
    StartTls,
    Text(u64),
}

impl Pending {
    fn verb(&self) -> Verb {
        match self {
            Pending::Auth => Verb::Auth,
            Pending::Chunk(..) => Verb::Bdat,
            Pending::Data(_) | Pending::Text(_) => Verb::Data,
            Pending::Hello { .. } => Verb::Hello,
            Pending::Mail(..) => Verb::Mail,
            Pending::Other => Verb::Other,
            Pending::Recipient(..) => Verb::Rcpt,
            Pending::Reset(_) => Verb::Rset,
            Pending::StartTls => Verb::StartTls,
        }
    }

    /// The transaction that ends with the reply.
    fn ends(&self) -> Option<u64> {
        match self {
            Pending::Chunk(number, true) => *number,
            Pending::Hello { discards, .. } => *discards,
            Pending::Reset(number) => *number,
            Pending::Text(number) => Some(*number),
            _ => None,
        }
    }
}

/// One call's surroundings.
struct Call<'c> {
    moment: Moment,
    done: &'c mut dyn FnMut(&Mail),
}

impl MailSession {
    /// A session of which nothing was seen.
    pub fn new() -> MailSession {
        MailSession::default()
    }

    /// Takes what happened next, and gives `done` each transaction that ends with it.
    pub fn take(&mut self, said: Said<'_>, moment: Moment, done: &mut dyn FnMut(&Mail)) {
        let mut call = self.call(moment, done);
        match said {
            Said::Command(command) => {
                self.command(&command, &mut call);
                self.keep_bounds(&mut call);
            }
            Said::Credentials => self.pending.push_back(Pending::Auth),
            Said::Reply { code, text, place, asked } => {
                let text = cut(text, MAX_REPLY_TEXT);
                self.reply(code, text, place, asked, &mut call);
            }
            Said::Octets(octets) => {
                if let Some(mail) = self.in_text.and_then(|number| self.find(number)) {
                    mail.size = mail.size.saturating_add(octets);
                }
            }
            Said::End { complete } => {
                self.end_of_text(complete, &mut call);
                self.keep_bounds(&mut call);
            }
            Said::Anomaly(anomaly) => {
                if let Some(mail) = &mut self.current {
                    mail.add_anomaly(anomaly);
                }
            }
            Said::Gap(direction) => {
                self.current.iter_mut().for_each(|mail| mail.progress.gap = true);
                self.waiting.iter_mut().for_each(|mail| mail.progress.gap = true);
                // The replies that are missing will never come.
                if direction == Direction::Down {
                    self.give_up_waiting(&mut call);
                }
            }
            Said::Over => self.close(moment, done),
        }
    }

    /// The flow is over: gives `done` all transactions that have not ended.
    pub fn close(&mut self, moment: Moment, done: &mut dyn FnMut(&Mail)) {
        let mut call = self.call(moment, done);
        self.give_up_waiting(&mut call);
        if let Some(mail) = self.current.take()
            && (mail.has_envelope() || mail.number == 0)
        {
            report(*mail, &mut call);
        }
    }

    /// The transaction that what happens now belongs to: the one that commands belong to, or else the last.
    pub fn current(&self) -> Option<&Mail> {
        self.current.as_deref().or_else(|| self.waiting.back())
    }

    /// How many transactions there have been.
    pub fn transactions(&self) -> u64 {
        self.next
    }

    /// Octets of memory that it takes: what it keeps of mails and commands that wait for their replies.
    pub fn memory(&self) -> usize {
        let texts = |pending: &Pending| match pending {
            Pending::Hello { name, .. } => name.len(),
            Pending::Mail(_, address) => address.len(),
            _ => 0,
        };
        let mails = self.current.iter().map(|mail| size_of::<Mail>() + mail.memory());
        size_of::<MailSession>()
            + mails.sum::<usize>()
            + self.waiting.iter().map(Mail::memory).sum::<usize>()
            + self.waiting.capacity() * size_of::<Mail>()
            + self.pending.iter().map(texts).sum::<usize>()
            + self.pending.capacity() * size_of::<Pending>()
    }

    /// What no packet brought about counts as of the last that did.
    fn call<'c>(&mut self, moment: Moment, done: &'c mut dyn FnMut(&Mail)) -> Call<'c> {
        if moment.packet != 0 {
            self.last = moment;
        }
        Call { moment: self.last, done }
    }

    fn command(&mut self, command: &Command<'_>, call: &mut Call<'_>) {
        let argument = cut(command.argument, MAX_TEXT);
        if self.next == 0 {
            self.open(call);
        }
        let pending = match command.verb {
            Verb::Hello => self.hello(argument, command.lmtp),
            Verb::Mail => {
                self.settle_hello();
                let mail = self.open_envelope(call);
                if mail.sender.is_none() {
                    mail.sender = Some(argument.into());
                    mail.declared_size = command.declared_size;
                }
                Pending::Mail(mail.number, argument.into())
            }
            Verb::Rcpt => {
                let mail = self.open_envelope(call);
                let index = mail.add_recipient(argument);
                Pending::Recipient(mail.number, index)
            }
            Verb::Data => {
                let number = self.open_envelope(call).number;
                self.in_text = Some(number);
                Pending::Data(number)
            }
            Verb::Bdat => self.chunk(command, call),
            Verb::Rset => Pending::Reset(self.discard()),
            Verb::Auth => {
                self.auth_mechanism = Some(argument.into());
                self.auth_accepted = None;
                self.note_session();
                Pending::Auth
            }
            Verb::StartTls => Pending::StartTls,
            Verb::Other => Pending::Other,
        };
        self.pending.push_back(pending);
    }

    fn hello(&mut self, name: &[u8], lmtp: bool) -> Pending {
        if self.helo.is_none() {
            self.helo = Some(name.into());
            self.lmtp = lmtp;
            self.note_session();
        }
        Pending::Hello { name: name.into(), lmtp, settled: false, discards: None }
    }

    /// A MAIL follows a greeting whose reply was not seen: it is taken for accepted.
    fn settle_hello(&mut self) {
        let unsettled = |pending: &mut Pending| match pending {
            Pending::Hello { name, lmtp, settled, .. } if !*settled => {
                *settled = true;
                Some((name.clone(), *lmtp))
            }
            _ => None,
        };
        let Some((name, lmtp)) = self.pending.iter_mut().filter_map(unsettled).last() else { return };
        let discarded = self.discard();
        if let Some(Pending::Hello { discards, .. }) =
            self.pending.iter_mut().rev().find(|pending| matches!(pending, Pending::Hello { .. }))
        {
            *discards = discarded;
        }
        self.be_called(name, lmtp);
    }

    fn chunk(&mut self, command: &Command<'_>, call: &mut Call<'_>) -> Pending {
        if self.current.is_none() && self.chunks_refused {
            self.in_text = None;
            return Pending::Chunk(None, command.last);
        }
        let mail = self.open_envelope(call);
        mail.chunking = true;
        let number = mail.number;
        self.in_text = command.sized.then_some(number);
        Pending::Chunk(Some(number), command.last)
    }

    fn reply(&mut self, code: u16, text: &[u8], place: Place, asked: Option<Verb>, call: &mut Call<'_>) {
        match place {
            Place::Greeting | Place::Unasked => return,
            Place::InText if !matches!(self.pending.front(), Some(Pending::Chunk(..))) => {
                if let Some(mail) = self.in_text.and_then(|number| self.find(number)) {
                    mail.decide(code, text);
                    mail.progress.early = true;
                }
                return;
            }
            Place::InText => {}
            Place::Answer => {
                if !self.align(asked, call) {
                    return;
                }
            }
        }
        let Some(pending) = self.pending.pop_front() else { return };
        match pending {
            Pending::Auth if (300..400).contains(&code) => {}
            Pending::Auth => {
                self.auth_accepted = Some(accepts(code));
                self.note_session();
            }
            Pending::Chunk(Some(number), last) => self.reply_to_chunk(number, last, code, text, place, call),
            Pending::Chunk(None, _) | Pending::Other => {}
            Pending::Data(number) => {
                if let Some(mail) = self.find(number) {
                    mail.progress.heard = true;
                    mail.progress.refused = code >= 400;
                    if code >= 400 {
                        mail.reply = Some(MailReply { code, text: text.into() });
                    }
                }
            }
            Pending::Hello { name, lmtp, settled, discards } => {
                if accepts(code) && !settled {
                    if let Some(number) = self.discard() {
                        self.finish(number, call);
                    }
                    self.be_called(name, lmtp);
                }
                if let Some(number) = discards {
                    self.finish(number, call);
                }
            }
            Pending::Mail(number, address) => {
                if let Some(mail) = self.find(number) {
                    mail.reply_to_sender(code, text, address);
                }
            }
            Pending::Recipient(number, index) => {
                if let Some(mail) = self.find(number) {
                    mail.progress.heard = true;
                    mail.progress.accepted = mail.progress.accepted.saturating_add(accepts(code).into());
                    if let Some(recipient) = index.and_then(|index| mail.recipients.get_mut(index)) {
                        recipient.reply = Some(code);
                    }
                }
            }
            Pending::Reset(number) => {
                if let Some(number) = number {
                    self.finish(number, call);
                }
            }
            Pending::StartTls => {
                if code == 220 {
                    self.tls = true;
                    self.note_session();
                }
            }
            Pending::Text(number) => {
                let lmtp = self.lmtp;
                let Some(mail) = self.find(number) else { return };
                mail.decide(code, text);
                mail.progress.replies = mail.progress.replies.saturating_add(1);
                // RFC 2033 4.2: one reply for each recipient that was accepted.
                if lmtp && mail.progress.replies < mail.progress.accepted {
                    self.pending.push_front(Pending::Text(number));
                } else {
                    self.finish(number, call);
                }
            }
        }
    }

    fn reply_to_chunk(&mut self, number: u64, last: bool, code: u16, text: &[u8], place: Place, call: &mut Call<'_>) {
        let Some(mail) = self.find(number) else { return };
        mail.progress.heard = true;
        if accepts(code) && !last {
            return;
        }
        mail.decide(code, text);
        if place == Place::InText {
            mail.progress.early = true;
            return;
        }
        self.chunks_refused = !accepts(code);
        self.finish(number, call);
    }

    /// Whether the first pending command is the one that is answered; those before it are given up.
    fn align(&mut self, asked: Option<Verb>, call: &mut Call<'_>) -> bool {
        let Some(asked) = asked else { return true };
        let Some(ahead) = self.pending.iter().position(|pending| pending.verb() == asked) else { return false };
        for _ in 0..ahead {
            if let Some(number) = self.pending.pop_front().and_then(|pending| pending.ends()) {
                self.finish(number, call);
            }
        }
        true
    }

    fn end_of_text(&mut self, complete: bool, call: &mut Call<'_>) {
        let Some(number) = self.in_text.take() else { return };
        let Some(mail) = self.find(number) else { return };
        mail.complete = complete;
        let (early, chunking) = (mail.progress.early, mail.chunking);
        if early {
            self.chunks_refused = chunking;
            self.finish(number, call);
        } else if complete {
            if !chunking {
                self.pending.push_back(Pending::Text(number));
            }
            if self.current.as_ref().is_some_and(|mail| mail.number == number) {
                self.waiting.extend(self.current.take().map(|mail| *mail));
            }
        }
    }

    /// Begins a transaction.
    fn open(&mut self, call: &Call<'_>) -> &mut Mail {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let mail = Mail { number, begun: call.moment, ..Mail::default() };
        self.current = Some(Box::new(mail));
        self.note_session();
        self.current.get_or_insert_default()
    }

    /// The transaction of a command of the envelope: the one there is, or a new one.
    fn open_envelope(&mut self, call: &Call<'_>) -> &mut Mail {
        self.chunks_refused = false;
        if self.current.is_none() {
            self.open(call);
        }
        let mail = self.current.get_or_insert_default();
        mail.progress.envelope = true;
        mail
    }

    /// Tells the transaction what is known of the session.
    fn note_session(&mut self) {
        if let Some(mail) = &mut self.current {
            mail.helo.clone_from(&self.helo);
            mail.tls = self.tls;
            mail.auth_mechanism.clone_from(&self.auth_mechanism);
            mail.auth_accepted = self.auth_accepted;
        }
    }

    fn be_called(&mut self, name: Box<[u8]>, lmtp: bool) {
        self.helo = Some(name);
        self.lmtp = lmtp;
        self.note_session();
    }

    /// The envelope is no longer the one that commands belong to; gives its number if there is one.
    fn discard(&mut self) -> Option<u64> {
        let mail = self.current.take_if(|mail| mail.has_envelope())?;
        let number = mail.number;
        self.waiting.push_back(*mail);
        Some(number)
    }

    fn find(&mut self, number: u64) -> Option<&mut Mail> {
        match &mut self.current {
            Some(mail) if mail.number == number => Some(mail),
            _ => self.waiting.iter_mut().find(|mail| mail.number == number),
        }
    }

    fn finish(&mut self, number: u64, call: &mut Call<'_>) {
        if let Some(mail) = self.current.take_if(|mail| mail.number == number) {
            report(*mail, call);
        } else if let Some(index) = self.waiting.iter().position(|mail| mail.number == number) {
            self.waiting.remove(index).into_iter().for_each(|mail| report(mail, call));
        }
    }

    fn give_up_waiting(&mut self, call: &mut Call<'_>) {
        self.pending = VecDeque::new();
        mem::take(&mut self.waiting).into_iter().for_each(|mail| report(mail, call));
    }

    fn keep_bounds(&mut self, call: &mut Call<'_>) {
        while self.pending.len() > MAX_PENDING_COMMANDS {
            if let Some(number) = self.pending.pop_front().and_then(|pending| pending.ends()) {
                self.finish(number, call);
            }
        }
        let mut weight: usize = self.waiting.iter().map(Mail::weight).sum();
        while self.waiting.len() > MAX_WAITING_MAILS || weight > MAX_WAITING_OCTETS {
            let Some(mail) = self.waiting.pop_front() else { return };
            weight = weight.saturating_sub(mail.weight());
            report(mail, call);
        }
    }
}

impl Mail {
    fn reply_to_sender(&mut self, code: u16, text: &[u8], address: Box<[u8]>) {
        self.progress.heard = true;
        if accepts(code) {
            // The server holds on to the first sender that it took, whatever is said after it.
            if !self.progress.sender_accepted {
                self.progress.sender_accepted = true;
                self.sender = Some(address);
                self.sender_reply = Some(code);
                self.reply = None;
            }
        } else if !self.progress.sender_accepted {
            self.sender_reply = Some(code);
            self.reply = Some(MailReply { code, text: text.into() });
        }
    }

    /// A reply to the text. Of several (LMTP) an accepting one counts.
    fn decide(&mut self, code: u16, text: &[u8]) {
        let taken = self.progress.decided && self.reply.as_ref().is_some_and(|reply| accepts(reply.code));
        self.progress.heard = true;
        self.progress.decided = true;
        if !taken {
            self.reply = Some(MailReply { code, text: text.into() });
        }
    }
}

fn report(mut mail: Mail, call: &mut Call<'_>) {
    mail.ended = call.moment;
    (call.done)(&mail);
}

fn accepts(code: u16) -> bool {
    (200..300).contains(&code)
}
