//! The table of settings, in the order of `signet train --help`. Pure.

use super::PathKind::{File, FileOrFolder, Folder};
use super::SettingGroup::{Batch, Evaluation, Guard, Memory, Model, Optimizer, Schedule, Start, Teacher};
use super::SettingKind::{Choice, Flag, Named, Path, Paths, PowerOfTwo, Real, Text, Whole};
use super::setting_value::SettingField;
use super::{NONE, Setting, Words};
use crate::model::PRESET_CHOICES;
use crate::ops::{DIVERGENCE_CHOICES, DIVERGENCE_HELP};

/// Maximum number of steps.
const STEPS: u64 = 1 << 40;
/// The largest integer in TOML.
const LARGEST: u64 = i64::MAX as u64;

const MODELS: Words = &PRESET_CHOICES;
const TEACHERS: Words = &[("embedded", "the built-in teacher"), (NONE, "no teacher: next-token loss only")];
const TOKENIZERS: Words = &[("embedded", "the teacher's, or the built-in one")];
const HELD_OUT: Words = &[(NONE, "a fraction of the text")];
const CACHES: Words = &[(NONE, "the teacher itself is run")];
const INITS: Words = &[("scratch", "random"), ("teacher", "the teacher's weights, which must have the student's shape")];
const LOSSES: Words = &[("ad", "the teacher's distribution"), ("ar", "the next token"), ("mix", "half of each")];
const DIVERGENCES: Words = &DIVERGENCE_CHOICES;
const RECOMPUTATIONS: Words =
    &[("auto", "as few as needed to fit in memory"), ("on", "all in a block"), ("light", "outputs of norms and SwiGLU only"), ("off", "none")];
const MOMENTS: Words = &[("f32", "32 bits"), ("q8", "8-bit codes, a quarter of the memory")];
const STORAGES: Words = &[("f16", "16 bits"), ("f32", "32 bits"), ("q8", "8-bit blocks")];
const PRECISIONS: Words = &[("f32", "32 bits"), ("f16", "16 bits, where that is faster on a GPU")];

/// A row of the table: field of `TrainConfig`, kind, group, position in the group, label, help.
macro_rules! row {
    ($field:ident $(. $inner:ident)?, $kind:expr, $group:expr, $position:expr, $label:expr, $help:expr) => {
        Setting {
            name: concat!(stringify!($field) $(, ".", stringify!($inner))?),
            kind: $kind,
            group: $group,
            position: $position,
            label: $label,
            help: $help,
            option_help: $help,
            value_name: None,
            live: false,
            before: None,
            long: None,
            inverted: false,
            get: |config| SettingField::get(&config.$field $(.$inner)?),
            set: |config, value| SettingField::set(&mut config.$field $(.$inner)?, value),
        }
    };
}

impl Setting {
    /// Sets another help text for its option, where the form lists the named values itself, or the option sets the opposite.
    const fn option_help(self, option_help: &'static str) -> Self {
        Self { option_help, ..self }
    }

    /// Sets the name of its option.
    const fn long(self, long: &'static str) -> Self {
        Self { long: Some(long), ..self }
    }

    /// Makes its option set the opposite value.
    const fn inverted(self) -> Self {
        Self { inverted: true, ..self }
    }

    /// Sets the placeholder of its value in `--help`.
    const fn value_name(self, name: &'static str) -> Self {
        Self { value_name: Some(name), ..self }
    }

    /// Allows it to change during training.
    const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// Sets its value in runs older than the setting.
    const fn before(self, value: &'static str) -> Self {
        Self { before: Some(value), ..self }
    }
}

