//! Tables of evaluation results, with published results for comparison.

use super::outcome::{EvalReport, MeanEstimate, TaskReport};

/// The format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableStyle {
    /// Aligned columns for a terminal.
    Text,
    /// Markdown.
    Markdown,
}

/// The cell of a missing value.
const NO_VALUE: &str = "–";

/// Formats the results of tasks in percent with standard errors; empty without tasks.
pub fn table(report: &EvalReport, style: TableStyle) -> String {
    let tasks = &report.tasks;
    if tasks.is_empty() {
        return String::new();
    }
    let mut models: Vec<&str> = Vec::new();
    for published in tasks.iter().flat_map(|task| &task.published) {
        if !models.contains(&published.model.as_str()) {
            models.push(&published.model);
        }
    }
    let mut rows = vec![["task", "rows", "shots", "acc", "acc_norm"].into_iter().chain(models.iter().copied()).map(String::from).collect::<Vec<_>>()];
    rows.extend(tasks.iter().map(|task| row(task, &models)));
    if tasks.len() > 1 {
        rows.push(mean_row(tasks, &models));
    }
    match style {
        TableStyle::Text => text(&rows),
        TableStyle::Markdown => markdown(&rows),
    }
}

fn row(task: &TaskReport, models: &[&str]) -> Vec<String> {
    let rows = if task.rows == task.rows_in_file { task.rows.to_string() } else { format!("{} of {}", task.rows, task.rows_in_file) };
    let mut cells = vec![task.title.clone(), rows, task.shots.to_string(), format_mean(task.acc), task.acc_norm.map_or(NO_VALUE.into(), format_mean)];
    cells.extend(models.iter().map(|model| published(task, model).map_or(NO_VALUE.into(), percent)));
    cells
}

/// Means over tasks, for columns without missing values.
fn mean_row(tasks: &[TaskReport], models: &[&str]) -> Vec<String> {
    let mean = |figures: Option<Vec<f64>>| figures.map_or(NO_VALUE.into(), |figures| percent(figures.iter().sum::<f64>() / figures.len() as f64));
    let mut cells = vec![format!("mean of {}", tasks.len()), String::new(), String::new()];
    cells.push(mean(tasks.iter().map(|task| Some(100.0 * task.acc.mean)).collect()));
    cells.push(mean(tasks.iter().map(|task| Some(100.0 * task.acc_norm?.mean)).collect()));
    cells.extend(models.iter().map(|model| mean(tasks.iter().map(|task| published(task, model)).collect())));
    cells
}

fn published(task: &TaskReport, model: &str) -> Option<f64> {
    task.published.iter().find(|published| published.model == model).map(|published| published.value)
}

fn percent(value: f64) -> String {
    format!("{value:.1}")
}

fn format_mean(estimate: MeanEstimate) -> String {
    let error = estimate.standard_error.map_or(String::new(), |error| format!(" ± {:.1}", 100.0 * error));
    percent(100.0 * estimate.mean) + &error
}

fn text(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

fn markdown(rows: &[Vec<String>]) -> String {
    let line = |row: &[String]| format!("| {} |\n", row.join(" | "));
    let under = vec!["---".to_string(); rows[0].len()];
    line(&rows[0]) + &line(&under) + &rows[1..].iter().map(|row| line(row)).collect::<String>()
}
