//! The API that tokens and Basic credentials are for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;
use serde_json::{Map, Value, json};

use super::Spacebring;
use super::data::{Item, NETWORKS};
use crate::Endpoint;
use crate::answer::Answer;
use crate::oauth::parameters::{at_most_once, expect_only};
use crate::request::Request;
use crate::sync::lock;

const DEFAULT_PAGE: usize = 25;
const LARGEST_PAGE: usize = 100;

/// Fields that a PATCH cannot change.
const FIXED: [&str; 4] = ["createDate", "id", "locationRef", "networkRef"];

/// A list, and the items below it.
pub(super) struct Collection {
    pub(super) endpoint: Endpoint,
    path: &'static str,
    /// The JSON fields for a list (`plural`) and for a single item (`singular`).
    plural: &'static str,
    singular: &'static str,
    /// The scope that changes need; its `.readonly` is enough to read. `None` where no scope is published.
    scope: Option<&'static str>,
    location: Location,
    is_paged: bool,
    list_methods: &'static [&'static str],
    item_methods: &'static [&'static str],
}

/// Whether a list takes `locationRef`.
#[derive(PartialEq, Eq)]
enum Location {
    None,
    Optional,
    Required,
}

const COLLECTIONS: [Collection; 5] = [
    Collection {
        endpoint: Endpoint::Networks,
        path: "/networks/v1",
        plural: "networks",
        singular: "network",
        scope: None,
        location: Location::None,
        is_paged: false,
        list_methods: &["GET"],
        item_methods: &[],
    },
    Collection {
        endpoint: Endpoint::Locations,
        path: "/locations/v1",
        plural: "locations",
        singular: "location",
        scope: Some("locations"),
        location: Location::None,
        is_paged: false,
        list_methods: &["GET"],
        item_methods: &["GET"],
    },
    Collection {
        endpoint: Endpoint::Resources,
        path: "/resources/v1",
        plural: "resources",
        singular: "resource",
        scope: Some("resources"),
        location: Location::Required,
        is_paged: true,
        list_methods: &["GET"],
        item_methods: &["GET", "PATCH"],
    },
    Collection {
        endpoint: Endpoint::Plans,
        path: "/plans/v1",
        plural: "plans",
        singular: "plan",
        scope: Some("plans"),
        location: Location::Optional,
        is_paged: true,
        list_methods: &["GET"],
        item_methods: &["GET", "PATCH", "DELETE"],
    },
    Collection {
        endpoint: Endpoint::Contacts,
        path: "/visitors/contacts/v1",
        plural: "contacts",
        singular: "contact",
        scope: Some("visitors"),
        location: Location::Required,
        is_paged: true,
        list_methods: &["GET", "POST"],
        item_methods: &["GET"],
    },
];

/// The resource of a path.
pub(super) struct Route<'p> {
    pub(super) collection: &'static Collection,
    item: Option<&'p str>,
}

pub(super) fn route(path: &str) -> Option<Route<'_>> {
    COLLECTIONS.iter().find_map(|collection| {
        let item = match path.strip_prefix(collection.path)? {
            "" => None,
            rest => Some(rest.strip_prefix('/').filter(|item| !item.is_empty() && !item.contains('/'))?),
        };
        (item.is_none() || !collection.item_methods.is_empty()).then_some(Route { collection, item })
    })
}

/// The caller.
enum Caller {
    Customer(String),
    Partner { grant: u64, scopes: Vec<String> },
}

fn refuse(status: u16, message: &str) -> Answer {
    let kind = match status {
        400 => "bad_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        _ => "too_many_requests",
    };
    Answer::typed_error(status, kind, message)
}

fn bad_request(message: impl AsRef<str>) -> Answer {
    refuse(400, message.as_ref())
}

impl Spacebring {
    pub(super) fn api(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let Some(Route { collection, item }) = route(request.path()) else {
            return Err(refuse(404, "There is nothing at this path"));
        };
        let caller = self.caller(request)?;
        self.expect_slowness(&caller)?;
        let network = network(request, &caller, collection)?;
        let methods = if item.is_some() { collection.item_methods } else { collection.list_methods };
        if !methods.contains(&request.method()) {
            let message = format!("The method must be {}", methods.join(" or "));
            return Err(refuse(405, &message).with_header("Allow", methods.join(", ")));
        }
        expect_scope(request, &caller, collection)?;

        match (request.method(), item) {
            ("GET", None) => self.list(request, collection, network),
            ("GET", Some(id)) => {
                expect_no_body(request)?;
                self.with_item(request, collection, network, id, |items, at| {
                    Ok(Answer::json(200, &json!({ collection.singular: items[at].fields })))
                })
            }
            ("DELETE", Some(id)) => {
                expect_no_body(request)?;
                self.with_item(request, collection, network, id, |items, at| {
                    items.remove(at);
                    Ok(Answer::empty(204))
                })
            }
            (_, Some(id)) => {
                let changes = read_json(request, collection.singular)?;
                self.with_item(request, collection, network, id, |items, at| {
                    patch(&mut items[at].fields, changes)?;
                    Ok(Answer::empty(204))
                })
            }
            (_, None) => self.create_contact(request, network),
        }
    }

