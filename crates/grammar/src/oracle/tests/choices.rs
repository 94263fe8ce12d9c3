//! Octets as a source of choices.

/// Gives choices, one octet each; when there are no more, always the first, which is the simplest.
pub(super) struct Choices<'a> {
    octets: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Choices<'a> {
        Choices { octets }
    }

    /// A number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        match self.octets.split_first() {
            Some((first, rest)) => {
                self.octets = rest;
                usize::from(*first) % count.max(1)
            }
            None => 0,
        }
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub(super) fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}
