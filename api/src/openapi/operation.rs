//! Describes one operation. What goes with a credential, a path or a body is added with it, so that no route forgets it.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{
    Components, Content, ContentBuilder, RefOr, Required, Response, Schema, SecurityRequirement,
};

use crate::http::problem::Kind;
use crate::openapi::elements::reference;
use crate::openapi::headers::{self, Head};
use crate::openapi::problems;

/// The scheme of `hk_…`.
pub(crate) const API_KEY: &str = "apiKey";
/// The scheme of `vt_…`.
pub(crate) const CLIENT_TOKEN: &str = "clientToken";

/// The scheme of `pt_…`.
pub(crate) const PAGE_TOKEN: &str = "pageToken";

/// One operation being described.
pub(crate) struct Op {
    path: &'static str,
    method: HttpMethod,
    inner: OperationBuilder,
    problems: BTreeMap<u16, Vec<Kind>>,
    answers: Vec<(StatusCode, Response)>,
    once: bool,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// A documented example: its name, what it shows, and it.
pub(crate) type Sample = (&'static str, &'static str, Value);

impl Op {
    /// An operation of this method at this path, as the router writes it. `id` is what generated clients call it.
    pub(crate) fn new(method: HttpMethod, path: &'static str, tag: &str, id: &str) -> Self {
        Self {
            path,
            method,
            inner: OperationBuilder::new()
                .tag(tag)
                .operation_id(Some(id))
                .parameter(headers::request_id())
                .securities(Some([])),
            problems: BTreeMap::new(),
            answers: Vec::new(),
            once: false,
            schemas: Vec::new(),
        }
    }

    /// What it does, in a line and in a few.
    pub(crate) fn says(mut self, summary: &str, description: &str) -> Self {
        self.inner = self.inner.summary(Some(summary)).description(Some(description));
        self
    }

    /// Needs an API key.
    pub(crate) fn key(self) -> Self {
        self.secured(&[API_KEY])
    }

    /// Needs an API key, or the client token of its verification.
    pub(crate) fn key_or_token(self) -> Self {
        self.secured(&[API_KEY, CLIENT_TOKEN])
    }

    /// Needs the token of a hosted page.
    pub(crate) fn page_token(self) -> Self {
        self.secured(&[PAGE_TOKEN])
    }

    fn secured(mut self, schemes: &[&str]) -> Self {
        let any = schemes.iter().map(|scheme| SecurityRequirement::new::<_, _, &str>(*scheme, []));
        self.inner = self.inner.securities(Some(any));
        self.problems(&[Kind::Unauthorized, Kind::Forbidden, Kind::Internal, Kind::Unavailable])
    }

    /// Takes a parameter in its path. One that is no UTF-8 cannot be read.
    pub(crate) fn path(mut self, parameter: Parameter) -> Self {
        self.inner = self.inner.parameter(parameter);
        self.problems(&[Kind::BadRequest])
    }

    /// Takes a parameter elsewhere.
    pub(crate) fn parameter(mut self, parameter: Parameter) -> Self {
        self.inner = self.inner.parameter(parameter);
        self
    }

    /// Takes a JSON body.
    pub(crate) fn body<T: ToSchema>(
        mut self,
        required: bool,
        description: &str,
        samples: Vec<Sample>,
    ) -> Self {
        let content = self.content::<T>(samples);
        let body = RequestBodyBuilder::new()
            .description(Some(description))
            .required(Some(if required { Required::True } else { Required::False }))
            .content("application/json", content)
            .build();
        self.inner = self.inner.request_body(Some(body));
        self.problems(&[
            Kind::BadRequest,
            Kind::MalformedJson,
            Kind::RequestTimeout,
            Kind::BodyTooLarge,
            Kind::UnsupportedMediaType,
            Kind::InvalidRequest,
        ])
    }

    /// Honours `Idempotency-Key`.
    pub(crate) fn once(mut self) -> Self {
        self.inner = self.inner.parameter(headers::idempotency_key());
        self.once = true;
        self.problems(&[Kind::InvalidRequest, Kind::RequestInProgress, Kind::IdempotencyKeyReused])
    }

    /// Answers with JSON.
    pub(crate) fn json<T: ToSchema>(
        mut self,
        status: StatusCode,
        description: &str,
        heads: &[&Head],
        samples: Vec<Sample>,
    ) -> Self {
        let content = self.content::<T>(samples);
        self.content_of(status, description, heads, "application/json", content)
    }

    /// Answers with something else than JSON.
    pub(crate) fn content_of(
        self,
        status: StatusCode,
        description: &str,
        heads: &[&Head],
        media: &str,
        content: Content,
    ) -> Self {
        let mut response = Response::new(description);
        response.content.insert(media.to_owned(), content.into());
        self.answer(status, response, heads)
    }

    /// Answers without a body.
    pub(crate) fn empty(self, status: StatusCode, description: &str, heads: &[&Head]) -> Self {
        self.answer(status, Response::new(description), heads)
    }

    fn answer(mut self, status: StatusCode, mut response: Response, heads: &[&Head]) -> Self {
        for head in [&headers::REQUEST_ID].iter().chain(heads) {
            response.headers.insert(head.name.to_owned(), head.reference());
        }
        // One status may come with several media types.
        match self.answers.iter_mut().find(|(same, _)| *same == status) {
            Some((_, same)) => same.content.extend(response.content),
            None => self.answers.push((status, response)),
        }
        self
    }

    /// What to call next with the `id` of any answer with a body.
    pub(crate) fn then(mut self, operations: &[(&str, &str)]) -> Self {
        for (operation, description) in operations {
            let link = LinkBuilder::new()
                .operation_id(*operation)
                .parameter("id", "$response.body#/id")
                .description(*description)
                .build();
            for (_, response) in &mut self.answers {
                response.links.insert((*operation).to_owned(), RefOr::T(link.clone()));
            }
        }
        self
    }

    /// May give these problems.
    pub(crate) fn problems(mut self, kinds: &[Kind]) -> Self {
        for kind in kinds {
            let same = self.problems.entry(kind.status().as_u16()).or_default();
            if !same.contains(kind) {
                same.push(*kind);
            }
        }
        self
    }

    fn content<T: ToSchema>(&mut self, samples: Vec<Sample>) -> Content {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        let samples = samples.into_iter().map(|(name, summary, value)| {
            (name, ExampleBuilder::new().summary(summary).value(Some(value)).build())
        });
        let samples = samples.map(|(name, sample)| (name, RefOr::T(sample)));
        ContentBuilder::new().schema(Some(reference(&T::name()))).examples_from_iter(samples).build()
    }

    /// Path, method and the operation; what it refers to goes to the components.
    pub(crate) fn build(self, components: &mut Components) -> (&'static str, HttpMethod, Operation) {
        let Self { path, method, mut inner, problems, answers, once, schemas } = self;
        components.schemas.extend(schemas);
        for (status, mut response) in answers {
            if once {
                let head = &headers::REPLAYED;
                response.headers.insert(head.name.to_owned(), head.reference());
            }
            inner = inner.response(status.as_str(), response);
        }
        for (status, kinds) in problems {
            inner = inner.response(status.to_string(), problems::add(components, status, &kinds));
        }
        (path, method, inner.build())
    }
}