    fn caller(&self, request: &Request<'_>) -> Result<Caller, Answer> {
        let header = request.header("authorization");
        let header = header.map_err(|_| bad_request("The header authorization was sent more than once"))?;
        let (scheme, credentials) = header.and_then(|value| value.split_once(' ')).unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") {
            let access = self.grants.access(credentials).ok_or_else(|| {
                refuse(401, "The access token is not known, expired or revoked")
                    .with_header("WWW-Authenticate", r#"Bearer error="invalid_token""#)
            })?;
            return Ok(Caller::Partner { grant: access.grant, scopes: access.scopes });
        }
        let customer = scheme.eq_ignore_ascii_case("basic").then(|| self.customer(credentials)).flatten();
        customer.map(Caller::Customer).ok_or_else(|| {
            refuse(401, "Credentials are missing or wrong")
                .with_header("WWW-Authenticate", r#"Basic realm="Spacebring", charset="UTF-8""#)
                .with_header("WWW-Authenticate", "Bearer")
        })
    }

    /// Checks Basic credentials, and returns the client id. As in the vendor's example, id and secret are not form-encoded.
    fn customer(&self, credentials: &str) -> Option<String> {
        let credentials = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
        let (client_id, client_secret) = credentials.split_once(':')?;
        self.clients.is_secret_of(client_id, client_secret).then(|| client_id.to_owned())
    }

    fn expect_slowness(&self, caller: &Caller) -> Result<(), Answer> {
        // All access tokens of one login share one limit.
        let credential = match caller {
            Caller::Customer(client_id) => format!("customer {client_id}"),
            Caller::Partner { grant, .. } => format!("login {grant}"),
        };
        if self.rate.admits(&credential) {
            return Ok(());
        }
        let refusal = refuse(429, "Too many requests in a second");
        let with_hint = self.settings().retry_after;
        Err(if with_hint { refusal.with_header("Retry-After", "1") } else { refusal })
    }

    fn list(
        &self,
        request: &Request<'_>,
        collection: &Collection,
        network: Option<&'static str>,
    ) -> Result<Answer, Answer> {
        expect_no_body(request)?;
        let query = request.query();
        let known: &[&str] = match (&collection.location, collection.is_paged) {
            (Location::None, false) => &[],
            _ => &["locationRef", "limit", "nextPageToken"],
        };
        expect_only(query, known).map_err(bad_request)?;
        let parameter = |name| at_most_once(query, name).map_err(bad_request);
        let (location, limit, page) =
            (parameter("locationRef")?, parameter("limit")?, parameter("nextPageToken")?);

        let mut data = lock(&self.data);
        match location {
            None if collection.location == Location::Required => {
                return Err(bad_request("locationRef is missing"));
            }
            Some(id) if !is_uuid(id) => return Err(bad_request("locationRef must be a UUID")),
            Some(id) if data.location(network.unwrap_or_default(), id).is_none() => {
                return Err(refuse(404, "The network has no such location"));
            }
            _ => {}
        }
        let items: Vec<_> = data
            .list(collection.endpoint)
            .iter()
            .filter(|item| network.is_none_or(|network| item.network == network))
            .filter(|item| location.is_none_or(|id| item.is("locationRef", id)))
            .collect();
        if !collection.is_paged {
            let items: Vec<_> = items.iter().map(|item| &item.fields).collect();
            return Ok(Answer::json(200, &json!({ collection.plural: items })));
        }

        // Published: 25 if the limit is missing or makes no sense, and never more than 100.
        let limit = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        let size = limit.unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE);
        let filters =
            format!("{}\n{}\n{}", collection.path, network.unwrap_or_default(), location.unwrap_or("-"));
        let start = match page {
            None => 0,
            Some(token) => page_start(token, &filters)
                .ok_or_else(|| bad_request("nextPageToken is not one of this list with these filters"))?,
        };
        let end = items.len().min(start.saturating_add(size));
        let next = match page {
            Some(token) if self.settings().paging_stuck => Some(token.to_owned()),
            _ => (end < items.len()).then(|| page_token(end, &filters)),
        };
        let fields: Vec<_> =
            items.get(start..end).unwrap_or_default().iter().map(|item| &item.fields).collect();
        let mut answer = json!({ collection.plural: fields });
        if let Some(token) = next {
            let mut query = Serializer::new(String::new());
            query.extend_pairs(location.map(|id| ("locationRef", id)));
            query.append_pair("limit", &size.to_string()).append_pair("nextPageToken", &token);
            answer["searchQueryNext"] = query.finish().into();
            answer["nextPageToken"] = token.into();
        }
        Ok(Answer::json(200, &answer))
    }

