//! What the producers of `deploy/producers` wrote when they ran, held against the published contract; and that their
//! page names each of them.

use std::path::Path;

use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_structured_lines_of_the_worker_are_valid_events() {
    let schema =
        jsonschema::validator_for(&serde_json::from_str(&read("schemas/panic-event.v1.json")).unwrap()).unwrap();
    let items: Vec<Value> = serde_json::from_str(&read("tests/data/carriers/tail_structured_line.json")).unwrap();
    let logs = items.iter().flat_map(|item| item["logs"].as_array().unwrap());
    let events: Vec<&Value> = logs.filter_map(|log| log["message"][0].get("panic_event")).collect();
    assert_eq!(events.len(), 3);
    for event in events {
        let faults: Vec<String> = schema.iter_errors(event).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?} in {event:#}");
        assert_eq!(event["recovery"]["outcome"], "aborted", "it was an abort build");
    }
}

#[test]
fn the_page_names_every_key_of_the_event_that_a_producer_writes() {
    let page = read("deploy/producers/README.md");
    let schema: Value = serde_json::from_str(&read("schemas/panic-event.v1.json")).unwrap();
    // Latencies explain themselves.
    let silent = ["latency_ms"];
    let missing: Vec<&String> = schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| !silent.contains(&key.as_str()))
        .filter(|key| !page.contains(&format!("`{key}`")) && !page.contains(&format!("`{key}.")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_page_names_every_example_and_every_example_is_licensed() {
    let page = read("deploy/producers/README.md");
    let mut n_crates = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/producers")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(page.contains(&format!("[`{name}/`]({name})")), "{name}");
            if let Ok(manifest) = std::fs::read_to_string(path.join("Cargo.toml")) {
                assert!(manifest.contains("license = \"Apache-2.0\"") && path.join("Cargo.lock").exists(), "{name}");
                n_crates += 1;
            }
        }
    }
    assert_eq!(n_crates, 3);
}
