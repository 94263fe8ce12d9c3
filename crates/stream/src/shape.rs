//! The shape of the tree in which Linux keeps waiting segments.
//!
//! Linux looks for the place of a new segment from the root of a red-black tree downwards and compares it with what it meets on
//! its way, and only with that. Where segments overlap in part, what it meets decides which bytes are read (T2), and so the
//! shape counts: which segment is at the root, and which hides behind another. This is the tree of `lib/rbtree.c`, balanced step by
//! step as there, with the offsets at which runs begin as keys.

/// No node.
const NONE: u32 = u32::MAX;

const LEFT: usize = 0;
const RIGHT: usize = 1;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    parent: u32,
    children: [u32; 2],
    red: bool,
}

/// A red-black tree of keys.
#[derive(Debug)]
pub(crate) struct Shape {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { nodes: Vec::new(), free: Vec::new(), root: NONE }
    }
}

/// A way from the root downwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way(u32);

impl Shape {
    /// Begins at the root.
    pub(crate) fn way(&self) -> Way {
        Way(self.root)
    }

    /// The key that the way has come to, if there is one.
    pub(crate) fn at(&self, way: Way) -> Option<u64> {
        self.node(way.0).map(|node| node.key)
    }

    /// Goes on to smaller keys, or else to greater ones.
    pub(crate) fn down(&self, way: Way, smaller: bool) -> Way {
        Way(self.child(way.0, if smaller { LEFT } else { RIGHT }))
    }

    /// Adds a key that is not there.
    pub(crate) fn insert(&mut self, key: u64) {
        let mut parent = NONE;
        let mut side = LEFT;
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            parent = at;
            side = if key < node.key { LEFT } else { RIGHT };
            at = node.children[side];
        }
        let node = Node { key, parent, children: [NONE; 2], red: true };
        let new = match self.free.pop() {
            Some(free) => {
                if let Some(place) = self.nodes.get_mut(free as usize) {
                    *place = node;
                }
                free
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        match parent {
            NONE => self.root = new,
            _ => self.set_child(parent, side, new),
        }
        self.balance_insertion(new);
    }

    /// Takes a key away.
    pub(crate) fn remove(&mut self, key: u64) {
        let mut at = self.root;
        while let Some(node) = self.node(at)
            && node.key != key
        {
            at = node.children[usize::from(key > node.key)];
        }
        let Some(node) = self.node(at) else { return };
        let rebalance = match node.children {
            [NONE, only] | [only, NONE] => {
                self.replace(node.parent, at, only);
                if only != NONE {
                    // An only child is red, and takes the colour of its parent.
                    self.set_red(only, node.red);
                    NONE
                } else if node.red {
                    NONE
                } else {
                    node.parent
                }
            }
            [left, right] => self.remove_inner(at, node, left, right),
        };
        self.free.push(at);
        if rebalance != NONE {
            self.balance_removal(rebalance);
        }
        if self.root == NONE {
            self.nodes.clear();
            self.free.clear();
        }
    }

    /// Puts the next greater node in the place of one with two children; gives where a black one is missing below.
    fn remove_inner(&mut self, at: u32, node: Node, left: u32, right: u32) -> u32 {
        let mut successor = right;
        let mut parent = at;
        while self.child(successor, LEFT) != NONE {
            parent = successor;
            successor = self.child(successor, LEFT);
        }
        let orphan = self.child(successor, RIGHT);
        let lowest = if parent == at {
            successor
        } else {
            self.set_child(parent, LEFT, orphan);
            self.set_child(successor, RIGHT, right);
            parent
        };
        self.set_child(successor, LEFT, left);
        let was_red = self.is_red(successor);
        self.replace(node.parent, at, successor);
        self.set_red(successor, node.red);
        if orphan != NONE {
            self.set_red(orphan, false);
            NONE
        } else if was_red {
            NONE
        } else {
            lowest
        }
    }

    fn balance_insertion(&mut self, mut at: u32) {
        loop {
            let mut parent = self.parent(at);
            if parent == NONE {
                self.set_red(at, false);
                return;
            }
            if !self.is_red(parent) {
                return;
            }
            let grandparent = self.parent(parent);
            let side = self.side(grandparent, parent);
            let uncle = self.child(grandparent, 1 - side);
            if uncle != NONE && self.is_red(uncle) {
                self.set_red(uncle, false);
                self.set_red(parent, false);
                self.set_red(grandparent, true);
                at = grandparent;
                continue;
            }
            if self.child(parent, 1 - side) == at {
                self.rotate(parent, side);
                parent = at;
            }
            self.rotate(grandparent, 1 - side);
            self.set_red(parent, false);
            self.set_red(grandparent, true);
            return;
        }
    }

    /// Makes up for a black node that is missing below `parent`.
    fn balance_removal(&mut self, mut parent: u32) {
        let mut at = NONE;
        loop {
            let side = if self.child(parent, LEFT) == at && (at != NONE || self.child(parent, RIGHT) != NONE) {
                LEFT
            } else {
                RIGHT
            };
            let far = 1 - side;
            let mut sibling = self.child(parent, far);
            if self.is_red(sibling) {
                self.rotate(parent, side);
                self.set_red(sibling, false);
                self.set_red(parent, true);
                sibling = self.child(parent, far);
            }
            let outer = self.child(sibling, far);
            if outer == NONE || !self.is_red(outer) {
                let inner = self.child(sibling, side);
                if inner == NONE || !self.is_red(inner) {
                    self.set_red(sibling, true);
                    if self.is_red(parent) {
                        self.set_red(parent, false);
                        return;
                    }
                    at = parent;
                    parent = self.parent(at);
                    if parent == NONE {
                        return;
                    }
                    continue;
                }
                self.rotate(sibling, far);
                self.set_red(inner, false);
                self.set_red(sibling, true);
                sibling = inner;
            }
            let outer = self.child(sibling, far);
            let red = self.is_red(parent);
            self.rotate(parent, side);
            self.set_red(sibling, red);
            self.set_red(parent, false);
            self.set_red(outer, false);
            return;
        }
    }

    /// Turns a node down to a side, so that its child of the other side takes its place.
    fn rotate(&mut self, at: u32, side: usize) {
        let up = self.child(at, 1 - side);
        let moved = self.child(up, side);
        let parent = self.parent(at);
        self.set_child(at, 1 - side, moved);
        self.replace(parent, at, up);
        self.set_child(up, side, at);
    }

    /// Puts another node, or none, in the place of a child.
    fn replace(&mut self, parent: u32, old: u32, new: u32) {
        if parent == NONE {
            self.root = new;
            if let Some(node) = self.nodes.get_mut(new as usize) {
                node.parent = NONE;
            }
        } else {
            let side = self.side(parent, old);
            self.set_child(parent, side, new);
        }
    }

    fn node(&self, at: u32) -> Option<Node> {
        self.nodes.get(at as usize).copied()
    }

    fn child(&self, at: u32, side: usize) -> u32 {
        self.node(at).map_or(NONE, |node| node.children[side & 1])
    }

    fn parent(&self, at: u32) -> u32 {
        self.node(at).map_or(NONE, |node| node.parent)
    }

    fn side(&self, parent: u32, child: u32) -> usize {
        if self.child(parent, LEFT) == child { LEFT } else { RIGHT }
    }

    fn is_red(&self, at: u32) -> bool {
        self.node(at).is_some_and(|node| node.red)
    }

    fn set_red(&mut self, at: u32, red: bool) {
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.red = red;
        }
    }

