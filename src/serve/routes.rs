//! The routes.

use super::app::App;
use super::describe::OPENAPI;
use super::guard::guard;
use super::problem::Problem;
use super::{anylabeling, api, label_studio, page};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};
use std::sync::Arc;

/// An address, its methods and handlers.
type Route = (&'static str, &'static [&'static str], MethodRouter<Arc<App>>);

fn all() -> Vec<Route> {
    vec![
        ("/health", &["get"], get(api::health)),
        ("/metrics", &["get"], get(api::metrics)),
        ("/setup", &["post"], post(label_studio::setup)),
        ("/predict", &["post"], post(label_studio::predict)),
        ("/webhook", &["post"], post(label_studio::webhook)),
        ("/v1/models", &["get"], get(anylabeling::models)),
        ("/v1/models/{id}/info", &["get"], get(anylabeling::info)),
        ("/v1/predict", &["post"], post(anylabeling::predict)),
        ("/v1/banks", &["get", "post"], get(api::banks).post(api::make)),
        ("/v1/banks/{id}", &["delete"], delete(api::remove)),
        ("/v1/masks", &["post"], post(api::mask)),
        ("/v1/segment", &["post"], post(api::segment)),
    ]
}

pub fn router(app: &Arc<App>) -> Router {
    let api = all().into_iter().fold(Router::new(), |router, (path, _, answer)| router.route(path, answer));
    let of_page = page::all()
        .fold(api, |router, (path, kind, bytes)| router.route(path, get(async || page::answer(kind, bytes))));
    of_page
        .route("/openapi.json", get(async || page::answer("application/json", OPENAPI.as_bytes())))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address; see /openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address has other methods; see /openapi.json")
        })
        // Bodies have our own limits.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_description_has_every_address_and_no_other() {
        let described: Value = serde_json::from_str(&OPENAPI).unwrap();
        assert_eq!(described["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut described: Vec<String> = described["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
            })
            .filter(|address| !address.starts_with("parameters "))
            .collect();
        let mut own: Vec<String> = all()
            .into_iter()
            .flat_map(|(path, methods, _)| methods.iter().map(move |method| format!("{method} {path}")))
            .collect();
        described.sort();
        own.sort();
        assert_eq!(described, own);
    }
}
