//! `signet chat`.

use super::options::{DeviceOption, ModelOptions, PlanOptions, SamplingOptions};
use super::output::{self, put};
use anyhow::{Context, Result, bail};
use clap::Args;
use signet::runner::{ChatRequest, Command, Event, Runner};
use std::io::{BufRead, IsTerminal, Read};

/// Most bytes of a message.
const LONGEST: u64 = 64 << 20;

/// Talk with a model: a line is a message. /reset forgets what was said, /quit leaves; Ctrl-C stops a reply.
#[derive(Args)]
pub(super) struct Chat {
    /// What the system says first, if the model's template knows it.
    #[arg(long)]
    system: Option<String>,
    #[command(flatten)]
    of: ModelOptions,
    /// Tokens the conversation may have before its oldest turns are dropped; the model's context, but 4096 at most.
    #[arg(long)]
    context: Option<usize>,
    /// One JSON object per event.
    #[arg(long)]
    json: bool,
    /// Say after each reply how fast it was.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    plan: PlanOptions,
    #[command(flatten)]
    sampling: SamplingOptions,
}

impl Chat {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { of, system, context, json, verbose, plan, sampling } = self;
        if plan.plan {
            return plan.print(of, context, json, runner);
        }
        let ModelOptions { model, at: DeviceOption { device } } = of;
        let request = ChatRequest { model, snapshot: None, teacher: None, device, context, system, request: sampling.request() };
        let person = std::io::stdin().is_terminal();
        let mut show = |event: Event| match &event {
            event if json => output::put_json(event),
            Event::Text { text } => put(text),
            Event::Generated(report) => {
                put("\n");
                if verbose {
                    output::note(&output::summary(report));
                }
            }
            Event::Forgotten { messages } => output::note(&format!("(the conversation outgrew the context: its oldest {messages} messages were forgotten)")),
            Event::Note { text } => output::note(&format!("({text})")),
            event => output::loaded(event),
        };
        runner.run(Command::OpenChat(Box::new(request)), &mut show)?;
        if person && !json {
            output::note("Type a message. /reset forgets what was said, /quit leaves, Ctrl-C stops a reply.");
        }
        while let Some(line) = listen(runner, person && !json)? {
            match line.trim() {
                "" => {}
                "/quit" | "/exit" => break,
                "/reset" => {
                    runner.run(Command::ResetChat, &mut show)?;
                    show(Event::Note { text: "what was said is forgotten".into() });
                }
                text => say(runner, text, person, &mut show)?,
            }
        }
        Ok(())
    }
}

/// The next line; `None` when there are no more. Ctrl-C leaves at once meanwhile: to the handler
/// it looks as if a stop had been asked for before.
fn listen(runner: &Runner, prompt: bool) -> Result<Option<String>> {
    if prompt {
        put("> ");
    }
    runner.stop().ask();
    let mut line = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST).read_until(b'\n', &mut line).context("standard input")?;
    runner.stop().clear();
    if read as u64 == LONGEST {
        bail!("standard input: a message is at most {} MB long", LONGEST >> 20);
    }
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}

/// A message and its reply. An error ends a dialogue that is piped in, and no other.
fn say(runner: &mut Runner, text: &str, person: bool, show: &mut dyn FnMut(Event)) -> Result<()> {
    match runner.run(Command::Say { text: text.into() }, show) {
        Err(error) if person => {
            output::note(&format!("error: {error:#}"));
            Ok(())
        }
        other => other,
    }
}
