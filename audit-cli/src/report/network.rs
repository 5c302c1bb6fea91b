//! A table with its sums as a network, and the hiding of cells in it (spec/audit.md, 6).
//!
//! Rounds and sites are nodes, and so are "all rounds" and "all sites". A cell is an edge from its round to its site; a site's
//! sum goes from the site to "all rounds", the total from there to "all sites", a round's sum from there back to the round. Then
//! the table's equations say that as much flows into each node as out of it, and two tables with the same published figures
//! differ by circulations through hidden edges. What a hidden figure can be is therefore a maximal flow, in whole numbers: of
//! whatever unit divides every voucher. A cell moves within a run of amounts all of which vouchers can make up (`amounts.rs`), so
//! each table on the way is one that could be.
//!
//! L. H. Cox, "Suppression methodology and statistical disclosure control", JASA 75 (1980), and "Network models for
//! complementary cell suppression", JASA 90 (1995).

use std::{cmp::Reverse, collections::BinaryHeap};

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Its figure.
    pub(super) value: u64,
    /// The least that it can be if it is not zero.
    pub(super) least: u64,
    /// Every whole number from here ...
    pub(super) low: u64,
    /// ... up to here can be its figure too.
    pub(super) high: u64,
}

/// An edge: one figure.
#[derive(Clone, Debug)]
struct Edge {
    from: usize,
    to: usize,
    value: u64,
    /// The least that the published zeros alone say: the sum of the least that each cell which is not zero can be.
    least: u64,
    /// How far it may move so that another does: of a sum, as far as its cells.
    low: u64,
    high: u64,
    hidden: bool,
    /// Whether the figure is small itself.
    small: bool,
    /// What hiding it costs.
    cost: u64,
}

/// Which way a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// More than any flow that is asked for.
pub(super) const UNBOUNDED: u64 = u64::MAX / 4;
/// Work spent on publishing again what need not be hidden, in edges looked at.
const SPARING: usize = 10_000_000;

/// A table with its sums.
#[derive(Clone, Debug)]
pub(super) struct Network {
    rounds: usize,
    sites: usize,
    edges: Vec<Edge>,
    /// The edges at each node.
    at: Vec<Vec<usize>>,
    below: u64,
}

impl Network {
    /// The table of these cells, by round, then site; `below` is the smallest figure that is not small.
    pub(super) fn new(cells: &[Vec<Cell>], sites: usize, below: u64) -> Self {
        let rounds = cells.len();
        let (all_rounds, all_sites) = (rounds, rounds + 1 + sites);
        let site_node = |site: usize| rounds + 1 + site;
        let mut edges = Vec::new();
        let mut add = |from, to, of: &mut dyn Iterator<Item = Cell>, weight: u64| {
            let sum = |sum: Cell, cell: Cell| Cell {
                value: sum.value + cell.value,
                least: sum.least + cell.least,
                low: sum.low + cell.low,
                high: UNBOUNDED.min(sum.high + cell.high),
            };
            let nothing = Cell { value: 0, least: 0, low: 0, high: 0 };
            let Cell { value, least, low, high } = of.fold(nothing, sum);
            let small = value > 0 && value < below;
            let cost = weight * (1000 + 100 * u64::from(u64::BITS - value.leading_zeros()));
            edges.push(Edge { from, to, value, least, low, high, hidden: small, small, cost });
        };
        for (round, row) in cells.iter().enumerate() {
            for (site, cell) in row.iter().enumerate() {
                add(round, site_node(site), &mut std::iter::once(*cell), 1);
            }
        }
        for (round, row) in cells.iter().enumerate() {
            add(all_sites, round, &mut row.iter().copied(), 8);
        }
        for site in 0..sites {
            add(site_node(site), all_rounds, &mut cells.iter().map(|row| row[site]), 8);
        }
        add(all_rounds, all_sites, &mut cells.iter().flatten().copied(), 20);
        let mut at = vec![Vec::new(); all_sites + 1];
        for (index, edge) in edges.iter().enumerate() {
            at[edge.from].push(index);
            at[edge.to].push(index);
        }
        Self { rounds, sites, edges, at, below }
    }

