//! What a key does: which page is shown, which cluster is selected, how clusters are arranged.
//!
//! A pure state machine. Takes keys and the ids of the clusters as they are arranged now; gives what is to be done
//! beyond drawing anew. The selection follows its cluster, wherever that goes in the order; where it is gone, the one in
//! its place is selected.

use std::cmp::Ordering;

use super::view::ClusterRow;
use crate::pipeline::alert::Verdict;
use crate::pipeline::cluster::identity::ClusterId;

/// Every key with what it does, for the page of keys. The footer has the short form of it.
pub(super) const KEYS: [(&str, &str); 11] = [
    ("q, Ctrl-C", "leave"),
    ("?", "this page, and back"),
    ("Up Down, k j", "select a cluster; scroll its page"),
    ("PgUp PgDn, Home End", "the same by ten, to the first, to the last"),
    ("Enter", "open the selected cluster: its evidence, counts, networks, times"),
    ("Esc", "back to the clusters"),
    ("s", "sort by points, events, last event, verdict; open alerts always come first"),
    ("v", "only hostile, undecided, benign clusters; then all again"),
    ("p", "pause: nothing is read or asked until p is pressed again"),
    ("r", "read the store and ask the service now, also while paused"),
    ("!", "a mark, no key: the alert of this cluster is open"),
];

/// Rows that a page key moves by.
const PAGE_ROWS: usize = 10;

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Escape,
    /// Ctrl-C.
    Interrupt,
    Char(char),
}

/// What is shown in the middle of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Page {
    /// Clusters and destinations.
    #[default]
    Overview,
    /// One cluster.
    Cluster(ClusterId),
    /// The keys.
    Keys,
}

/// What clusters are sorted by, behind the open alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    #[default]
    Points,
    Events,
    LastEvent,
    Verdict,
}

/// What is to be done beyond drawing anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// Read and ask now.
    Refresh,
    /// Leave.
    Quit,
}

/// Where whoever looks has got to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Controls {
    pub(super) page: Page,
    pub(super) order: Order,
    /// Only clusters with this verdict; `None`: all.
    pub(super) verdict: Option<Verdict>,
    /// The selected cluster; `None` where there is none to select.
    pub(super) selected: Option<ClusterId>,
    /// Lines of a page that are scrolled off.
    pub(super) scroll: usize,
    pub(super) paused: bool,
    /// Where the selected cluster was when it was last seen.
    at: usize,
    /// What the page of keys goes back to.
    behind: Page,
}

impl Order {
    /// What it is called on the screen.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Events => "events",
            Self::LastEvent => "last event",
            Self::Verdict => "verdict",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Points => Self::Events,
            Self::Events => Self::LastEvent,
            Self::LastEvent => Self::Verdict,
            Self::Verdict => Self::Points,
        }
    }

    fn compare(self, a: &ClusterRow, b: &ClusterRow) -> Ordering {
        let weight = |verdict| match verdict {
            Verdict::Hostile => 0,
            Verdict::Undecided => 1,
            Verdict::Benign => 2,
        };
        let verdict = || weight(a.verdict).cmp(&weight(b.verdict));
        let points = || b.points.total_cmp(&a.points);
        let events = || b.events.cmp(&a.events);
        let last_event = || b.last_event.cmp(&a.last_event);
        let first = match self {
            Self::Points => points(),
            Self::Events => events(),
            Self::LastEvent => last_event(),
            Self::Verdict => verdict(),
        };
        first.then_with(points).then_with(verdict).then_with(events).then_with(last_event).then_with(|| a.id.cmp(&b.id))
    }
}

impl Controls {
    /// The clusters that are chosen, in the order that is chosen, as indices into `rows`.
    pub(super) fn arrange(&self, rows: &[ClusterRow]) -> Vec<usize> {
        let mut chosen: Vec<(usize, &ClusterRow)> = rows.iter().enumerate().collect();
        chosen.retain(|(_, row)| self.verdict.is_none_or(|verdict| row.verdict == verdict));
        chosen.sort_by(|(_, a), (_, b)| b.is_open.cmp(&a.is_open).then_with(|| self.order.compare(a, b)));
        chosen.into_iter().map(|(at, _)| at).collect()
    }

    /// Finds the selection again after the clusters were read or arranged anew.
    pub(super) fn settle(&mut self, ids: &[ClusterId]) {
        let found = self.selected.and_then(|selected| ids.iter().position(|id| *id == selected));
        self.select(ids, found.unwrap_or(self.at));
    }