/// All settings.
pub const SETTINGS: &[Setting] = &[
    row!(model, Named(MODELS, File), Model, 1, "Model", "Model size, or the path of a config.json")
        .option_help("Model size: tiny, 5M, 130M, 1.3B, 7B, 13B, or the path of a config.json"),
    row!(binary, Flag, Model, 2, "Binarize the linear layers", "Off trains in full precision, for a teacher or a baseline")
        .option_help("Train the linear layers in full precision, for a teacher or a baseline")
        .long("full-precision")
        .inverted(),
    // Early versions wrote no line for a run without a teacher.
    row!(
        teacher,
        Named(TEACHERS, FileOrFolder),
        Teacher,
        1,
        "Teacher",
        "Teacher model: embedded, none, a model directory, or a Hugging Face name (owner/name)"
    )
    .before(NONE),
    row!(
        teacher_cache,
        Path(CACHES, Folder),
        Start,
        2,
        "Teacher cache",
        "Train from this cache of teacher probabilities, written by `signet teach`, instead of running the teacher"
    )
    .value_name("DIR")
    .before(NONE),
    row!(eval_teacher, Flag, Start, 3, "Measure against the teacher", "With a teacher cache: also load the teacher, for evaluations on held-out text; this needs the teacher's memory")
        .before("false"),
    row!(
        teacher_storage,
        Choice(STORAGES),
        Memory,
        3,
        "Teacher's matrices",
        "Storage of the teacher's matrices on the device: f16, f32, or q8 (8-bit blocks)"
    )
    .before("f32"),
    row!(
        tokenizer,
        Named(TOKENIZERS, File),
        Teacher,
        2,
        "Tokenizer",
        "Tokenizer: embedded (the teacher's own, or the built-in one if there is none), a tokenizer.json, or the directory of one; special tokens and chat template come from the files beside it"
    ),
    row!(
        data,
        Paths,
        Teacher,
        5,
        "Text to train on",
        "Training text: plain or JSON Lines files, also as .gz or .zst, or glob patterns such as 'books/*.txt'; without any, the embedded corpus"
    ),
    row!(
        field,
        Text,
        Start,
        4,
        "Field of rows",
        "Field to read from JSON Lines; auto reads text, messages (formatted by the model's chat template) or token_ids"
    )
    .value_name("NAME")
    .before("auto"),
    row!(
        held_out_share,
        Real(1e-6, 0.5),
        Evaluation,
        8,
        "Share held out",
        "Fraction of the text to hold out for evaluation: whole documents at regular intervals (0.02: every 50th); the end of the text if it has fewer than 50 documents, or if the fraction is less than one document"
    )
    .value_name("SHARE")
    .before("0.02"),
    row!(held_out, Path(HELD_OUT, File), Evaluation, 9, "Text held out", "Held-out text, a file or a glob pattern, instead of a fraction of the training text")
        .value_name("FILE")
        .before(NONE),
    row!(
        shuffle,
        Whole(0, LARGEST),
        Start,
        5,
        "Shuffle documents",
        "Seed for shuffling whole documents; 0 keeps their order"
    )
    .value_name("SEED")
    .before("0"),
    row!(init, Named(INITS, FileOrFolder), Start, 1, "First weights", "Initial weights: scratch, teacher, or a model directory"),
    row!(loss, Choice(LOSSES), Teacher, 3, "Loss", "Training objective: ad (the teacher's distribution), ar (the next token), or mix (half of each)"),
    row!(divergence, Choice(DIVERGENCES), Teacher, 4, "Divergence", "Divergence from the teacher, for ad and mix")
        .option_help(DIVERGENCE_HELP)
        .before("forward"),
    row!(temperature, Real(0.05, 20.0), Optimizer, 6, "Temperature", "Distillation temperature, which divides the logits of teacher and student"),
    row!(precision, Choice(PRECISIONS), Memory, 4, "Precision", "Precision of matrix products on a GPU: f32, or f16 (half-precision operands where that is faster)").before("f32"),
    row!(loss_scale, PowerOfTwo(24), Memory, 5, "Loss scale", "Loss scale, a power of two; f16 needs 1024 or more"),
    row!(seed, Whole(0, LARGEST), Optimizer, 7, "Seed", "Seed for initial weights and data order"),
    row!(batch, Whole(1, 1 << 16), Batch, 1, "Batch", "Sequences per micro-batch"),
    row!(seq, Whole(1, 1 << 20), Batch, 2, "Sequence length", "Tokens per sequence"),
    row!(accumulate, Whole(1, 1 << 20), Batch, 3, "Accumulate", "Micro-batches per optimizer step (gradient accumulation)"),
    row!(
        recompute,
        Choice(RECOMPUTATIONS),
        Memory,
        1,
        "Compute activations again",
        "Recompute activations in the backward pass instead of storing them (gradient checkpointing): auto (as few as needed to fit in memory), light (norms and SwiGLU only), on, or off"
    )
    .before("off"),
    row!(steps, Whole(1, STEPS), Schedule, 1, "Steps", "Optimizer steps"),
    row!(lr, Real(0.0, 10.0), Schedule, 2, "Learning rate", "Peak learning rate").live(),
    row!(end_lr, Real(0.0, 10.0), Schedule, 4, "Learning rate at the end", "Final learning rate of the cosine schedule"),
    row!(warmup, Whole(0, STEPS), Schedule, 3, "Warm-up", "Linear warmup steps"),
    row!(moments, Choice(MOMENTS), Memory, 2, "Moments", "Storage of AdamW's moments: f32, or q8 (blocks of 8-bit codes)").before("f32"),
    row!(weight_decay, Real(0.0, 10.0), Optimizer, 4, "Weight decay", "Weight decay of AdamW"),
    row!(clip, Real(1e-6, 1e30), Optimizer, 5, "Clip", "Maximum gradient norm (gradient clipping)"),
    row!(beta1, Real(0.0, 0.999_999), Optimizer, 1, "Beta 1", "AdamW β₁, the decay rate of the mean of gradients"),
    row!(beta2, Real(0.0, 0.999_999), Optimizer, 2, "Beta 2", "AdamW β₂, the decay rate of the mean of squared gradients"),
    row!(epsilon, Real(1e-30, 1.0), Optimizer, 3, "Epsilon", "AdamW ε, added to the denominator of the update"),
    row!(eval_every, Whole(0, STEPS), Evaluation, 1, "Evaluate every", "Steps between evaluations on held-out text; 0 evaluates only at checkpoints"),
    row!(eval_batches, Whole(1, 1 << 20), Evaluation, 2, "Held-out batches", "Batches per evaluation on held-out text"),
    row!(sample_every, Whole(0, STEPS), Evaluation, 3, "Sample every", "Steps between text samples; 0 disables them"),
    row!(sample_prompt, Text, Evaluation, 4, "Sample prompt", "Prompt of the text samples").live(),
    row!(sample_tokens, Whole(0, 1 << 16), Evaluation, 5, "Sample tokens", "Tokens to generate per text sample"),
    row!(checkpoint_every, Whole(0, STEPS), Evaluation, 6, "Checkpoint every", "Steps between checkpoints; 0 writes only one at the end"),
    row!(keep, Whole(1, 1 << 20), Evaluation, 7, "Checkpoints kept", "Checkpoints to keep, in addition to the best one"),
    row!(guard.enabled, Flag, Guard, 1, "Guard", "Skip steps whose gradient norm spikes, and roll back after several spikes of norm or loss in a row; values that are not finite are always handled so")
        .option_help("Skip steps whose gradient norm spikes, and roll back after several spikes of norm or loss in a row; --guard=false does so only for values that are not finite")
        .long("guard"),
    row!(guard.window, Whole(1, 1 << 16), Guard, 2, "Guard: window", "Guard: number of past steps in its statistics").value_name("STEPS"),
    row!(guard.patience, Whole(1, 1 << 16), Guard, 3, "Guard: patience", "Guard: number of steps to observe before it acts").value_name("STEPS"),
    row!(guard.norm_z, Real(0.0, 1e9), Guard, 4, "Guard: norm z", "Guard: skip a step if the robust z-score of its gradient norm is above this").value_name("Z"),
    row!(guard.loss_z, Real(0.0, 1e9), Guard, 5, "Guard: loss z", "Guard: count a step as a spike if the robust z-score of its loss is above this").value_name("Z"),
    row!(guard.tolerate, Whole(1, 1 << 20), Guard, 6, "Guard: tolerate", "Guard: roll back after this many consecutive spikes or skipped steps")
        .value_name("STEPS"),
    row!(guard.rollbacks, Whole(0, 1 << 20), Guard, 7, "Guard: rollbacks", "Guard: stop the run after this many rollbacks").value_name("N"),
];
