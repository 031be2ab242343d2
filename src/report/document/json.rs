//! A document as JSON: sections by their ids, sentences in order, tables by their ids with one object a row.
//!
//! Times are RFC 3339 in UTC, durations milliseconds, shares from 0 to 1; an interval is `{estimate, low, high}`, a
//! number that cannot be told `{low, high}`; what is not known, or has no limit, is `null`.

use serde_json::{Map, Value as Json, json};

use super::{Block, Document, Section, Table, Value};

pub(super) fn value(document: &Document) -> Json {
    let sections = document.sections.iter().map(|section| (section.id.to_owned(), of_section(section)));
    json!({
        "schema": document.schema,
        "title": document.title,
        "sections": sections.collect::<Map<_, _>>(),
    })
}

fn of_section(section: &Section) -> Json {
    let mut words = Vec::new();
    let mut tables = Map::new();
    for block in &section.blocks {
        match block {
            Block::Paragraph(one) => words.push(one.plain()),
            Block::List(items) => words.extend(items.iter().map(super::Words::plain)),
            Block::Table(table) => drop(tables.insert(table.id.to_owned(), rows(table))),
        }
    }
    json!({"title": section.title, "words": words, "tables": tables})
}

fn rows(table: &Table) -> Json {
    let row = |values: &Vec<Value>| {
        let pairs = table.columns.iter().zip(values).map(|(column, value)| (column.key.to_owned(), cell(value)));
        Json::Object(pairs.collect())
    };
    table.rows.iter().map(row).collect()
}

fn cell(value: &Value) -> Json {
    match value {
        Value::Missing => Json::Null,
        Value::Words(words) => words.plain().into(),
        Value::Count(n) => (*n).into(),
        Value::Reckoned(n) => n.exact().map_or_else(|| json!({"low": n.low, "high": n.high}), Json::from),
        Value::Share(interval) | Value::Ratio(interval) => json!(interval),
        Value::Number(number) => json!(number),
        Value::Time(at) => json!(at.map(|at| at.to_string())),
        Value::Duration(millis) => json!(millis),
    }
}
