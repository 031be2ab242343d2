//! The binary: reads the command line, opens the log, calls one function for each command, and ends with its exit code.
//!
//! No logic. Results go to standard output, logs and faults to standard error; a reader that goes away is no failure.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Parser;

use panicsift::cli::{
    Cli, Command, CompletionsArgs, DeadLettersArgs, DeadLettersDeed, DemoArgs, EXIT_DONE, EXIT_FAILED, EXIT_USAGE,
    InspectArgs, LabelArgs, LabelDeed, ManArgs, OutboxArgs, OutboxDeed, OutputArgs, Question, ReplayArgs, ReportArgs,
    ReportForm, RunArgs, SchemaArgs, SetupArgs, SetupTarget, TopArgs, TrainArgs, TriageArgs, ValidateArgs,
};
use panicsift::config::{self, ConfigFaults, LogLevel, LogSettings, Settings};
use panicsift::{app, cli, logging, report, schemas};

/// Where results go.
type Out = BufWriter<Stdout>;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // The help is a result, too: that its reader has gone away is no failure.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { EXIT_DONE });
        }
    };
    let mut out = BufWriter::new(io::stdout());
    let done = dispatch(cli.command, cli.output, &mut out).and_then(|()| Ok(out.flush()?));
    ExitCode::from(match done {
        Ok(()) => EXIT_DONE,
        Err(error) if is_broken_pipe(&error) => EXIT_DONE,
        Err(error) => {
            let faults = error.downcast_ref::<ConfigFaults>();
            // A file name can hold anything, and the system repeats it.
            let line = || report::sheet::printable(&format!("error: {error:#}"));
            let told = faults.map_or_else(line, ToString::to_string);
            // Nobody is left to be told when standard error is closed.
            drop(writeln!(io::stderr(), "{told}"));
            if faults.is_some() { EXIT_USAGE } else { EXIT_FAILED }
        }
    })
}

fn dispatch(command: Command, output: OutputArgs, out: &mut Out) -> Result<()> {
    match command {
        Command::Demo(args) => demo(args, output, out),
        Command::Run(args) => run(&args, output),
        Command::Inspect(args) => inspect(args, output, out),
        Command::Replay(args) => replay(args, output, out),
        Command::Train(args) => train(args, output, out),
        Command::Report(args) => ask(args, output, out),
        Command::Top(args) => top(args, output, out),
        Command::Triage(args) => triage(args, output, out),
        Command::Label(args) => label(args, output, out),
        Command::Outbox(args) => outbox(args, output, out),
        Command::DeadLetters(args) => dead_letters(args, output, out),
        Command::Setup(args) => setup(args, output, out),
        Command::Validate(args) => validate(&args, out),
        Command::Schema(args) => schema(&args, out),
        Command::Completions(args) => completions(&args, out),
        Command::Man(args) => man(&args, out),
    }
}

fn demo(args: DemoArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    start_log(output, LogSettings::default());
    let demo = runtime()?.block_on(app::demo(args.dir))?;
    let question = report::Question::List(report::Selection::default());
    report::answer(&demo.store, &question, report::Format::Table, out)?;
    Ok(write!(out, "{}", cli::after_demo(&demo))?)
}

fn run(args: &RunArgs, output: OutputArgs) -> Result<()> {
    let settings = Settings::load(&args.config)?;
    start_log(output, settings.log);
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    runtime()?.block_on(app::run(settings))
}

fn replay(args: ReplayArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    let settings = args.config.as_deref().map(Settings::load).transpose()?;
    start_log(output, settings.as_ref().map(|settings| settings.log).unwrap_or_default());
    let key = args.key_file.as_deref().map(config::read_key_file).transpose()?;
    let format = if args.json { report::Format::Json } else { report::Format::Table };
    let state = runtime()?.block_on(app::replay(args.options(settings, key)))?;
    report::list(&state, report::Selection::default(), format, out)
}

fn inspect(args: InspectArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    start_log(output, LogSettings::default());
    let counts = runtime()?.block_on(app::inspect(&args.inspection(app::wall_clock()), out))?;
    let n_of = |fate| counts.get(fate).copied().unwrap_or(0);
    tracing::info!(
        events = n_of("events"),
        parts = n_of("parts"),
        without_panic = n_of("without_panic"),
        refused = n_of("refused"),
        "records, by what they tell"
    );
    Ok(())
}

fn train(args: TrainArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    start_log(output, LogSettings::default());
    runtime()?.block_on(app::train(args.options(), out))
}

