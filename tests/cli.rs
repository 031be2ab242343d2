//! The binary as a user meets it: help, exit codes, faults, schemas, completions, manual pages, closed pipes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn panicsift() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    panicsift().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that must end with `code`; gives standard output and standard error.
fn check(arguments: &[&str], code: i32) -> (String, String) {
    let output = run(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn help_goes_to_standard_output_and_teaches_by_example() {
    for command in ["demo", "run", "replay", "report", "validate", "schema", "completions", "man"] {
        let (out, err) = check(&[command, "--help"], 0);
        assert!(out.contains("Examples:\n  panicsift"), "{command}: {out}");
        assert!(err.is_empty(), "{command}: {err}");
    }
    let (out, _) = check(&["--help"], 0);
    assert!(out.contains("Exit codes: 0 done, 1 failed, 2"), "{out}");
    assert!(!out.contains('\u{1b}'), "colour in a pipe");
}

#[test]
fn the_readme_s_configuration_is_valid_and_its_commands_exist() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (config, _) = rest.split_once("```").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let key = written(dir.path(), "elastic-key", "aWQ6a2V5");
    let config = config.replace("/run/credentials/elastic-key", key.to_str().unwrap());
    let path = written(dir.path(), "config.toml", &config);
    let output = panicsift()
        .args(["validate", "--config", path.to_str().unwrap()])
        .env("SPLUNK_TOKEN", "12345678-1234-1234-1234-123456789012")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));

    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("panicsift "));
    let names: Vec<&str> = commands.filter_map(|rest| rest.split(' ').next()).collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        check(&[name, "--help"], 0);
    }
}

#[test]
fn the_version_is_told() {
    assert_eq!(check(&["--version"], 0).0, format!("panicsift {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_known() {
    for arguments in [
        vec![],
        vec!["sift"],
        vec!["run"],
        vec!["replay"],
        vec!["report"],
        vec!["report", "list", "--limit", "0"],
        vec!["report", "list", "--format", "xml"],
        vec!["validate", "--config"],
        vec!["schema", "config.v1", "--write", "x"],
        vec!["--log-level", "loud", "schema"],
    ] {
        let (out, err) = check(&arguments, 2);
        assert!(out.is_empty(), "{arguments:?}: {out}");
        assert!(
            ["Usage:", "possible values", " is not in ", "a value is required"].iter().any(|help| err.contains(help)),
            "{arguments:?}: {err}"
        );
    }
}

#[test]
fn a_configuration_with_ten_faults_gives_ten_lines_and_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = written(
        dir.path(),
        "faulty.toml",
        "[source]\nbrokers = [\"kafka\"]\ntopic = [\"events\"]\n[state]\nretention_hours = \"long\"\n\
         [privacy]\nkey = \"plain text canary\"\n[admin]\nlisten = \"everywhere\"\n[dead_letters]\ntopic = \"a\"\npath = \"b\"\n\
         [log]\nlevel = \"loud\"\n[[destination]]\nkind = \"splunk\"\nname = \"s\"\nurl = \"ftp://x\"\n",
    );
    let faulty = faulty.to_str().unwrap();
    let places = [
        "admin.listen",
        "dead_letters.path",
        "destination[0].token",
        "destination[0].url",
        "log.level",
        "privacy.key",
        "source.brokers[0]",
        "source.topic",
        "source.topics",
        "state.retention_hours",
    ];
    for command in ["validate", "run"] {
        let (out, err) = check(&[command, "--config", faulty], 2);
        assert!(out.is_empty(), "{out}");
        assert!(!err.contains("canary"), "{err}");
        let lines: Vec<_> = err.lines().collect();
        assert_eq!(lines.len(), places.len(), "{err}");
        for (line, place) in lines.iter().zip(places) {
            assert!(line.starts_with(&format!("{place}: ")), "{line} is not about {place}");
        }
    }
    let (out, _) = check(&["validate", "--json", "--config", faulty], 2);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["valid"], false);
    let paths: Vec<_> =
        told["faults"].as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert_eq!(paths, places);
}

