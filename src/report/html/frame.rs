//! The page around its sections: policy, style, script, title, navigation.
//!
//! The policy allows the page's own style and script by the SHA-256 of their bytes and nothing else: no address is ever
//! asked, no handler in an attribute ever runs, nothing can be put into a frame or sent in a form. What a browser is
//! told is worked out from the very texts that are written, so that the two cannot differ.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Section;
use super::facts::Facts;
use super::markup::{Anchor, Asset, Markup, attr, tag};
use crate::pipeline::event::Millis;
use crate::report::list::to_the_minute;

/// What the page may do.
pub(super) fn policy() -> String {
    let hash = |asset: Asset| STANDARD.encode(Sha256::digest(asset.text()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(Asset::Style),
        hash(Asset::Script)
    )
}

/// Writes the page.
pub(super) fn page(facts: &Facts<'_>, sections: &[Section], m: &mut Markup<'_>) -> Result<()> {
    m.doctype()?;
    m.around(tag::HTML, &[attr::lang("en")], |m| {
        m.around(tag::HEAD, &[], head)?;
        m.around(tag::BODY, &[], |m| {
            m.leaf(tag::A, &[attr::class("skip"), attr::to(&Anchor::of("main"))], "Skip to the content")?;
            header(facts, sections, m)?;
            m.around(tag::MAIN, &[attr::id(&Anchor::of("main")), attr::tabindex(-1)], |m| {
                sections.iter().try_for_each(|one| section(one, facts, m))
            })?;
            footer(m)?;
            Ok(m.asset(Asset::Script)?)
        })
    })
}

fn head(m: &mut Markup<'_>) -> Result<()> {
    m.void(tag::META, &[attr::charset("utf-8")])?;
    m.void(tag::META, &[attr::http_equiv("Content-Security-Policy"), attr::content(policy())])?;
    m.void(tag::META, &[attr::meta_name("viewport"), attr::content("width=device-width, initial-scale=1")])?;
    m.void(tag::META, &[attr::meta_name("referrer"), attr::content("no-referrer")])?;
    m.void(tag::META, &[attr::meta_name("color-scheme"), attr::content("light dark")])?;
    m.leaf(tag::TITLE, &[], "panicsift report")?;
    Ok(m.asset(Asset::Style)?)
}

fn header(facts: &Facts<'_>, sections: &[Section], m: &mut Markup<'_>) -> Result<()> {
    m.around(tag::HEADER, &[attr::class("top")], |m| {
        m.within(tag::DIV, &[attr::class("brand")], |m| {
            m.leaf(tag::H1, &[], "panicsift report")?;
            m.leaf(tag::P, &[attr::class("quiet")], span(facts))
        })?;
        m.within(tag::NAV, &[attr::aria_label("Sections")], |m| {
            m.within(tag::UL, &[], |m| {
                sections.iter().try_for_each(|section| {
                    let link = [attr::to(&Anchor::of(section.name))];
                    m.within(tag::LI, &[], |m| m.leaf(tag::A, &link, section.title))
                })
            })
        })?;
        let button = [attr::kind("button"), attr::id(&Anchor::of("theme")), attr::hidden("")];
        Ok(m.leaf(tag::BUTTON, &button, "Dark / light")?)
    })
}

/// `2026-09-14 08:00 to 2026-09-14 13:59 UTC, event time`.
fn span(facts: &Facts<'_>) -> String {
    let minute = |time: Millis| to_the_minute(&time.to_string());
    match facts.census.span {
        Some((first, last)) => {
            format!("{} to {} UTC, event time", minute(first), minute(last))
        }
        None => "the store holds no events".to_owned(),
    }
}

fn section(section: &Section, facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    let heading = Anchor::of(format!("{}-heading", section.name));
    let frame = [attr::id(&Anchor::of(section.name)), attr::aria_labelledby(&heading)];
    m.give_room(section.room_bytes);
    m.around(tag::SECTION, &frame, |m| {
        m.leaf(tag::H2, &[attr::id(&heading)], section.title)?;
        (section.fill)(facts, m)
    })?;
    // Whoever reads along has the section now, though the next one takes its time.
    Ok(m.flush()?)
}

fn footer(m: &mut Markup<'_>) -> Result<()> {
    m.within(tag::FOOTER, &[], |m| {
        m.leaf(
            tag::P,
            &[attr::class("quiet")],
            format!(
                "Made by panicsift {} from its store; times are UTC and the events' own. Keys: / filters the clusters, \
                 Esc clears the filter, Enter on a column's head sorts by it, Enter on a cluster opens it.",
                env!("CARGO_PKG_VERSION")
            ),
        )
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_nothing_but_the_page_s_own_style_and_script() {
        let policy = policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        for open in ["unsafe", "http", "*", "data:", "self"] {
            assert!(!policy.contains(open), "{policy}");
        }
    }
}