fn ask(args: ReportArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    start_log(output, LogSettings::default());
    let (store, form) = (&args.store, args.format);
    let rows = || form.of_rows().ok_or_else(not_a_form);
    match args.question {
        Question::Clusters(question) => report::answer(store, &question.into(), rows()?, out),
        Question::Surfaces(asked) => {
            let models = settings(asked.config.as_deref())?.map(|settings| settings.models).unwrap_or_default();
            let form = form.of_surfaces().ok_or_else(not_a_form)?;
            report::surfaces::answer(store, &asked.into(), &models, form, out)
        }
        Question::Telemetry(asked) => {
            let models = settings(asked.config.as_deref())?.map(|settings| settings.models).unwrap_or_default();
            report::telemetry::answer(store, &asked.into(), &models, rows()?, out)
        }
        Question::RetryPolicy(asked) => {
            let form = form.of_retry_policy().ok_or_else(not_a_form)?;
            report::retry_policy::answer(store, asked.service.as_deref(), form, out)
        }
        Question::Releases(asked) => {
            let rules = settings(asked.config.as_deref())?.map(|settings| settings.alerts.operations);
            let (period, rules) = (asked.period(), rules.unwrap_or_default().rollback);
            let question = report::releases::Question { service: asked.service, period, rules };
            report::releases::answer(store, &question, rows()?, out)
        }
        Question::Budget(asked) => {
            let configured = settings(asked.config.as_deref())?.map(|settings| settings.alerts.operations.slos);
            report::budget::answer(store, &asked.question(), configured, rows()?, out)
        }
        Question::Postmortem(asked) => {
            let form = form.of_document().ok_or_else(not_a_form)?;
            let (question, file) = asked.question();
            report::postmortem::answer(store, &question, form, file.as_ref(), out)
        }
        Question::Kpi(asked) => report::kpi::answer(store, &asked.into(), rows()?, out),
        // `table` is what the form is when none was typed.
        Question::Html(asked) => match (form, asked.file()) {
            (ReportForm::Table | ReportForm::Html, Some(path)) => report::html::save(store, asked.n_max(), path),
            (ReportForm::Table | ReportForm::Html, None) => report::html::answer(store, asked.n_max(), out),
            _ => Err(not_a_form()),
        },
    }
}

fn settings(config: Option<&Path>) -> Result<Option<Settings>> {
    Ok(config.map(Settings::load).transpose()?)
}

fn not_a_form() -> anyhow::Error {
    anyhow!(
        "this question has no answer in that form: sarif is for `report surfaces`, toml and envoy for `retry-policy`, md \
         and html for `postmortem`; all others answer as a table, as JSON or as CSV"
    )
}

fn top(args: TopArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    // A line of the log would be written over the screen: only faults are, unless more is asked for.
    let level = output.log_level.or(Some(LogLevel::Error));
    start_log(OutputArgs { log_level: level, ..output }, LogSettings::default());
    runtime()?.block_on(app::top(args.options(!output.no_color && !config::no_color()), out))
}

fn triage(args: TriageArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    start_log(output, LogSettings::default());
    let (store, look) = args.look();
    match look.every {
        Some(_) => report::triage::watch(&store, &look, out),
        None => report::triage::answer(&store, &look, out),
    }
}

fn label(args: LabelArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    if let Some(LabelDeed::Export(export)) = args.deed {
        let settings = export.config.as_deref().map(Settings::load).transpose()?;
        start_log(output, settings.as_ref().map(|settings| settings.log).unwrap_or_default());
        let key = export.key_file.as_deref().map(config::read_key_file).transpose()?;
        return runtime()?.block_on(app::label::export(export.order(args.store, settings, key), out));
    }
    start_log(output, LogSettings::default());
    let (store, format) = (args.store.clone(), args.word.format);
    match args.word.order(args.store) {
        Some((cluster, order)) => {
            let subject = report::label::subject(&store, &cluster, order.call.is_none())?;
            app::label::say(&order, &subject, out)
        }
        None => report::label::list(&store, format, out),
    }
}

fn outbox(args: OutboxArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    start_log(output, LogSettings::default());
    match args.deed {
        OutboxDeed::List(list) => {
            let format = list.format;
            report::outbox::list(&args.store, &list.question(), app::wall_clock(), format, out)
        }
        OutboxDeed::Retry(retry) => {
            let (operator, choice, out_of_order) = retry.deed(args.store);
            app::outbox::retry(&operator, &choice, out_of_order, out)
        }
        OutboxDeed::Drop(drop) => {
            let (operator, choice) = drop.deed(args.store);
            app::outbox::give_up(&operator, &choice, out)
        }
    }
}