    /// Where the selection is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// A key was pressed; `ids` are the clusters as they are arranged now, `n_lines` those of the page that is shown.
    pub(super) fn press(&mut self, key: Key, ids: &[ClusterId], n_lines: usize) -> Wish {
        match key {
            Key::Interrupt | Key::Char('q' | 'Q') => return Wish::Quit,
            Key::Char('r' | 'R') => return Wish::Refresh,
            Key::Char('p' | 'P') => {
                self.paused = !self.paused;
                return if self.paused { Wish::Nothing } else { Wish::Refresh };
            }
            Key::Char('?') | Key::Escape if self.page == Page::Keys => self.go(self.behind),
            Key::Char('?') => {
                self.behind = self.page;
                self.go(Page::Keys);
            }
            Key::Escape => self.go(Page::Overview),
            _ if self.page == Page::Overview => self.press_on_overview(key, ids),
            _ => self.scroll = moved(key, self.scroll, n_lines),
        }
        Wish::Nothing
    }

    fn press_on_overview(&mut self, key: Key, ids: &[ClusterId]) {
        match key {
            Key::Char('s' | 'S') => self.order = self.order.next(),
            Key::Char('v' | 'V') => {
                self.verdict = match self.verdict {
                    None => Some(Verdict::Hostile),
                    Some(Verdict::Hostile) => Some(Verdict::Undecided),
                    Some(Verdict::Undecided) => Some(Verdict::Benign),
                    Some(Verdict::Benign) => None,
                }
            }
            Key::Enter => {
                if let Some(id) = self.selected {
                    self.go(Page::Cluster(id));
                }
            }
            _ => self.select(ids, moved(key, self.at, ids.len())),
        }
    }

    fn go(&mut self, page: Page) {
        self.page = page;
        self.scroll = 0;
    }

    fn select(&mut self, ids: &[ClusterId], at: usize) {
        self.at = at.min(ids.len().saturating_sub(1));
        self.selected = ids.get(self.at).copied();
    }
}

