//! The only way to write HTML: elements, attributes and texts as typed pieces, escaped as they are written.
//!
//! Names of elements and attributes are constants of this module with private insides: none takes a script, a style, an
//! address or an event handler, so whoever calls cannot name one. A link leads to an [`Anchor`] of the same page and
//! nowhere else. Style and script come from [`Asset`]s of the program. Everything else is data: a text is made one
//! printable line of at most [`TEXT_BYTES_MAX`] bytes, then `&`, `<`, `>`, quotes and the backtick are escaped, the same
//! in texts and in attributes. An element is closed by the function that opened it.
//!
//! Streams: nothing is held but what the writer below buffers. Counts its bytes, so that a section keeps to its room.

use std::fmt::Display;
use std::io::{self, Write};

use crate::pipeline::neutral;

/// Longest text of one piece in bytes, before escaping: the longest title of a cluster (some 900 bytes with a route of
/// 200 and an announced test of 200) fits.
const TEXT_BYTES_MAX: usize = 1_024;

/// An element. `Void` ones have no content.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Tag(&'static str);

/// The elements of a page.
pub(in crate::report) mod tag {
    use super::Tag;

    macro_rules! tags {
        ($($name:ident $text:literal),* $(,)?) => { $(pub(in crate::report) const $name: Tag = Tag($text);)* };
    }

    tags! {
        A "a", BDI "bdi", BODY "body", BUTTON "button", CODE "code", DD "dd", DESC "desc",
        DETAILS "details", DIV "div", DL "dl", DT "dt", FIGCAPTION "figcaption", FIGURE "figure", FOOTER "footer",
        H1 "h1", H2 "h2", H3 "h3", H4 "h4", HEAD "head", HEADER "header", HTML "html", INPUT "input", LABEL "label", LI "li",
        LINE "line", MAIN "main", META "meta", NAV "nav", OL "ol", OUTPUT "output", P "p", PATH "path", RECT "rect",
        SECTION "section", SPAN "span", SUMMARY "summary", SVG "svg", TABLE "table", TBODY "tbody",
        TD "td", TFOOT "tfoot", TH "th", THEAD "thead", TITLE "title", TR "tr", UL "ul",
    }
}

/// One attribute with its value.
#[derive(Debug, Clone)]
pub(in crate::report) struct Attr(&'static str, String);

/// The attributes of a page. None of them is an address, a style or a handler.
pub(in crate::report) mod attr {
    use std::fmt::Display;

    use super::{Anchor, Attr};

    macro_rules! attributes {
        ($($name:ident $text:literal),* $(,)?) => { $(
            pub(in crate::report) fn $name(value: impl Display) -> Attr {
                Attr($text, value.to_string())
            }
        )* };
    }

    attributes! {
        aria_controls "aria-controls", aria_hidden "aria-hidden", aria_label "aria-label",
        aria_labelledby "aria-labelledby", charset "charset", class "class", colspan "colspan", content "content",
        d "d", for_id "for", height "height", http_equiv "http-equiv", kind "type", lang "lang", meta_name "name",
        open "open", placeholder "placeholder", preserve_aspect_ratio "preserveAspectRatio", role "role",
        scope "scope", sort_value "data-v", spellcheck "spellcheck", tabindex "tabindex",
        view_box "viewBox", width "width", hidden "hidden", x "x", x1 "x1", x2 "x2", y "y", y1 "y1", y2 "y2",
    }

    /// What a link leads to.
    pub(in crate::report) fn id(anchor: &Anchor) -> Attr {
        Attr("id", anchor.0.clone())
    }

    /// A link to a place of the same page: the only one there is.
    pub(in crate::report) fn to(anchor: &Anchor) -> Attr {
        Attr("href", format!("#{}", anchor.0))
    }
}

/// A place of the page: letters, digits, `-` and `_`; anything else becomes `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct Anchor(String);

impl Anchor {
    pub(in crate::report) fn of(name: impl Display) -> Self {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
        Self(name.to_string().chars().take(64).map(allowed).collect())
    }
}

impl Display for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A style or script that is part of the program. Written as it is, so that its hash is that of the file.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) enum Asset {
    /// `page.css`.
    Style,
    /// `page.js`.
    Script,
}

