//! Reading all annotations of a project.

use super::super::api::parse;
use super::super::app::App;
use super::super::problem::Problem;
use super::project::{Annotation, Task, fields};
use crate::panics::caught;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks whether another one has read them.
const STEP: Duration = Duration::from_millis(100);

/// Reads all annotations of a project where that is due. It goes on where nobody waits any more; who comes meanwhile waits for it.
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
    let (asking, id) = (app.clone(), id.to_owned());
    let read = app.fetching(move || {
        // A panic must not leave others waiting.
        let all =
            caught(|| asking.projects.source.annotations(&id, token.as_deref()).and_then(|bytes| exported(&bytes)));
        let all = all.unwrap_or_else(|panic| Err(Problem::internal(panic)));
        if let Err(problem) = &all {
            log::warn!("the annotations of project {id} cannot be read: {}", problem.detail);
        }
        asking.projects.with(&id, |project| {
            project.end(began, all);
            project.check()
        })
    });
    read.await
}

/// The newest annotations of an export.
fn exported(bytes: &[u8]) -> Result<Vec<(i64, Annotation)>, Problem> {
    let tasks: Vec<Task> = parse(bytes)?;
    let mut all = Vec::new();
    for task in &tasks {
        let fields = fields(&task.data);
        all.extend(task.annotations.iter().map(|sent| (sent.id, Annotation::new(sent, &fields))));
    }
    Ok(all.into_iter().filter_map(|(id, made)| Some((id, made?))).collect())
}
