//! Elements of lists that go and that come in, and which of them is the last.
//!
//! Where a mark says that another element follows (`250-SIZE`), what one edit makes of a list decides about marks that
//! another one has made: the last element may go, or stop to be the last. So the elements that were put in are remembered
//! with the record's changes, and after each edit the marks are those of what there is now.

use portcullis_lang::scheme::{ListMark, RAW_SLOT};
use portcullis_lang::{Formula, Host, Place, Scope};

use crate::decision::Splice;
use crate::edits::{Changes, OfElement};

/// An element that was put in.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    list: Place,
    /// Octets of the record before it.
    at: u32,
    octets: Vec<u8>,
    /// Where in it the mark is, or the blank in its place.
    mark: usize,
}

/// The last element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// One of the record, by its original number.
    Own(u32),
    /// One that was put in, by its number.
    Put(usize),
}

impl Changes {
    /// The elements of a list that are not gone, by their original numbers.
    fn left(&self, list: Place, host: &dyn Host) -> Vec<u32> {
        (0..host.count(list)).filter(|index| !self.gone.contains(&(list, *index))).collect()
    }

    /// Deletes elements, and makes the last that is left the last. One always stays: a reply has at least one line.
    pub(crate) fn delete(
        &mut self,
        list: Place,
        mark: Option<ListMark>,
        test: &Formula,
        host: &dyn Host,
    ) -> Option<Vec<Splice>> {
        let left = self.left(list, host);
        let holds = |index: &u32| {
            let changed = self.on(host);
            test.test(&OfElement { host: &changed, original: host, list, index: *index }).holds()
        };
        let going: Vec<u32> = left.iter().copied().filter(holds).collect();
        if going.is_empty() || going.len() == left.len() {
            return None;
        }
        let mut splices = Vec::new();
        for index in &going {
            let own = host.octets_of_element(list, *index, None)?;
            let removed = own.end.saturating_sub(own.start);
            splices.push(Splice { offset: own.start, removed, inserted: Box::default(), beside: false });
        }
        let was = self.last(list, host);
        self.gone.extend(going.into_iter().map(|index| (list, index)));
        if let Some(mark) = mark {
            self.settle(list, mark, was, host, &mut splices);
        }
        Some(splices)
    }

    /// Puts in an element: before the first, or after the last, for which a test holds. What it begins with up to its mark
    /// is what that one begins with.
    pub(crate) fn put_element(
        &mut self,
        (list, mark, newline): (Place, Option<ListMark>, &[u8]),
        (test, before): (Option<&Formula>, bool),
        text: &[u8],
        host: &dyn Host,
    ) -> Option<Vec<Splice>> {
        let index = self.chosen(list, test, before, host)?;
        let own = host.octets_of_element(list, index, None)?;
        let mut at = if before { own.start } else { own.end };
        if !before && self.left(list, host).last() == Some(&index) {
            // After the last is after what was put in after the last, too.
            let puts = self.puts.iter().filter(|put| put.list == list).map(|put| put.at);
            at = puts.max().map_or(at, |last| at.max(last));
        }
        let Some(mark) = mark else {
            return Some(vec![Splice::beside(at, [text, newline].concat())]);
        };
        let behind = host.octets_of_element(list, index, Some(mark.behind))?.end;
        let raw = host.read(Place { scope: Scope::Record, slot: RAW_SLOT });
        let head = raw.as_bytes()?.get(own.start as usize..behind as usize)?;
        let octets = [head, &[mark.octet][..], text, newline].concat();
        let was = self.last(list, host);
        self.puts.push(Put { list, at, octets, mark: head.len() });
        let mut splices = vec![self.put_at(list, at)];
        self.settle(list, mark, was, host, &mut splices);
        Some(splices)
    }

    /// The element at which another one is put in, by its original number.
    fn chosen(&self, list: Place, test: Option<&Formula>, before: bool, host: &dyn Host) -> Option<u32> {
        let changed = self.on(host);
        let mut left = self.left(list, host).into_iter();
        let mut holds = |index: &u32| {
            let element = OfElement { host: &changed, original: host, list, index: *index };
            test.is_none_or(|test| test.test(&element).holds())
        };
        if before { left.find(holds) } else { left.rfind(&mut holds) }
    }

    /// Which element is the last as things are.
    fn last(&self, list: Place, host: &dyn Host) -> Option<Last> {
        let own = self.left(list, host).last().copied()?;
        let end = host.octets_of_element(list, own, None)?.end;
        let puts = self.puts.iter().enumerate().filter(|(_, put)| put.list == list && put.at >= end);
        // Of several at one place the one that came in later stands behind.
        Some(puts.max_by_key(|(_, put)| put.at).map_or(Last::Own(own), |(number, _)| Last::Put(number)))
    }

    /// Gives the mark to what is the last no more, and takes it from what is.
    fn settle(&mut self, list: Place, mark: ListMark, was: Option<Last>, host: &dyn Host, splices: &mut Vec<Splice>) {
        let now = self.last(list, host);
        // What was put in has the mark at first.
        for (last, octet) in [(was.filter(|was| Some(*was) != now), mark.octet), (now, b' ')] {
            match last {
                Some(Last::Put(number)) => {
                    let Some(put) = self.puts.get_mut(number) else { continue };
                    let at = put.at;
                    if let Some(place) = put.octets.get_mut(put.mark) {
                        *place = octet;
                    }
                    splices.push(self.put_at(list, at));
                }
                Some(Last::Own(index)) if was != now && !self.gone.contains(&(list, index)) => {
                    let Some(behind) = host.octets_of_element(list, index, Some(mark.behind)) else { continue };
                    let raw = host.read(Place { scope: Scope::Record, slot: RAW_SLOT });
                    let there = raw.as_bytes().and_then(|raw| raw.get(behind.end as usize).copied());
                    let removed = u32::from(there == Some(b' ') || there == Some(mark.octet));
                    splices.push(Splice { offset: behind.end, removed, inserted: Box::new([octet]), beside: false });
                }
                _ => {}
            }
        }
    }

    /// All that was put in at one place.
    fn put_at(&self, list: Place, at: u32) -> Splice {
        let here = self.puts.iter().filter(|put| put.list == list && put.at == at);
        let octets: Vec<u8> = here.flat_map(|put| put.octets.iter().copied()).collect();
        Splice { offset: at, removed: 0, inserted: octets.into(), beside: false }
    }
}