/// Where a key leads from `at` among `n`; other keys lead nowhere.
fn moved(key: Key, at: usize, n: usize) -> usize {
    let last = n.saturating_sub(1);
    let to = match key {
        Key::Up | Key::Char('k' | 'K') => at.saturating_sub(1),
        Key::Down | Key::Char('j' | 'J') => at.saturating_add(1),
        Key::PageUp => at.saturating_sub(PAGE_ROWS),
        Key::PageDown => at.saturating_add(PAGE_ROWS),
        Key::First => 0,
        Key::Last => last,
        _ => at,
    };
    to.min(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::view::testing::{row, view};
    use super::*;
    use crate::pipeline::event::Id;

    fn ids(n: u64) -> Vec<ClusterId> {
        (0..n).map(|n| ClusterId(Id(n))).collect()
    }

    fn pressed(keys: &[Key], ids: &[ClusterId]) -> Controls {
        let mut controls = Controls::default();
        controls.settle(ids);
        for key in keys {
            controls.press(*key, ids, 30);
        }
        controls
    }

    #[test]
    fn keys_move_the_selection_and_stop_at_the_ends() {
        let check = |keys: &[Key], expected: usize| assert_eq!(pressed(keys, &ids(25)).at(), expected, "{keys:?}");
        check(&[], 0);
        check(&[Key::Up], 0);
        check(&[Key::Down, Key::Char('j'), Key::Char('k')], 1);
        check(&[Key::PageDown], 10);
        check(&[Key::PageDown, Key::PageDown, Key::PageDown], 24);
        check(&[Key::Last], 24);
        check(&[Key::Last, Key::PageUp], 14);
        check(&[Key::Last, Key::First], 0);
        check(&[Key::Char('x')], 0);
    }

    #[test]
    fn pages_open_and_lead_back() {
        let open = Page::Cluster(ClusterId(Id(1)));
        let check = |keys: &[Key], expected: Page| assert_eq!(pressed(keys, &ids(3)).page, expected, "{keys:?}");
        check(&[Key::Down, Key::Enter], open);
        check(&[Key::Down, Key::Enter, Key::Escape], Page::Overview);
        check(&[Key::Char('?')], Page::Keys);
        check(&[Key::Char('?'), Key::Char('?')], Page::Overview);
        check(&[Key::Down, Key::Enter, Key::Char('?')], Page::Keys);
        check(&[Key::Down, Key::Enter, Key::Char('?'), Key::Escape], open);
        check(&[Key::Escape], Page::Overview);
        assert_eq!(pressed(&[Key::Enter], &[]).page, Page::Overview, "there is nothing to open");
    }

    #[test]
    fn a_page_scrolls_within_its_lines_and_the_selection_stays() {
        let scrolled = pressed(&[Key::Down, Key::Enter, Key::Down, Key::PageDown], &ids(3));
        assert_eq!((scrolled.scroll, scrolled.at()), (11, 1));
        assert_eq!(pressed(&[Key::Enter, Key::Last], &ids(3)).scroll, 29);
        assert_eq!(pressed(&[Key::Enter, Key::Last, Key::Escape, Key::Enter], &ids(3)).scroll, 0);
    }

    #[test]
    fn leaving_reading_and_pausing_are_told() {
        let mut controls = Controls::default();
        assert_eq!(controls.press(Key::Char('r'), &[], 0), Wish::Refresh);
        assert_eq!(controls.press(Key::Char('p'), &[], 0), Wish::Nothing);
        assert!(controls.paused);
        assert_eq!(controls.press(Key::Char('r'), &[], 0), Wish::Refresh);
        assert_eq!(controls.press(Key::Char('p'), &[], 0), Wish::Refresh);
        assert!(!controls.paused);
        assert_eq!(controls.press(Key::Char('q'), &[], 0), Wish::Quit);
        assert_eq!(controls.press(Key::Interrupt, &[], 0), Wish::Quit);
        controls.press(Key::Char('?'), &[], 0);
        assert_eq!(controls.press(Key::Char('q'), &[], 0), Wish::Quit, "on every page");
    }

    #[test]
    fn open_alerts_come_first_in_every_order() {
        let view = view();
        let rows = &view.memory.clusters;
        let check = |presses: usize, expected: &[u64]| {
            let controls = pressed(&vec![Key::Char('s'); presses], &[]);
            let first: Vec<ClusterId> =
                controls.arrange(rows).iter().take(expected.len()).map(|at| rows[*at].id).collect();
            let expected: Vec<ClusterId> = expected.iter().map(|n| ClusterId(Id(*n))).collect();
            assert_eq!(first, expected, "by {}", controls.order.name());
        };
        check(0, &[101, 100, 37, 35]);
        check(1, &[101, 38, 37]);
        check(2, &[101, 100, 38]);
        check(3, &[101, 100, 37, 35]);
        check(4, &[101, 100, 37]);
    }

    #[test]
    fn a_verdict_chooses_and_all_come_back() {
        let view = view();
        let rows = &view.memory.clusters;
        let check = |presses: usize, expected: usize| {
            assert_eq!(pressed(&vec![Key::Char('v'); presses], &[]).arrange(rows).len(), expected, "{presses}");
        };
        check(0, 40);
        check(1, 2);
        check(2, 19);
        check(3, 19);
        check(4, 40);
    }

    #[test]
    fn the_selection_follows_its_cluster_and_survives_its_end() {
        let mut controls = pressed(&[Key::Down, Key::Down], &ids(5));
        let moved: Vec<ClusterId> = [4, 3, 1, 0, 2].map(|n| ClusterId(Id(n))).to_vec();
        controls.settle(&moved);
        assert_eq!((controls.selected, controls.at()), (Some(ClusterId(Id(2))), 4));
        controls.settle(&ids(2));
        assert_eq!((controls.selected, controls.at()), (Some(ClusterId(Id(1))), 1));
        controls.settle(&[]);
        assert_eq!((controls.selected, controls.at()), (None, 0));
    }

    #[test]
    fn points_that_are_no_number_still_have_an_order() {
        let rows = [row(1, Verdict::Hostile, f64::NAN, 1), row(2, Verdict::Hostile, 1.0, 1)];
        assert_eq!(Controls::default().arrange(&rows).len(), 2);
    }

    proptest! {
        #[test]
        fn no_keys_lead_out_of_what_is_there(
            keys in proptest::collection::vec((0_u8..16, 0_u64..6, 0_usize..40), 0..60),
        ) {
            let mut controls = Controls::default();
            for (key, n, n_lines) in keys {
                let all = [
                    Key::Up, Key::Down, Key::PageUp, Key::PageDown, Key::First, Key::Last, Key::Enter, Key::Escape,
                    Key::Char('?'), Key::Char('s'), Key::Char('v'), Key::Char('p'), Key::Char('r'), Key::Char('j'),
                    Key::Char('k'), Key::Char('\u{1b}'),
                ];
                let ids = ids(n);
                controls.settle(&ids);
                controls.press(all[usize::from(key)], &ids, n_lines);
                prop_assert_eq!(controls.selected, ids.get(controls.at()).copied());
                prop_assert!(controls.scroll == 0 || controls.scroll < n_lines.max(1) || controls.page != Page::Overview);
            }
        }
    }
}