fn dead_letters(args: DeadLettersArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    let settings = args.config.as_deref().map(Settings::load).transpose()?;
    start_log(output, settings.as_ref().map(|settings| settings.log).unwrap_or_default());
    let letters = app::dead_letters::LetterBox::new(settings, args.file, args.store)?;
    match args.deed {
        DeadLettersDeed::List(list) => {
            let limit = list.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
            let mut listing = report::dead_letters::Listing::new(list.format, limit);
            let n_unreadable = letters.read(&list.filter.into(), |place, letter| {
                listing.add(place, letter);
                Ok(())
            })?;
            listing.tell(&letters.replayed()?, n_unreadable, out)
        }
        DeadLettersDeed::Show(show) => {
            let (place, letter) = letters.find(&show.letter)?;
            let payload =
                app::dead_letters::payload(&letter, app::dead_letters::identities(show.identity.as_deref())?.as_ref());
            if show.raw {
                return Ok(out.write_all(&payload?)?);
            }
            report::dead_letters::show(&place, &letter, &payload, out)
        }
        DeadLettersDeed::Replay(replay) => {
            let identities = app::dead_letters::identities(replay.identity.as_deref())?;
            app::dead_letters::replay(&letters, replay.order(identities), runtime()?.handle(), out)
        }
        DeadLettersDeed::Purge(purge) => app::dead_letters::purge(&letters, &purge.order(app::wall_clock()), out),
    }
}

fn setup(args: SetupArgs, output: OutputArgs, out: &mut Out) -> Result<()> {
    let SetupTarget::Elastic(args) = args.target;
    let settings = args.config.as_deref().map(Settings::load).transpose()?;
    start_log(output, settings.as_ref().map(|settings| settings.log).unwrap_or_default());
    let (destination, product) = (args.destination.as_deref(), args.product.map(Into::into));
    match &settings {
        Some(settings) if !args.print => {
            let mut told = String::new();
            let done = runtime()?.block_on(app::setup_elastic(settings, destination, product, &mut told));
            out.write_all(told.as_bytes())?;
            done
        }
        _ => Ok(out.write_all(app::print_elastic(settings.as_ref(), destination, product)?.as_bytes())?),
    }
}

fn validate(args: &ValidateArgs, out: &mut Out) -> Result<()> {
    match Settings::load(&args.config) {
        Ok(settings) if args.json => {
            let told = serde_json::json!({"valid": true, "faults": [], "warnings": settings.warnings});
            writeln!(out, "{told}")?;
        }
        Ok(settings) => {
            settings.warnings.iter().try_for_each(|warning| writeln!(io::stderr(), "warning: {warning}"))?;
            out.write_all(settings.render_redacted().as_bytes())?;
        }
        Err(faults) => {
            if args.json {
                writeln!(out, "{}", faults.to_json())?;
            }
            return Err(faults.into());
        }
    }
    Ok(())
}

fn schema(args: &SchemaArgs, out: &mut Out) -> Result<()> {
    let schemas = schemas::schemas();
    match (&args.write, &args.name) {
        (Some(dir), _) => {
            for (name, schema) in &schemas {
                let path = dir.join(format!("{name}.json"));
                std::fs::write(&path, schemas::render(schema)).with_context(|| path.display().to_string())?;
                writeln!(out, "{}", path.display())?;
            }
        }
        (None, Some(wanted)) => {
            let found = schemas.iter().find(|(name, _)| name == wanted);
            let (_, schema) =
                found.ok_or_else(|| anyhow!("there is no schema of this name; `panicsift schema` lists them"))?;
            out.write_all(schemas::render(schema).as_bytes())?;
        }
        (None, None) => schemas.iter().try_for_each(|(name, _)| writeln!(out, "{name}"))?,
    }
    Ok(())
}

fn completions(args: &CompletionsArgs, out: &mut Out) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "panicsift", &mut script);
    Ok(out.write_all(&script)?)
}

fn man(args: &ManArgs, out: &mut Out) -> Result<()> {
    match &args.dir {
        Some(dir) => clap_mangen::generate_to(cli::command(), dir).with_context(|| dir.display().to_string()),
        None => Ok(clap_mangen::Man::new(cli::command()).render(out)?),
    }
}

/// What was typed goes before what the configuration says.
fn start_log(output: OutputArgs, settings: LogSettings) {
    let level = output.log_level.unwrap_or(settings.level);
    let format = output.log_format.unwrap_or(settings.format);
    logging::start(LogSettings { level, format }, !output.no_color && !config::no_color());
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the task runtime could not be started")
}

/// Whether whoever read our results has gone away.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe))
}
