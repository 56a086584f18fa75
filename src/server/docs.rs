//! /docs (Swagger UI) and /redoc (ReDoc), from this program alone: see assets/README.md.

use std::io::Read;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::answer::Refusal;
use crate::error::Error;

/// What the pages may load: their own scripts, and nothing of any other host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const SWAGGER: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>audit-anomaly: try it</title>
<link rel=\"icon\" href=\"data:,\">
<link rel=\"stylesheet\" href=\"docs/swagger-ui.css\">
<div id=\"ui\"></div>
<script src=\"docs/swagger-ui-bundle.js\"></script>
<script src=\"docs/start.js\"></script>
</html>
";

const SWAGGER_START: &str = "SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#ui',
  deepLinking: true,
  tryItOutEnabled: false,
  validatorUrl: null,
})
";

const REDOC: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>audit-anomaly: reference</title>
<link rel=\"icon\" href=\"data:,\">
<style>body { margin: 0 }</style>
<div id=\"redoc\"></div>
<script src=\"redoc/redoc.standalone.js\"></script>
<script src=\"redoc/start.js\"></script>
</html>
";

const REDOC_START: &str = "Redoc.init('openapi.json', { hideDownloadButtons: false }, document.getElementById('redoc'))
";

/// A compressed file of the pages.
macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!("assets/", $name, ".gz"))
    };
}

/// `/docs`.
pub async fn swagger() -> Response {
    page(SWAGGER)
}

/// `/docs/start.js`.
pub async fn swagger_start() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SWAGGER_START).into_response()
}

/// `/docs/swagger-ui-bundle.js`.
pub async fn swagger_script(headers: HeaderMap) -> Result<Response, Refusal> {
    asset(&headers, "text/javascript; charset=utf-8", asset!("swagger-ui-bundle.js"))
}

/// `/docs/swagger-ui.css`.
pub async fn swagger_style(headers: HeaderMap) -> Result<Response, Refusal> {
    asset(&headers, "text/css; charset=utf-8", asset!("swagger-ui.css"))
}

/// `/redoc`.
pub async fn redoc() -> Response {
    page(REDOC)
}

/// `/redoc/start.js`.
pub async fn redoc_start() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], REDOC_START).into_response()
}

/// `/redoc/redoc.standalone.js`.
pub async fn redoc_script(headers: HeaderMap) -> Result<Response, Refusal> {
    asset(&headers, "text/javascript; charset=utf-8", asset!("redoc.standalone.js"))
}

fn page(html: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, html).into_response()
}

/// A file as it is stored, or unpacked for a client that cannot do so.
fn asset(headers: &HeaderMap, media: &'static str, packed: &'static [u8]) -> Result<Response, Refusal> {
    let takes = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("gzip"));
    let kind =
        [(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "max-age=3600"), (header::VARY, "accept-encoding")];
    if headers.get_all(header::ACCEPT_ENCODING).iter().any(takes) {
        return Ok((kind, [(header::CONTENT_ENCODING, "gzip")], packed).into_response());
    }
    let mut plain = Vec::new();
    let unpacked = flate2::read::GzDecoder::new(packed).read_to_end(&mut plain);
    unpacked.map_err(|error| Error::Internal(error.to_string()))?;
    Ok((kind, plain).into_response())
}
