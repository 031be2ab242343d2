use super::super::PanicModel;
use super::*;

fn check(class: &str, status: Option<u16>, expected: &[&str]) {
    let model = PanicModel::builtin().unwrap();
    let found = mismatches(model.response(class).unwrap(), status);
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(words, expected, "{class} {status:?}");
}

#[test]
fn an_answer_that_contradicts_the_class_is_told_in_words() {
    check(
        "index_oob",
        Some(500),
        &["answered 500 where the class says 422", "retry invited (500) where the class says after_change"],
    );
    check("index_oob", Some(501), &["answered 501 where the class says 422"]);
    check("unreachable", Some(503), &["retry invited (503) where the class says never"]);
    check("unreachable", Some(400), &["answered 400 where the class says 500"]);
    check("mutex_poison", Some(404), &["answered 404 where the class says 503"]);
    check("serde", Some(429), &["retry invited (429) where the class says after_change"]);
    check("mutex_poison", Some(501), &[]);
}

#[test]
fn an_answer_that_says_the_same_in_other_words_is_none() {
    check("index_oob", Some(400), &[]);
    check("mutex_poison", Some(500), &[]);
    check("mutex_poison", Some(429), &[]);
    check("unreachable", Some(501), &[]);
}

#[test]
fn no_answer_and_an_answer_sent_before_the_panic_contradict_nothing() {
    for status in [None, Some(0), Some(101), Some(200), Some(204), Some(302), Some(399), Some(600), Some(u16::MAX)] {
        check("index_oob", status, &[]);
        check("unreachable", status, &[]);
    }
}

#[test]
fn names_are_stable_and_told_apart() {
    let model = PanicModel::builtin().unwrap();
    let names = |class: &str, status| {
        let found = mismatches(model.response(class).unwrap(), Some(status));
        found.into_iter().map(Mismatch::name).collect::<Vec<_>>()
    };
    assert_eq!(names("index_oob", 502), ["blames_service", "retry_invited"]);
    assert_eq!(names("unreachable", 422), ["blames_client"]);
    for advice in [RetryAdvice::Safe, RetryAdvice::Later, RetryAdvice::AfterChange, RetryAdvice::Never] {
        assert_eq!(serde_json::to_value(advice).unwrap(), advice.name());
    }
}

#[test]
fn every_class_of_the_model_agrees_with_itself() {
    use super::super::Bucket;
    let model = PanicModel::builtin().unwrap();
    let mut types = std::collections::HashSet::new();
    for class in model.classes() {
        let (id, response) = (&class.id, &class.response);
        assert_eq!(mismatches(response, Some(response.status)), [], "{id}");
        assert!(types.insert(response.problem_type.as_str()), "{id}: {} stands twice", response.problem_type);
        let fits = match class.bucket {
            Bucket::RetrySafe => response.retry.allows_unchanged(),
            Bucket::RetryAfterFix => response.retry == RetryAdvice::AfterChange,
            Bucket::NeverRetry => response.retry == RetryAdvice::Never,
            Bucket::IsolateReset => response.retry != RetryAdvice::Safe,
        };
        assert!(fits, "{id}: {:?} and {:?}", class.bucket, response.retry);
        assert_eq!(response.status == 503, response.retry.allows_unchanged(), "{id}");
        // A client that is blamed must be able to do something about it.
        assert!(response.status >= 500 || response.retry != RetryAdvice::Never || response.status == 413, "{id}");
        let words_allow = response.advice.starts_with("retry ");
        assert_eq!(words_allow, response.retry.allows_unchanged(), "{id}: {}", response.advice);
        if class.secondary {
            assert!(response.retry.allows_unchanged(), "{id}: the sender of a consequence did nothing wrong");
        }
    }
    assert!(types.len() > 60, "{}", types.len());
    assert!(types.contains("urn:panicsift:problem:index-out-of-bounds"));
}

#[test]
fn a_model_may_name_problem_types_by_addresses_of_its_own() {
    let text = include_str!("../../../../models/panics.toml");
    let own = text.replace("\"urn:panicsift:problem:\"", "\"https://api.example.com/problems/\"");
    let model = PanicModel::parse(&own).unwrap();
    assert_eq!(model.response("serde").unwrap().problem_type, "https://api.example.com/problems/body-structure");
}

#[test]
fn faults_of_answers_are_named_by_place() {
    let class = |id: &str, rest: &str| {
        format!("[[class]]\nid = \"{id}\"\nsurface = \"ffi\"\nbucket = \"retry_safe\"\n{rest}\n")
    };
    let text = [
        "version = \"1\"\nproblem_base = \"no uri\"\n".to_owned(),
        class("a", "status = 503\nretry = \"never\"\nadvice = \"\"\nproblem = \"P\"\ntitle = \"\""),
        class("b", "status = 200\nretry = \"perhaps\"\nadvice = \"\"\nproblem = \"same\"\ntitle = \"a\\nb\""),
        class("custom", "status = 500\nretry = \"never\"\nadvice = \"\"\nproblem = \"same\"\ntitle = \"t\""),
    ]
    .concat();
    let faults = PanicModel::parse(&text).unwrap_err().faults;
    for place in [
        "problem_base",
        "class[0].retry",
        "class[0].problem",
        "class[0].title",
        "class[1].status",
        "class[1].retry",
        "class[1].title",
        "class[2].problem",
    ] {
        assert!(faults.iter().any(|fault| fault.place == place), "{place} in {faults:#?}");
    }
}