impl Asset {
    /// The file.
    pub(in crate::report) fn text(self) -> &'static str {
        match self {
            Self::Style => include_str!("page.css"),
            Self::Script => include_str!("page.js"),
        }
    }
}

/// Where the page goes.
pub(in crate::report) struct Markup<'o> {
    out: &'o mut dyn Write,
    n_bytes: u64,
    /// The number of bytes at which the present section is full.
    full_at: u64,
}

impl<'o> Markup<'o> {
    /// A page that goes to `out`.
    pub(in crate::report) fn new(out: &'o mut dyn Write) -> Self {
        Self { out, n_bytes: 0, full_at: u64::MAX }
    }

    /// `<!doctype html>`, before everything else.
    pub(in crate::report) fn doctype(&mut self) -> io::Result<()> {
        self.raw("<!doctype html>\n")
    }

    /// An element around whatever `fill` writes.
    pub(in crate::report) fn within(
        &mut self,
        tag: Tag,
        attributes: &[Attr],
        fill: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.around(tag, attributes, fill)
    }

    /// The same, where filling it can fail for other reasons than writing.
    pub(in crate::report) fn around<E: From<io::Error>>(
        &mut self,
        Tag(name): Tag,
        attributes: &[Attr],
        fill: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(name, attributes, ">")?;
        fill(self)?;
        self.raw("</")?;
        self.raw(name)?;
        // One break a line of the source keeps the page readable without costing much.
        self.raw(if matches!(name, "td" | "th" | "span" | "bdi" | "a" | "code" | "svg") { ">" } else { ">\n" })?;
        Ok(())
    }

    /// An element around one text.
    pub(in crate::report) fn leaf(&mut self, tag: Tag, attributes: &[Attr], text: impl Display) -> io::Result<()> {
        self.within(tag, attributes, |m| m.text(text))
    }

    /// An element without content: `meta`, `input`, and the shapes of a picture.
    pub(in crate::report) fn void(&mut self, Tag(name): Tag, attributes: &[Attr]) -> io::Result<()> {
        self.begin(name, attributes, "/>")
    }

    /// A text.
    pub(in crate::report) fn text(&mut self, text: impl Display) -> io::Result<()> {
        self.escaped(&text.to_string())
    }

    /// A style or script of the program, in its element.
    pub(in crate::report) fn asset(&mut self, asset: Asset) -> io::Result<()> {
        let name = match asset {
            Asset::Style => "style",
            Asset::Script => "script",
        };
        self.begin(name, &[], ">")?;
        self.raw(asset.text())?;
        self.raw("</")?;
        self.raw(name)?;
        self.raw(">\n")
    }

    /// Gives what comes next this much room.
    pub(in crate::report) fn give_room(&mut self, bytes: u64) {
        self.full_at = self.n_bytes.saturating_add(bytes);
    }

    /// Whether the room is used up. Asked before each item of a list whose length a stranger decides.
    pub(in crate::report) fn is_full(&self) -> bool {
        self.n_bytes >= self.full_at
    }

    /// Hands on what was written so far.
    pub(in crate::report) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn begin(&mut self, name: &str, attributes: &[Attr], end: &str) -> io::Result<()> {
        self.raw("<")?;
        self.raw(name)?;
        for Attr(name, value) in attributes {
            self.raw(" ")?;
            self.raw(name)?;
            self.raw("=\"")?;
            self.escaped(value)?;
            self.raw("\"")?;
        }
        self.raw(end)
    }

