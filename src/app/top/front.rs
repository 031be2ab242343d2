//! Between keys and frames: what was seen last, where whoever looks has got to, and the page that follows from both.
//!
//! Takes views and keys, draws frames; knows no terminal. Clusters are arranged anew only when they or their order
//! changed, the page of a cluster is written only while it is open.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::draw::{self, Paint, Scene};
use super::keys::{Controls, Key, Page, Wish};
use super::sheet::{self, Said};
use super::view::View;
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Millis;

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Front {
    view: View,
    controls: Controls,
    arranged: Vec<usize>,
    ids: Vec<ClusterId>,
    sheet: Vec<Said>,
    /// Lines of the page when it was drawn last.
    n_lines: usize,
    paint: Paint,
    has_keys: bool,
}

impl Front {
    /// The first page. Without keys nothing is selected and no key is told.
    pub(super) fn new(view: View, paint: Paint, has_keys: bool) -> Self {
        let mut front = Self {
            view,
            controls: Controls::default(),
            arranged: Vec::new(),
            ids: Vec::new(),
            sheet: Vec::new(),
            n_lines: 0,
            paint,
            has_keys,
        };
        front.arrange();
        front
    }

    /// Takes what was seen.
    pub(super) fn take(&mut self, view: View) {
        self.view = view;
        self.arrange();
        self.write();
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: Key) -> Wish {
        let before = (self.controls.page, self.controls.order, self.controls.verdict);
        let wish = self.controls.press(key, &self.ids, self.n_lines);
        if before != (self.controls.page, self.controls.order, self.controls.verdict) {
            self.arrange();
            self.write();
        }
        wish
    }

    /// Whether nothing is to be read or asked.
    pub(super) fn is_paused(&self) -> bool {
        self.controls.paused
    }

    /// Draws a frame; `now` is the wall clock.
    pub(super) fn frame(&mut self, area: Rect, buffer: &mut Buffer, now: Millis, is_reading: bool) {
        let lines = sheet::wrapped(&self.sheet, usize::from(area.width));
        self.n_lines = lines.len();
        let scene = Scene {
            view: &self.view,
            controls: &self.controls,
            arranged: &self.arranged,
            sheet: &lines,
            now,
            is_reading,
            paint: self.paint,
            has_keys: self.has_keys,
        };
        draw::frame(&scene, area, buffer);
    }

    fn arrange(&mut self) {
        let rows = &self.view.memory.clusters;
        self.arranged = self.controls.arrange(rows);
        self.ids = self.arranged.iter().filter_map(|at| rows.get(*at)).map(|row| row.id).collect();
        self.controls.settle(&self.ids);
    }

    fn write(&mut self) {
        self.sheet = match self.controls.page {
            Page::Overview => Vec::new(),
            Page::Cluster(id) => sheet::of_cluster(&self.view.memory.state, id),
            Page::Keys => sheet::of_keys(),
        };
    }
}
