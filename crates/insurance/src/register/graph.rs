//! What depends on what, transitively: losing a thing loses everything above it.

use crate::node::Node;
use std::collections::{BTreeMap, BTreeSet};

/// A set of a graph's nodes, by their places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Set(Vec<u64>);

impl Set {
    /// Adds `at`; returns whether it is new.
    pub fn insert(&mut self, at: usize) -> bool {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        let (word, bit) = (&mut self.0[at / 64], 1 << (at % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether `at` is in it.
    #[must_use]
    pub fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Whether any of `places` is in it.
    #[must_use]
    pub fn has_any(&self, places: &[usize]) -> bool {
        places.iter().any(|at| self.has(*at))
    }
}

/// A dependency graph; circles are allowed.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    places: BTreeMap<Node, usize>,
    needs: Vec<BTreeSet<usize>>,
}

impl Graph {
    /// Its nodes; a place is an index into this list.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The place of `node`, where it is in the graph.
    #[must_use]
    pub fn place(&self, node: &Node) -> Option<usize> {
        self.places.get(node).copied()
    }

    /// Adds `node` if it is not there; returns its place.
    pub fn add(&mut self, node: Node) -> usize {
        if let Some(place) = self.place(&node) {
            return place;
        }
        let place = self.nodes.len();
        self.places.insert(node.clone(), place);
        self.nodes.push(node);
        self.needs.push(BTreeSet::new());
        place
    }

    /// Notes that `from` depends on `to`.
    pub fn depend(&mut self, from: Node, to: Node) {
        let (from, to) = (self.add(from), self.add(to));
        self.needs[from].insert(to);
    }

    /// All that `starts` depend on, themselves included.
    #[must_use]
    pub fn closure(&self, starts: impl IntoIterator<Item = usize>) -> Set {
        let mut set = Set::default();
        let mut open: Vec<usize> = starts.into_iter().filter(|start| set.insert(*start)).collect();
        while let Some(at) = open.pop() {
            open.extend(self.needs[at].iter().copied().filter(|next| set.insert(*next)));
        }
        set
    }
}
