//! A document as one self-contained HTML page: no script, no link, no image, nothing from elsewhere.
//!
//! Every text is escaped, and a policy in the page forbids all but its own style. Foreign names stand in `code`.

use std::fmt::Write;

use super::{Block, Document, Part, Table, Words};

/// Dark and light, narrow and wide, screen and paper.
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;\
color:#1b1b1f;background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
div{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem}\
th,td{padding:.25rem .75rem;border-bottom:1px solid #8884;text-align:left;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}code{overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{color:#e6e6ea;background:#17171b}}";

pub(super) fn render(document: &Document) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        title = escaped(&document.title)
    );
    for section in &document.sections {
        // Writing to a String cannot fail.
        writeln!(page, "<h2 id=\"{}\">{}</h2>", section.id, escaped(section.title)).unwrap_or_default();
        for block in &section.blocks {
            match block {
                Block::Paragraph(words) => page.extend(["<p>", &sentence(words), "</p>\n"]),
                Block::List(items) => {
                    page.push_str("<ul>\n");
                    for item in items {
                        page.extend(["<li>", &sentence(item), "</li>\n"]);
                    }
                    page.push_str("</ul>\n");
                }
                Block::Table(table) => page.push_str(&rows(table)),
            }
        }
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn rows(table: &Table) -> String {
    let mut text = format!("<div><table id=\"{}\">\n<thead><tr>", table.id);
    for column in &table.columns {
        text.extend(["<th scope=\"col\">", &escaped(column.head), "</th>"]);
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        text.push_str("<tr>");
        for value in row {
            let open = if value.is_number() { "<td class=\"n\">" } else { "<td>" };
            text.extend([open, &sentence(&value.shown()), "</td>"]);
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table></div>\n");
    text
}

fn sentence(words: &Words) -> String {
    let parts = words.0.iter().map(|part| match part {
        Part::Ours(text) => escaped(text),
        Part::Foreign(text) => format!("<code>{}</code>", escaped(text)),
    });
    parts.collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
