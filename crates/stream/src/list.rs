//! Doubly linked lists of slots whose links lie in one vector: O(1) everywhere, no allocation.

/// Stands for "no slot".
const NONE: u32 = u32::MAX;

/// Stands for "in no list".
const UNLISTED: u16 = u16::MAX;

/// The links of all slots; a slot is in one list at most.
#[derive(Debug)]
pub(crate) struct Links {
    nodes: Vec<Node>,
    /// The most slots there will be.
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    next: u32,
    list: u16,
}

const UNLINKED: Node = Node { previous: NONE, next: NONE, list: UNLISTED };

/// Makes room for one more, in steps of a quarter and never for more than `most`: doubling would take
/// twice the memory that the bounds name.
pub(crate) fn make_room<T>(vector: &mut Vec<T>, most: usize) {
    if vector.len() == vector.capacity() {
        let step = (vector.len() / 4).max(1024).min(most.saturating_sub(vector.len()));
        vector.reserve_exact(step.max(1));
    }
}

impl Links {
    /// What the links of one slot take, in bytes.
    pub(crate) const BYTES: usize = size_of::<Node>();

    /// Links for so many slots at most.
    pub(crate) fn new(most: usize) -> Links {
        Links { nodes: Vec::new(), most }
    }

    /// The name under which the slot was put into a list.
    pub(crate) fn list_of(&self, slot: u32) -> Option<u16> {
        let list = self.nodes.get(slot as usize)?.list;
        (list != UNLISTED).then_some(list)
    }

    /// The slot after this one in its list.
    pub(crate) fn next(&self, slot: u32) -> Option<u32> {
        let next = self.nodes.get(slot as usize)?.next;
        (next != NONE).then_some(next)
    }

    fn set(&mut self, slot: u32, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(slot as usize) {
            change(node);
        }
    }
}

/// A list of slots; all of its methods want the links that it was built over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> List {
        List { head: NONE, tail: NONE }
    }
}

impl List {
    /// The first slot.
    pub(crate) fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// Appends a slot that is in no list; `name` is what [`Links::list_of`] will say.
    pub(crate) fn push_back(&mut self, links: &mut Links, slot: u32, name: u16) {
        while links.nodes.len() <= slot as usize {
            make_room(&mut links.nodes, links.most);
            links.nodes.push(UNLINKED);
        }
        let tail = self.tail;
        links.set(slot, |node| {
            *node = Node { previous: tail, next: NONE, list: name };
        });
        if tail == NONE {
            self.head = slot;
        } else {
            links.set(tail, |node| node.next = slot);
        }
        self.tail = slot;
    }

    /// Takes a slot out of this list, in which it must be.
    pub(crate) fn remove(&mut self, links: &mut Links, slot: u32) {
        let Some(&node) = links.nodes.get(slot as usize) else {
            return;
        };
        if node.previous == NONE {
            self.head = node.next;
        } else {
            links.set(node.previous, |previous| previous.next = node.next);
        }
        if node.next == NONE {
            self.tail = node.previous;
        } else {
            links.set(node.next, |next| next.previous = node.previous);
        }
        links.set(slot, |node| *node = UNLINKED);
    }

    /// Takes the first slot out.
    pub(crate) fn pop_front(&mut self, links: &mut Links) -> Option<u32> {
        let slot = self.front()?;
        self.remove(links, slot);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(list: &List, links: &Links) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut next = list.front();
        while let Some(slot) = next {
            slots.push(slot);
            next = links.next(slot);
        }
        slots
    }

    #[test]
    fn slots_leave_from_the_ends_and_the_middle() {
        let mut links = Links::new(10);
        let mut list = List::default();
        for slot in [5, 2, 9, 0] {
            list.push_back(&mut links, slot, 1);
        }
        assert_eq!(slots(&list, &links), [5, 2, 9, 0]);
        list.remove(&mut links, 9);
        assert_eq!(slots(&list, &links), [5, 2, 0]);
        list.remove(&mut links, 0);
        list.remove(&mut links, 5);
        assert_eq!(slots(&list, &links), [2]);
        assert_eq!(links.list_of(2), Some(1));
        assert_eq!(links.list_of(9), None);
        list.push_back(&mut links, 9, 3);
        assert_eq!(list.pop_front(&mut links), Some(2));
        assert_eq!(list.pop_front(&mut links), Some(9));
        assert_eq!(list.pop_front(&mut links), None);
        assert_eq!(list.front(), None);
    }
    #[test]
    fn room_is_made_in_small_steps_and_never_beyond_the_bound() {
        let mut vector = Vec::new();
        for number in 0..10_000 {
            make_room(&mut vector, 10_000);
            vector.push(number);
            assert!(vector.capacity() <= (vector.len() * 5 / 4).max(1024) + 1024, "{}", vector.len());
            assert!(vector.capacity() <= 10_000);
        }
    }
}