    /// Finds an item by its id and lets `act` deal with it.
    fn with_item(
        &self,
        request: &Request<'_>,
        collection: &Collection,
        network: Option<&str>,
        id: &str,
        act: impl FnOnce(&mut Vec<Item>, usize) -> Result<Answer, Answer>,
    ) -> Result<Answer, Answer> {
        expect_only(request.query(), &[]).map_err(bad_request)?;
        if !is_uuid(id) {
            return Err(bad_request("The id must be a UUID"));
        }
        let mut data = lock(&self.data);
        let items = data.list(collection.endpoint);
        let found = items.iter().position(|item| Some(item.network) == network && item.is("id", id));
        let at =
            found.ok_or_else(|| refuse(404, &format!("The network has no such {}", collection.singular)))?;
        act(items, at)
    }

    /// `POST /visitors/contacts/v1`.
    fn create_contact(&self, request: &Request<'_>, network: Option<&'static str>) -> Result<Answer, Answer> {
        expect_only(request.query(), &[]).map_err(bad_request)?;
        let contact = read_json(request, "contact")?;
        let visitor = contact.get("visitor");
        let is_text = |field| visitor.and_then(|visitor| visitor.get(field)).is_some_and(Value::is_string);
        let (Some(visitor), true, true) = (visitor, is_text("email"), is_text("name")) else {
            return Err(bad_request("contact.visitor must have an email and a name"));
        };
        let mut data = lock(&self.data);
        let location = contact.get("locationRef").and_then(Value::as_str);
        let location = location.and_then(|id| data.location(network.unwrap_or_default(), id));
        let location =
            location.ok_or_else(|| bad_request("contact.locationRef must be one of the network's"))?;
        Ok(Answer::json(201, &json!({ "contact": data.add_contact(location, visitor) })))
    }
}

/// The requested network. `None` means any, which only the list of networks allows.
fn network(
    request: &Request<'_>,
    caller: &Caller,
    collection: &Collection,
) -> Result<Option<&'static str>, Answer> {
    let header = request.header("spacebring-network-id");
    let header =
        header.map_err(|_| bad_request("The header spacebring-network-id was sent more than once"))?;
    let own = match (header, caller) {
        (Some(id), _) if !is_uuid(id) => {
            return Err(bad_request("The header spacebring-network-id must be a UUID"));
        }
        (Some(id), _) => {
            let own = NETWORKS.iter().find(|(own, _)| own.eq_ignore_ascii_case(id));
            own.ok_or_else(|| refuse(403, "The network is not one of this account"))?
        }
        (None, Caller::Partner { .. }) if collection.endpoint != Endpoint::Networks => {
            return Err(bad_request("The header spacebring-network-id is required with a bearer token"));
        }
        (None, _) => &NETWORKS[0],
    };
    Ok((collection.endpoint != Endpoint::Networks).then_some(own.0))
}

fn expect_scope(request: &Request<'_>, caller: &Caller, collection: &Collection) -> Result<(), Answer> {
    let (Caller::Partner { scopes, .. }, Some(scope)) = (caller, collection.scope) else { return Ok(()) };
    let reads = request.method() == "GET";
    let suffices = |held: &String| held == scope || (reads && held.strip_suffix(".readonly") == Some(scope));
    if scopes.iter().any(suffices) {
        return Ok(());
    }
    let needed = if reads { format!("{scope}.readonly or {scope}") } else { scope.to_owned() };
    Err(refuse(403, &format!("Required scopes: {needed}"))
        .with_header("WWW-Authenticate", r#"Bearer error="insufficient_scope""#))
}

fn expect_no_body(request: &Request<'_>) -> Result<(), Answer> {
    if request.body().is_empty() { Ok(()) } else { Err(bad_request("The body must be empty")) }
}

/// The fields of a JSON body `{"NAME": {…}}`.
fn read_json(request: &Request<'_>, name: &str) -> Result<Map<String, Value>, Answer> {
    if !request.is_json() {
        return Err(bad_request("The content type must be application/json"));
    }
    let body: Option<Map<String, Value>> = serde_json::from_slice(request.body()).ok();
    match body.and_then(|mut body| body.remove(name)) {
        Some(Value::Object(fields)) => Ok(fields),
        _ => Err(bad_request(format!("The body must be JSON with an object in {name}"))),
    }
}

fn patch(fields: &mut Map<String, Value>, changes: Map<String, Value>) -> Result<(), Answer> {
    let is_fixed = |name: &String| !fields.contains_key(name) || FIXED.contains(&name.as_str());
    if let Some(name) = changes.keys().find(|name| is_fixed(name)) {
        return Err(bad_request(format!("{name} cannot be changed")));
    }
    fields.extend(changes);
    Ok(())
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Returns a `nextPageToken`: where the page starts, and the filters of the list. It holds characters that clients forget to encode.
fn page_token(start: usize, filters: &str) -> String {
    format!("+/{}==", STANDARD.encode(format!("{start}\n{filters}")).trim_end_matches('='))
}

fn page_start(token: &str, filters: &str) -> Option<usize> {
    let encoded = token.strip_prefix("+/")?.strip_suffix("==")?;
    let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(encoded).ok()?;
    let (start, rest) = std::str::from_utf8(&decoded).ok()?.split_once('\n')?;
    start.parse().ok().filter(|_| rest == filters)
}
