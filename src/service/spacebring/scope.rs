//! The scopes that Spacebring publishes. A login may ask for others too: they are only names.

macro_rules! scopes {
    ($($name:ident = $scope:literal, $description:literal;)*) => {
        $(#[doc = concat!($description, ".")] pub const $name: &str = $scope;)*

        /// All of them, each with Spacebring's own description.
        pub const ALL: &[(&str, &str)] = &[$(($name, $description),)*];
    };
}

scopes! {
    BENEFITS_READONLY = "benefits.readonly", "Read benefits and applications";
    BENEFITS = "benefits", "Read and write benefits and applications";
    COMMUNITY_READONLY = "community.readonly", "Read community companies and memberships";
    COMMUNITY = "community", "Read and write community companies and memberships";
    EVENTS_READONLY = "events.readonly", "Read events and tickets";
    EVENTS = "events", "Read and write events and tickets";
    FEED_READONLY = "feed.readonly", "Read feed posts";
    FEED = "feed", "Read and write feed posts";
    INVOICES_READONLY = "invoices.readonly", "Read contracts, credit notes, discounts and invoices";
    INVOICES = "invoices", "Read and write contract, credit notes, discounts and invoices";
    LOCATIONS_READONLY = "locations.readonly", "Read locations";
    LOCATIONS = "locations", "Read and write locations";
    PLANS_READONLY = "plans.readonly", "Read plans";
    PLANS = "plans", "Read and write plans";
    RESOURCES_READONLY = "resources.readonly", "Read resources and bookings";
    RESOURCES = "resources", "Read and write resources and bookings";
    SUBSCRIPTIONS_READONLY = "subscriptions.readonly", "Read subscriptions";
    SUBSCRIPTIONS = "subscriptions", "Read and write subscriptions";
    SHOP_READONLY = "shop.readonly", "Read products and orders";
    SHOP = "shop", "Read and write products and orders";
    SUPPORT_READONLY = "support.readonly", "Read support tickets";
    SUPPORT = "support", "Read and write support tickets";
    TRANSACTIONS_READONLY = "transactions.readonly", "Read transactions";
    TRANSACTIONS = "transactions", "Read and write transactions";
    VISITORS_READONLY = "visitors.readonly", "Read visitors";
    VISITORS = "visitors", "Read and write visitors";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_as_published() {
        let text = include_str!("../../../tests/peers/spacebring.json");
        let description: serde_json::Value = serde_json::from_str(text).unwrap();
        let flow = &description["components"]["securitySchemes"]["OAuth2"]["flows"]["authorizationCode"];
        let published = flow["scopes"].as_object().unwrap();
        assert_eq!((published.len(), ALL.len()), (26, 26));
        for (scope, description) in ALL {
            assert_eq!(published[*scope], *description);
        }
    }
}
