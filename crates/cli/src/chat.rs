//! `signet chat`.

use super::options::{DeviceOption, ModelOptions, PlanOptions, SamplingOptions};
use super::output::{self, put};
use anyhow::{Context, Result, bail};
use clap::Args;
use signet::runner::{ChatRequest, Command, Event, Runner};
use std::io::{BufRead, IsTerminal, Read};

/// Maximum size of a message in bytes.
const MAX_MESSAGE: u64 = 64 << 20;

/// Chat with a model. One line is one message; /reset clears the conversation, /quit exits, Ctrl-C stops a reply.
#[derive(Args)]
pub(super) struct Chat {
    /// System prompt, if the model's chat template has one.
    #[arg(long)]
    system: Option<String>,
    #[command(flatten)]
    pub(super) of: ModelOptions,
    /// Maximum tokens of the conversation, above which its oldest turns are dropped [default: the model's context, at most 4096].
    #[arg(long)]
    context: Option<usize>,
    /// Print one JSON object per event.
    #[arg(long)]
    json: bool,
    /// Print the speed after each reply.
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
        let ModelOptions { model, at: DeviceOption { device }, .. } = of;
        let request = ChatRequest { model, snapshot: None, teacher: None, device, context, system, request: sampling.request() };
        let is_terminal = std::io::stdin().is_terminal();
        let mut show = |event: Event| match &event {
            event if json => output::put_json(event),
            Event::Text { text } => put(text),
            Event::Generated(report) => {
                put("\n");
                if verbose {
                    output::note(&output::summary(report));
                }
            }
            Event::MessagesDropped { messages } => output::note(&format!("(the context is full: the oldest {messages} messages were dropped)")),
            Event::Note { text } => output::note(&format!("({text})")),
            event => output::loaded(event),
        };
        runner.run(Command::OpenChat(Box::new(request)), &mut show)?;
        if is_terminal && !json {
            output::note("Type a message. /reset clears the conversation, /quit exits, Ctrl-C stops a reply.");
        }
        while let Some(line) = read_message(runner, is_terminal && !json)? {
            match line.trim() {
                "" => {}
                "/quit" | "/exit" => break,
                "/reset" => {
                    runner.run(Command::ResetChat, &mut show)?;
                    show(Event::Note { text: "conversation cleared".into() });
                }
                text => send(runner, text, is_terminal, &mut show)?,
            }
        }
        Ok(())
    }
}

/// Reads the next line; none at the end of the input. Ctrl-C exits at once meanwhile, because the handler sees an earlier stop
/// request.
fn read_message(runner: &Runner, prompt: bool) -> Result<Option<String>> {
    if prompt {
        put("> ");
    }
    runner.stop().request();
    let mut line = Vec::new();
    let read = std::io::stdin().lock().take(MAX_MESSAGE).read_until(b'\n', &mut line).context("standard input")?;
    runner.stop().clear();
    if read as u64 == MAX_MESSAGE {
        bail!("cannot read standard input: a message is longer than {} MB", MAX_MESSAGE >> 20);
    }
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}

/// Sends a message and shows the reply. An error ends the chat only if its input is not a terminal.
fn send(runner: &mut Runner, text: &str, is_terminal: bool, show: &mut dyn FnMut(Event)) -> Result<()> {
    match runner.run(Command::SendMessage { text: text.into() }, show) {
        Err(error) if is_terminal => {
            output::note(&format!("error: {error:#}"));
            Ok(())
        }
        other => other,
    }
}
