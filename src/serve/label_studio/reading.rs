//! Reading all annotations of a project.

use super::super::api::parse;
use super::super::app::App;
use super::super::problem::Problem;
use super::project::{Annotation, Began, MOST_ANNOTATIONS, Task, fields};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Interval between checks whether another reading has ended.
const STEP: Duration = Duration::from_millis(100);

/// A running reading. Others wait for it, so dropping it ends it in any case: after a panic, or if the client leaves before a thread
/// starts it.
struct Reading {
    app: Arc<App>,
    id: String,
    began: Option<Began>,
}

impl Reading {
    fn end(mut self, all: Result<Vec<(i64, Annotation)>, Problem>) -> Result<(), Problem> {
        let began = self.began.take();
        self.app.projects.with(&self.id, |project| {
            if let Some(began) = began {
                project.end(began, all);
            }
            project.check()
        })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.began.is_some() {
            self.app.projects.with(&self.id, |project| project.give_up());
        }
    }
}

/// Reads all annotations of a project if due. A reading continues even if its client leaves; later requests wait for it.
pub async fn all(app: &Arc<App>, id: &str) -> Result<(), Problem> {
    if !app.projects.source.is_known() {
        return Ok(());
    }
    let (began, token) = app.projects.with(id, |project| (project.begin(), project.token.clone()));
    let Some(began) = began else {
        while app.projects.with(id, |project| project.is_being_read()) {
            sleep(STEP).await;
        }
        return app.projects.with(id, |project| project.check());
    };
    let reading = Reading { app: app.clone(), id: id.to_owned(), began: Some(began) };
    let read = app.fetching(move || {
        let bytes = reading.app.projects.source.annotations(&reading.id, token.as_deref());
        let all = bytes.and_then(|bytes| exported(&bytes));
        if let Err(problem) = &all {
            log::warn!("the annotations of project {} cannot be read: {}", reading.id, problem.detail);
        }
        reading.end(all)
    });
    read.await
}

/// The newest annotations of an export.
fn exported(bytes: &[u8]) -> Result<Vec<(i64, Annotation)>, Problem> {
    let tasks: Vec<Task> = parse(bytes)?;
    let mut all: Vec<_> = tasks.iter().flat_map(|task| task.annotations.iter().map(move |sent| (sent, task))).collect();
    all.sort_by_key(|(sent, _)| Reverse(sent.id));
    let made = all.into_iter().filter_map(|(sent, task)| Some((sent.id, Annotation::new(sent, &fields(&task.data))?)));
    Ok(made.take(MOST_ANNOTATIONS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_of_an_export_are_taken() {
        let region = json!([{"type": "polygon", "value": {"points": [[0, 0], [1, 0], [1, 1]]}}]);
        let many = 2 * MOST_ANNOTATIONS as i64;
        let sent = |id: i64| json!({"id": id, "result": region, "was_cancelled": id % 2 == 1});
        let tasks: Vec<_> =
            (0..many).map(|id| json!({"data": {"image": "/a.png"}, "annotations": [sent(id)]})).collect();
        let all = exported(json!(tasks).to_string().as_bytes()).unwrap();
        assert_eq!((all.len(), all[0].0, all[1].0), (MOST_ANNOTATIONS, many - 2, many - 4));
        assert!(exported(b"{}").is_err());
    }
}