    fn escaped(&mut self, text: &str) -> io::Result<()> {
        let line = neutral::line(text, TEXT_BYTES_MAX);
        let mut rest = &*line;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| matches!(c, '&' | '<' | '>' | '"' | '\'' | '`'))
        {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.raw(before)?;
            self.raw(match found {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                _ => "&#96;",
            })?;
            rest = from.split_at_checked(found.len_utf8()).map_or("", |(_, rest)| rest);
        }
        self.raw(rest)
    }

    fn raw(&mut self, text: &str) -> io::Result<()> {
        self.n_bytes = self.n_bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.out.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(fill: impl FnOnce(&mut Markup<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        fill(&mut Markup::new(&mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_is_escaped_whatever_it_holds() {
        let check = |text: &str, expected: &str| assert_eq!(written(|m| m.text(text)), expected);
        check("GET /a?b=1&c", "GET /a?b=1&amp;c");
        check("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;");
        check("\"'`", "&quot;&#39;&#96;");
        check("--><!--", "--&gt;&lt;!--");
        check("</style></script>", "&lt;/style&gt;&lt;/script&gt;");
        check("Bücher/日本 é", "Bücher/日本 é");
        check("a\u{2028}b\u{202e}c\0\r\n", "a\\u{2028}b\\u{202e}c\\u{0}\\u{d}\\u{a}");
        check("&amp;&#60;", "&amp;amp;&amp;#60;");
        check("", "");
    }

    #[test]
    fn an_attribute_cannot_be_left() {
        let check = |text: &str, expected: &str| {
            let html = written(|m| m.void(tag::RECT, &[attr::aria_label(text)]));
            assert_eq!(html, format!("<rect aria-label=\"{expected}\"/>"));
        };
        check("\"><img src=x onerror=alert(1)>", "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;");
        check("' onload='x", "&#39; onload=&#39;x");
        check("a\tb\nc", "a\\u{9}b\\u{a}c");
    }

    #[test]
    fn a_link_leads_to_this_page() {
        let check = |text: &str, expected: &str| {
            let html = written(|m| m.leaf(tag::A, &[attr::to(&Anchor::of(text))], "x"));
            assert_eq!(html, format!("<a href=\"#{expected}\">x</a>"));
        };
        check("c-00ff", "c-00ff");
        check("javascript:alert(1)", "javascript_alert_1_");
        check("\"onclick=x", "_onclick_x");
    }

    #[test]
    fn elements_are_closed_by_whoever_opened_them() {
        let html = written(|m| {
            m.within(tag::UL, &[attr::class("x")], |m| {
                m.leaf(tag::LI, &[], 1)?;
                m.within(tag::LI, &[], |m| m.void(tag::INPUT, &[attr::kind("search")]))
            })
        });
        assert_eq!(html, "<ul class=\"x\"><li>1</li>\n<li><input type=\"search\"/></li>\n</ul>\n");
    }

    #[test]
    fn room_is_counted_in_bytes() {
        let mut out = Vec::new();
        let mut markup = Markup::new(&mut out);
        assert!(!markup.is_full());
        markup.give_room(10);
        markup.text("123456789").unwrap();
        assert!(!markup.is_full());
        markup.text("é").unwrap();
        assert!(markup.is_full());
    }

    #[test]
    fn assets_cannot_leave_their_elements() {
        for asset in [Asset::Style, Asset::Script] {
            let text = asset.text().to_ascii_lowercase();
            for end in ["</style", "</script", "<!--", "-->", "]]>"] {
                assert!(!text.contains(end), "{asset:?} holds {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_ever_holds_what_steers_a_page(text in any::<String>()) {
            let html = written(|m| m.leaf(tag::TD, &[attr::aria_label(&text)], &text));
            let inner = html.strip_prefix("<td aria-label=\"").and_then(|rest| rest.strip_suffix("</td>")).unwrap();
            let (value, content) = inner.split_once("\">").unwrap();
            for part in [value, content] {
                prop_assert!(!part.contains(['<', '>', '"', '\'', '`']), "{part}");
                prop_assert!(part.chars().all(neutral::is_shown));
                prop_assert!(part.len() <= 6 * TEXT_BYTES_MAX);
            }
        }
    }
}
