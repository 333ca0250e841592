//! What a login may be good for.

/// The published scopes and their published descriptions.
pub const SCOPES: [(&str, &str); 26] = [
    ("benefits.readonly", "Read benefits and applications"),
    ("benefits", "Read and write benefits and applications"),
    ("community.readonly", "Read community companies and memberships"),
    ("community", "Read and write community companies and memberships"),
    ("events.readonly", "Read events and tickets"),
    ("events", "Read and write events and tickets"),
    ("feed.readonly", "Read feed posts"),
    ("feed", "Read and write feed posts"),
    ("invoices.readonly", "Read contracts, credit notes, discounts and invoices"),
    ("invoices", "Read and write contract, credit notes, discounts and invoices"),
    ("locations.readonly", "Read locations"),
    ("locations", "Read and write locations"),
    ("plans.readonly", "Read plans"),
    ("plans", "Read and write plans"),
    ("resources.readonly", "Read resources and bookings"),
    ("resources", "Read and write resources and bookings"),
    ("subscriptions.readonly", "Read subscriptions"),
    ("subscriptions", "Read and write subscriptions"),
    ("shop.readonly", "Read products and orders"),
    ("shop", "Read and write products and orders"),
    ("support.readonly", "Read support tickets"),
    ("support", "Read and write support tickets"),
    ("transactions.readonly", "Read transactions"),
    ("transactions", "Read and write transactions"),
    ("visitors.readonly", "Read visitors"),
    ("visitors", "Read and write visitors"),
];

/// What the published description of a scope says; `None` for one that is not published.
pub(super) fn description(scope: &str) -> Option<&'static str> {
    SCOPES.iter().find(|(name, _)| *name == scope).map(|(_, description)| *description)
}