#[test]
fn a_valid_configuration_is_printed_with_defaults_and_without_secrets() {
    let (out, err) = check(&["validate", "--config", "deploy/config.example.toml"], 0);
    assert!(out.contains("offset_reset = \"error\""), "{out}");
    assert!(err.is_empty(), "{err}");

    let dir = tempfile::tempdir().unwrap();
    let text = "[source]\nbrokers = [\"k:1\"]\ntopics = [\"t\"]\n[privacy]\nkey = { env = \"CLI_TEST_KEY\" }\n[tables]\nasn = \"absent\"\n";
    let config = written(dir.path(), "config.toml", text);
    let output = panicsift()
        .args(["validate", "--config"])
        .arg(config)
        .env("CLI_TEST_KEY", "canary-0123456789")
        .output()
        .unwrap();
    let (out, err) = (self::text(&output.stdout), self::text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(out.contains("key = \"*** (from the environment variable CLI_TEST_KEY)\""), "{out}");
    assert!(!out.contains("canary") && !err.contains("canary"), "{out}{err}");
    assert!(err.starts_with("warning: tables.asn: there is no file"), "{err}");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let (_, err) = check(&["run", "--config", "absent.toml"], 2);
    assert!(err.contains("absent.toml"), "{err}");
}

#[test]
fn a_key_file_that_is_too_short_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = written(dir.path(), "key", "short\n");
    let (_, err) = check(&["replay", "--key-file", key.to_str().unwrap(), "-"], 2);
    assert!(err.contains("at least 16 bytes"), "{err}");
}

#[test]
fn committed_schemas_are_those_of_the_types() {
    let (names, _) = check(&["schema"], 0);
    assert_eq!(names, "panic-event.v1\nrequest-totals.v1\nrequest-sample.v1\ndead-letter.v1\nalert.v1\nconfig.v1\n");
    for name in names.lines() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.json"));
        let committed = std::fs::read_to_string(&path).unwrap();
        assert_eq!(check(&["schema", name], 0).0, committed, "run `panicsift schema --write schemas`");
    }
    let dir = tempfile::tempdir().unwrap();
    let (written, _) = check(&["schema", "--write", dir.path().to_str().unwrap()], 0);
    assert_eq!(written.lines().count(), names.lines().count());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), names.lines().count());
}

#[test]
fn a_schema_that_is_not_there_ends_with_1() {
    let (_, err) = check(&["schema", "horoscope.v1"], 1);
    assert!(err.contains("`panicsift schema` lists them"), "{err}");
    check(&["schema", "--write", "absent/folder"], 1);
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (out, _) = check(&["completions", shell], 0);
        assert!(out.contains("replay") && out.contains("explain"), "{shell}");
    }
}

#[test]
fn manual_pages_are_printed_and_written() {
    let (out, _) = check(&["man"], 0);
    assert!(out.contains(".TH panicsift 1"), "{out}");
    let dir = tempfile::tempdir().unwrap();
    check(&["man", dir.path().to_str().unwrap()], 0);
    assert!(dir.path().join("panicsift.1").is_file());
    assert!(dir.path().join("panicsift-replay.1").is_file());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in [&["schema", "config.v1"][..], &["completions", "zsh"], &["man"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = panicsift().args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn the_unit_file_names_commands_and_options_that_exist() {
    let unit = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/panicsift.service")).unwrap();
    let mut commands = 0;
    for line in unit.lines().filter(|line| line.starts_with("Exec")) {
        let mut words = line.split_whitespace().skip(1);
        let (command, option) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (help, _) = check(&[command, "--help"], 0);
        assert!(help.contains(option), "{command} has no {option}");
        commands += 1;
    }
    assert_eq!(commands, 2);
}