    fn set_child(&mut self, parent: u32, side: usize, child: u32) {
        if let Some(node) = self.nodes.get_mut(parent as usize) {
            node.children[side & 1] = child;
        }
        if let Some(node) = self.nodes.get_mut(child as usize) {
            node.parent = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The number of black nodes on each way down; panics where the rules are broken.
    fn check(shape: &Shape, at: u32, parent: u32, keys: &mut Vec<u64>) -> usize {
        let Some(node) = shape.node(at) else { return 1 };
        assert_eq!(node.parent, parent);
        if node.red {
            assert!(node.children.iter().all(|child| !shape.is_red(*child)), "a red node has no red child");
        }
        let left = check(shape, node.children[LEFT], at, keys);
        keys.push(node.key);
        let right = check(shape, node.children[RIGHT], at, keys);
        assert_eq!(left, right, "as many black nodes on every way");
        left + usize::from(!node.red)
    }

    #[test]
    fn it_stays_balanced_and_in_order() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let mut shape = Shape::default();
            let mut expected = BTreeSet::new();
            for _ in 0..300 {
                let key = random(80);
                if expected.remove(&key) {
                    shape.remove(key);
                } else {
                    expected.insert(key);
                    shape.insert(key);
                }
                let mut keys = Vec::new();
                check(&shape, shape.root, NONE, &mut keys);
                assert!(keys.iter().eq(&expected));
                assert!(!shape.is_red(shape.root));
            }
            assert!(shape.nodes.len() <= 81, "places are used again");
        }
    }

    #[test]
    fn the_root_is_that_of_linux() {
        // Ascending keys: 1; 1-2; 2 at the root from the third on; 4 from the eighth on.
        let mut shape = Shape::default();
        let mut roots = Vec::new();
        for key in 1..=8 {
            shape.insert(key);
            roots.push(shape.at(shape.way()).unwrap());
        }
        assert_eq!(roots, [1, 1, 2, 2, 2, 2, 2, 4]);
        shape.remove(4);
        assert_eq!(shape.at(shape.way()), Some(5), "the next greater one");
    }
}