    /// Hides small figures, and as many others as it takes so that each small one may be anything from the least that the
    /// published zeros say up to `below`, as far as vouchers can make it up, and no hidden figure can be computed.
    pub(super) fn protect(&mut self) {
        let mut small: Vec<usize> = (0..self.edges.len()).filter(|edge| self.edges[*edge].small).collect();
        small.sort_by_key(|edge| Reverse(self.edges[*edge].value));
        for edge in &small {
            for way in [Way::Up, Way::Down] {
                let wanted = self.wanted(*edge, way);
                if self.flow(*edge, way, wanted, true) < wanted {
                    // Between gaps some cell has no room. Nothing but zeros is left, and each cell can be anything; where there
                    // are no gaps this does not happen, as there is always a way through the total.
                    self.edges.iter_mut().for_each(|edge| edge.hidden = edge.value > 0);
                    return;
                }
            }
        }
        self.spare(&small);
        // What can be computed may as well be published: what would not move even if there were no gaps. (What moves only with a
        // small figure that jumps over a gap stays, as it would tell that figure.)
        self.edges.iter_mut().for_each(|edge| (edge.low, edge.high) = (edge.least, UNBOUNDED));
        for edge in 0..self.edges.len() {
            let computable = self.edges[edge].hidden && !self.edges[edge].small && !self.moves(edge);
            self.edges[edge].hidden &= !computable;
        }
    }

    /// Whether the figure of a cell is hidden.
    pub(super) fn hides_cell(&self, round: usize, site: usize) -> bool {
        self.edges[round * self.sites + site].hidden
    }

    /// Whether a round's sum is hidden.
    pub(super) fn hides_round(&self, round: usize) -> bool {
        self.edges[self.rounds * self.sites + round].hidden
    }

    /// Whether a site's sum is hidden.
    pub(super) fn hides_site(&self, site: usize) -> bool {
        self.edges[self.rounds * self.sites + self.rounds + site].hidden
    }

    /// Whether the total is hidden.
    pub(super) fn hides_total(&self) -> bool {
        self.edges.last().is_some_and(|edge| edge.hidden)
    }

    /// How far a small figure must be able to move.
    fn wanted(&self, edge: usize, way: Way) -> u64 {
        let edge = &self.edges[edge];
        match way {
            Way::Up => self.below - edge.value,
            Way::Down => edge.value - edge.least,
        }
    }

    /// Whether a hidden figure can be anything else than it is.
    fn moves(&mut self, edge: usize) -> bool {
        self.flow(edge, Way::Up, 1, false) == 1 || self.flow(edge, Way::Down, 1, false) == 1
    }

    /// Publishes again what the small figures do not need, the dearest first.
    fn spare(&mut self, small: &[usize]) {
        let mut others: Vec<usize> =
            (0..self.edges.len()).filter(|edge| self.edges[*edge].hidden && !self.edges[*edge].small).collect();
        others.sort_by_key(|edge| Reverse(self.edges[*edge].cost));
        let mut work = 0;
        for other in others {
            if work > SPARING {
                break;
            }
            self.edges[other].hidden = false;
            let protected = small.iter().all(|edge| {
                work += self.edges.len();
                [Way::Up, Way::Down].into_iter().all(|way| {
                    let wanted = self.wanted(*edge, way);
                    self.flow(*edge, way, wanted, false) == wanted
                })
            });
            self.edges[other].hidden = !protected;
        }
    }

    /// How far a figure can move, up to `wanted`, while every published one stays. `hiding` hides others on the way, as cheap
    /// as the next path allows.
    fn flow(&mut self, target: usize, way: Way, wanted: u64, hiding: bool) -> u64 {
        let Edge { from, to, value, least, .. } = self.edges[target];
        let (source, sink) = if way == Way::Up { (to, from) } else { (from, to) };
        let wanted = if way == Way::Down { wanted.min(value - least) } else { wanted };
        // What each figure has moved so far, up and down.
        let mut moved = vec![(0u64, 0u64); self.edges.len()];
        let mut flow = 0;
        while flow < wanted {
            let Some(path) = self.path(source, sink, target, &moved, hiding) else { break };
            let room = path.iter().map(|(edge, way)| self.room(*edge, *way, &moved)).min().unwrap_or(0);
            let step = room.min(wanted - flow);
            for (edge, way) in path {
                self.edges[edge].hidden = true;
                let (up, down) = &mut moved[edge];
                let (this, other) = if way == Way::Up { (up, down) } else { (down, up) };
                // First back what moved the other way.
                let back = step.min(*other);
                *other -= back;
                *this += step - back;
            }
            flow += step;
        }
        flow
    }

    /// How far an edge's figure can still move.
    fn room(&self, edge: usize, way: Way, moved: &[(u64, u64)]) -> u64 {
        let (up, down) = moved[edge];
        match way {
            Way::Up => (self.edges[edge].high + down).saturating_sub(self.edges[edge].value + up),
            Way::Down => (self.edges[edge].value + up).saturating_sub(self.edges[edge].low + down),
        }
    }

