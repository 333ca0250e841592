//! The data to read and change: made up, with the published structure, and the same in every sandbox.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::Endpoint;

/// The account's two networks. The first is the demo network.
pub(super) const NETWORKS: [(&str, &str); 2] = [
    ("5bace000-0001-4000-8000-000000000001", "Harbour Spaces"),
    ("5bace000-0001-4000-8000-000000000002", "Hill Spaces"),
];

/// The demo network has three locations, the other one has one. The first location in this list has the items that fill several pages.
const LOCATIONS: [(usize, &str); 4] =
    [(0, "North Quay"), (0, "South Quay"), (0, "Lighthouse & Co"), (1, "Hilltop")];

const CREATED: &str = "2024-01-01T09:00:00Z";

/// An item of a list.
pub(super) struct Item {
    pub(super) network: &'static str,
    pub(super) fields: Map<String, Value>,
}

impl Item {
    fn new(network: usize, fields: Value) -> Self {
        let Value::Object(fields) = fields else { unreachable!("items are objects") };
        Self { network: NETWORKS[network].0, fields }
    }

    pub(super) fn is(&self, field: &str, value: &str) -> bool {
        self.fields.get(field).is_some_and(|field| field == value)
    }
}

pub(super) struct Data {
    lists: HashMap<Endpoint, Vec<Item>>,
    contacts: usize,
}

impl Data {
    pub(super) fn new() -> Self {
        let networks = NETWORKS.iter().enumerate();
        let networks =
            networks.map(|(n, (id, title))| Item::new(n, json!({ "id": id, "title": title }))).collect();
        let locations =
            LOCATIONS.iter().enumerate().map(|(n, (network, title))| location(n, *network, title));
        let contacts: Vec<_> = at_locations(27).map(|(n, at)| contact(n, at, &visitor(n))).collect();
        Self {
            contacts: contacts.len(),
            lists: HashMap::from([
                (Endpoint::Networks, networks),
                (Endpoint::Locations, locations.collect()),
                (Endpoint::Resources, at_locations(60).map(|(n, at)| resource(n, at)).collect()),
                (Endpoint::Plans, at_locations(30).map(|(n, at)| plan(n, at)).collect()),
                (Endpoint::Contacts, contacts),
            ]),
        }
    }

    pub(super) fn list(&mut self, endpoint: Endpoint) -> &mut Vec<Item> {
        self.lists.entry(endpoint).or_default()
    }

    /// The location of this id, if it is in the network.
    pub(super) fn location(&mut self, network: &str, id: &str) -> Option<usize> {
        self.list(Endpoint::Locations).iter().position(|item| item.network == network && item.is("id", id))
    }

    pub(super) fn add_contact(&mut self, location: usize, visitor: &Value) -> Map<String, Value> {
        let contact = contact(self.contacts, location, visitor);
        self.contacts += 1;
        let fields = contact.fields.clone();
        self.list(Endpoint::Contacts).push(contact);
        fields
    }
}

/// Returns pairs of an item's number and its location: `count` items for the first location, three for each other one.
fn at_locations(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let places = std::iter::repeat_n(0, count).chain((1..LOCATIONS.len()).flat_map(|at| [at; 3]));
    places.enumerate()
}

fn id(kind: u16, number: usize) -> String {
    format!("5bace000-{kind:04}-4000-8000-{:012}", number + 1)
}

fn location_id(number: usize) -> String {
    id(2, number)
}

fn location(number: usize, network: usize, title: &str) -> Item {
    let fields = json!({
        "address": format!("{} Long Street", number + 1),
        "createDate": CREATED,
        "currencyCode": "EUR",
        "description": "",
        "email": "desk@example.com",
        "id": location_id(number),
        "locale": "en",
        "networkRef": NETWORKS[network].0,
        "timezoneId": "Europe/Kyiv",
        "title": title,
    });
    Item::new(network, fields)
}

fn resource(number: usize, location: usize) -> Item {
    let network = LOCATIONS[location].0;
    let fields = json!({
        "assignments": [],
        "bookingPermission": "members",
        "bufferTime": "zeroMinutes",
        "children": [],
        "confirmationEmail": {
            "bookingCreatedByAdmin": false,
            "bookingCreatedByMember": true,
            "bookingCreatedByNetworkMember": true,
            "bookingCreatedByPublic": true,
            "template": "",
        },
        "createDate": CREATED,
        "credits": { "enabled": false, "tiers": [] },
        "description": "",
        "duration": { "max": 480, "min": 30, "public": { "enabled": false, "max": 480, "min": 30 } },
        "dynamicPricing": { "deltaAbove": 0, "deltaBelow": 0, "enabled": false },
        "id": id(3, number),
        "locale": "en",
        "locationRef": location_id(location),
        "media": [],
        "money": { "enabled": false, "tiers": [] },
        "networkRef": NETWORKS[network].0,
        "preparationMinutes": "zeroMinutes",
        "refundThreshold": "oneDay",
        "title": format!("Room {}", number + 1),
        "type": "room",
        "visibility": "members",
    });
    Item::new(network, fields)
}

fn plan(number: usize, location: usize) -> Item {
    let fields = json!({
        "addons": [],
        "commitmentCycles": 1,
        "createDate": CREATED,
        "credits": 0,
        "customTax": { "enabled": false, "rate": 0 },
        "dayPasses": 5,
        "description": "",
        "discounts": { "creditPackages": 0, "desks": 0, "equipment": 0, "events": 0, "rooms": 0, "shop": 0 },
        "exclusiveAccess": { "benefitRefs": [], "resourceRefs": [] },
        "grantedDiscounts": [],
        "id": id(4, number),
        "locale": "en",
        "locationRef": location_id(location),
        "period": "month",
        "price": 100 + number,
        "selfSignup": { "enabled": false, "type": "request" },
        "setupFee": 0,
        "title": format!("Plan {}", number + 1),
    });
    Item::new(LOCATIONS[location].0, fields)
}

fn visitor(number: usize) -> Value {
    json!({ "email": format!("visitor{}@example.com", number + 1), "name": format!("Visitor {}", number + 1) })
}

fn contact(number: usize, location: usize, visitor: &Value) -> Item {
    let fields = json!({
        "createDate": CREATED,
        "date": CREATED,
        "id": id(5, number),
        "locationRef": location_id(location),
        "userRefVisitor": id(6, number),
        "visitor": visitor,
    });
    Item::new(LOCATIONS[location].0, fields)
}