    /// The cheapest path on which figures can move, edges with their ways; hidden ones cost next to nothing.
    fn path(
        &self,
        source: usize,
        sink: usize,
        target: usize,
        moved: &[(u64, u64)],
        hiding: bool,
    ) -> Option<Vec<(usize, Way)>> {
        let mut cost = vec![u64::MAX; self.at.len()];
        let mut through: Vec<Option<(usize, Way)>> = vec![None; self.at.len()];
        let mut open = BinaryHeap::from([(Reverse(0), source)]);
        cost[source] = 0;
        while let Some((Reverse(reached), node)) = open.pop() {
            if node == sink {
                break;
            }
            if reached > cost[node] {
                continue;
            }
            for index in &self.at[node] {
                let edge = &self.edges[*index];
                // A zero is published, and so it stays.
                if *index == target || edge.value == 0 || !(edge.hidden || hiding) {
                    continue;
                }
                let (next, way) = if edge.from == node { (edge.to, Way::Up) } else { (edge.from, Way::Down) };
                let sum = reached + if edge.hidden { 1 } else { edge.cost };
                if sum < cost[next] && self.room(*index, way, moved) > 0 {
                    (cost[next], through[next]) = (sum, Some((*index, way)));
                    open.push((Reverse(sum), next));
                }
            }
        }
        let mut path = Vec::new();
        let mut node = sink;
        while node != source {
            let (edge, way) = through[node]?;
            path.push((edge, way));
            node = if way == Way::Up { self.edges[edge].from } else { self.edges[edge].to };
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::amounts::Amounts, *};

    fn hidden(cells: &[Vec<u64>], below: u64) -> (Vec<String>, Network) {
        hidden_of(cells, below, &[1])
    }

    fn hidden_of(cells: &[Vec<u64>], below: u64, values: &[u64]) -> (Vec<String>, Network) {
        let sites = cells.first().map_or(0, Vec::len);
        let amounts = Amounts::of(values);
        let cells: Vec<Vec<_>> =
            cells.iter().map(|row| row.iter().map(|value| amounts.cell(*value)).collect()).collect();
        let mut network = Network::new(&cells, sites, below);
        network.protect();
        let mark = |hidden| if hidden { 'x' } else { '.' };
        let mut rows: Vec<String> = (0..cells.len())
            .map(|round| {
                let row = (0..sites).map(|site| mark(network.hides_cell(round, site)));
                row.chain([mark(network.hides_round(round))]).collect()
            })
            .collect();
        let sums = (0..sites).map(|site| mark(network.hides_site(site)));
        rows.push(sums.chain([mark(network.hides_total())]).collect());
        (rows, network)
    }

    #[test]
    fn a_small_cell_takes_a_rectangle_with_it() {
        let (rows, _) = hidden(&[vec![3, 40, 50], vec![30, 20, 90], vec![80, 70, 60]], 5);
        assert_eq!(rows, ["xx..", "xx..", "....", "...."], "three more cells, and no sum");
    }

    /// With one site a cell is its round's sum: both go, and so does another round.
    #[test]
    fn one_site_takes_the_sums_with_it() {
        let (rows, _) = hidden(&[vec![3], vec![30], vec![80]], 5);
        assert_eq!(rows, ["xx", "xx", "..", ".."]);
    }

    #[test]
    fn a_lone_cell_takes_every_sum_with_it() {
        assert_eq!(hidden(&[vec![3, 0], vec![0, 0]], 5).0, ["x.x", "...", "x.x"]);
        assert_eq!(hidden(&[vec![3]], 5).0, ["xx", "xx"]);
    }

    /// Neighbours of 1 and 2 cannot give a 3 the room that it needs.
    #[test]
    fn small_neighbours_do_not_hide_each_other() {
        let (_, mut network) = hidden(&[vec![1, 1, 30], vec![1, 1, 60], vec![70, 80, 90]], 6);
        for edge in 0..network.edges.len() {
            if network.edges[edge].small {
                let up = network.wanted(edge, Way::Up);
                assert_eq!(network.flow(edge, Way::Up, up, false), up);
            }
        }
    }

    /// Of threes and fives there is no 4 and no 7: a 3 between figures that are shown could be nothing else.
    #[test]
    fn a_cell_between_gaps_gives_others_no_room() {
        let (rows, _) = hidden_of(&[vec![3, 3, 0], vec![30, 50, 60], vec![70, 80, 90]], 7, &[3, 5]);
        assert_eq!(rows, ["xx.x", "xxxx", "xxxx", "xxxx"], "3 + 3 can be 8 only, which takes no small steps");
        let (rows, _) = hidden_of(&[vec![5, 20, 40], vec![30, 50, 60], vec![70, 80, 90]], 6, &[3, 5]);
        assert_eq!(rows, ["xx..", "xx..", "....", "...."]);
    }

    #[test]
    fn nothing_small_hides_nothing() {
        assert_eq!(hidden(&[vec![9, 0], vec![0, 7]], 5).0, ["...", "...", "..."]);
        assert_eq!(hidden(&[], 5).0, ["."]);
        assert_eq!(hidden(&[vec![], vec![]], 5).0, [".", ".", "."]);
    }
}
